"""A model that turns each text into one row of numbers: what embedding models and rerankers have in common."""

from __future__ import annotations

import asyncio
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from freehold.errors import InferenceError, UserError
from freehold.inference.embedding_worker import EmbeddingWorker
from freehold.inference.gguf import ModelHeader, read_header, sha256
from freehold.inference.llama_model import default_threads
from freehold.inference.vector_cache import VectorCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PooledModel"]

T = TypeVar("T", bound=Hashable)

_SLICE = 32
"""Texts of a large request that go through the queue together; a short request passes between two slices."""


class PooledModel(ABC, Generic[T]):
    """Base of a model whose worker gives a row for each item; it loads on first use, in a thread of its own.

    Every method may be called from any thread and any event loop; what is awaited never blocks the loop.

    Args:
        path: The GGUF file.
        threads: Processor threads; by default those the process may use, at most 8; 1 for a small model.
        cache_size: Rows kept, least recently used first out; 0 keeps none.
        before_load: Called before the weights load, in the model's own thread; what it raises goes to the callers.
    """

    _kind: str
    """What it is, as an error's message says it: "embedding model"."""

    def __init__(
        self,
        path: str | Path,
        *,
        threads: int | None = None,
        cache_size: int = 4096,
        before_load: Callable[[], None] | None = None,
    ) -> None:
        if (threads is not None and threads < 1) or cache_size < 0:
            raise UserError(
                f"threads={threads}, cache_size={cache_size} cannot be used: give threads >= 1, cache_size >= 0."
            )
        self._header = read_header(path)
        self._threads = threads or default_threads(self._header)
        self._cache = VectorCache(cache_size)
        self._before_load = before_load
        self._lock = threading.Lock()
        self._worker: EmbeddingWorker[T] | None = None
        self._closed = False

    @abstractmethod
    def _start_worker(self) -> EmbeddingWorker[T]:
        """The thread that owns the model."""

    @staticmethod
    @abstractmethod
    def _key(item: T) -> bytes:
        """What an item's row is kept under."""

    @property
    def header(self) -> ModelHeader:
        """What the model's file says about itself."""
        return self._header

    @property
    def model_id(self) -> str:
        """The first 16 characters of the file's SHA-256: what models of equal ids give can be compared."""
        return sha256(self._header.path)[:16]

    @property
    def idle(self) -> bool:
        """Whether nothing runs, and nothing waits."""
        return self._worker is None or self._worker.idle

    def unload(self) -> bool:
        """Free the weights; the next use loads them again. False, and nothing is done, while the model is busy."""
        with self._lock:
            worker = self._worker
        return worker is None or worker.unload()

    def _submit(self, items: Mapping[bytes, T], *, urgent: bool) -> Future[list[NDArray[np.float32]]]:
        """Hand items to the worker, which starts with the first of them."""
        with self._lock:
            if self._closed:
                raise InferenceError(f"The {self._kind} {self._header.name} was closed.")
            if self._worker is None:
                self._worker = self._start_worker()
                # Forgotten, or alive at exit, it must not leave its thread in native code.
                weakref.finalize(self, self._worker.stop)
            return self._worker.submit(items, urgent=urgent)

    async def _rows(self, items: Sequence[T]) -> list[NDArray[np.float32]]:
        """A row for each item, from the cache or computed; equal items are computed once."""
        keys = [self._key(item) for item in items]
        rows = {key: row for key in keys if (row := self._cache.get(key)) is not None}
        missing = [(key, item) for key, item in dict(zip(keys, items, strict=True)).items() if key not in rows]
        slices = [dict(missing[at : at + _SLICE]) for at in range(0, len(missing), _SLICE)]
        urgent = len(slices) == 1
        futures: list[asyncio.Future[list[NDArray[np.float32]]]] = []
        try:
            futures.extend(asyncio.wrap_future(self._submit(part, urgent=urgent)) for part in slices)
            for part, future in zip(slices, futures, strict=True):
                rows.update(zip(part, await future, strict=True))
        finally:
            for future in futures:  # where one failed or the caller went away, the rest is not wanted any more
                future.cancel()
        return [rows[key] for key in keys]

    def close(self) -> None:
        """End the thread and free the model; waiting requests fail with InferenceError. Safe to call again."""
        with self._lock:
            self._closed = True
            worker = self._worker
        if worker is not None:
            worker.stop()
