"""Embeddings through llama.cpp: many texts in a batch, concurrent callers merged."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from langchain_core.embeddings import Embeddings

from freehold.errors import InferenceError, ModelFileError, UserError
from freehold.inference.embedding_worker import EmbeddingWorker
from freehold.inference.gguf import ModelHeader, read_header, sha256
from freehold.inference.llama_model import default_threads
from freehold.inference.vector_cache import VectorCache
from freehold.portal import run_sync

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LlamaEmbeddings"]

_SLICE = 32
"""Texts of a large request that go through the queue together; a short request passes between two slices."""


class LlamaEmbeddings(Embeddings):
    """A GGUF embedding model as LangChain embeddings: vectors of length 1, so that a dot product is the cosine.

    The model loads on first use. A text longer than the model's context is cut to its beginning. Every method may be
    called from any thread and any event loop; the `a...` methods never block the loop.

    Args:
        path: The GGUF file.
        threads: Processor threads; by default those the process may use, at most 8; 1 for a small model.
        cache_size: Vectors kept, least recently used first out; 0 keeps none.
        before_load: Called before the weights load, in the model's own thread; what it raises goes to the callers.

    Raises:
        ModelFileError: The file is missing, truncated, not a GGUF, or not an embedding model.

    Example:
        >>> embeddings = LlamaEmbeddings("all-minilm-l6-v2.Q8_0.gguf")  # doctest: +SKIP
        >>> len(embeddings.embed_query("What does a heron eat?"))  # doctest: +SKIP
        384
    """

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
        if self._header.pooling == "rank":
            raise ModelFileError(
                f"{self._header.path} is a reranker and gives no embeddings. Choose an embedding model."
            )
        self._threads = threads or default_threads(self._header)
        self._cache = VectorCache(cache_size)
        self._before_load = before_load
        self._lock = threading.Lock()
        self._worker: EmbeddingWorker | None = None
        self._closed = False

    @property
    def header(self) -> ModelHeader:
        """What the model's file says about itself."""
        return self._header

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._header.embedding_length

    @property
    def model_id(self) -> str:
        """The first 16 characters of the file's SHA-256: vectors of equal ids can be compared."""
        return sha256(self._header.path)[:16]

    @property
    def idle(self) -> bool:
        """Whether nothing is being embedded, and nothing waits for it."""
        return self._worker is None or self._worker.idle

    def unload(self) -> bool:
        """Free the weights; the next text loads them again. False, and nothing is done, while the model is busy."""
        with self._lock:
            worker = self._worker
        return worker is None or worker.unload()

    def _submit(self, texts: Mapping[bytes, str], *, urgent: bool) -> Future[list[NDArray[np.float32]]]:
        """Hand texts to the worker, which starts with the first of them."""
        with self._lock:
            if self._closed:
                raise InferenceError(f"The embedding model {self._header.name} was closed.")
            if self._worker is None:
                self._worker = EmbeddingWorker(self._header.path, self._threads, self._cache, self._before_load)
                # Forgotten, or alive at exit, it must not leave its thread in native code.
                weakref.finalize(self, self._worker.stop)
            return self._worker.submit(texts, urgent=urgent)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the texts, one row each: shape (n, dimension), float32, length 1.

        Raises:
            ModelFileError: llama.cpp refuses the file.
            InferenceError: llama.cpp failed, or the model was closed.
        """
        if isinstance(texts, str):
            raise UserError("embed takes a list of texts, not one text: put it into a list.")
        keys = [self._cache.key(text) for text in texts]
        known = {key: self._cache.get(key) for key in keys}
        missing = [(key, text) for key, text in dict(zip(keys, texts, strict=True)).items() if known[key] is None]
        slices = [dict(missing[at : at + _SLICE]) for at in range(0, len(missing), _SLICE)]
        urgent = len(slices) == 1
        futures: list[asyncio.Future[list[NDArray[np.float32]]]] = []
        try:
            futures.extend(asyncio.wrap_future(self._submit(part, urgent=urgent)) for part in slices)
            for part, future in zip(slices, futures, strict=True):
                known.update(zip(part, await future, strict=True))
        finally:
            for future in futures:  # where one failed or the caller went away, the rest is not wanted any more
                future.cancel()
        rows = np.empty((len(keys), self.dimension), dtype=np.float32)
        for row, key in enumerate(keys):
            rows[row] = known[key]
        return rows

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of the texts, as lists."""
        rows: list[list[float]] = (await self.embed(texts)).tolist()
        return rows

    async def aembed_query(self, text: str) -> list[float]:
        """Vector of one text, as a list."""
        return (await self.aembed_documents([text]))[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """`aembed_documents` for synchronous callers."""
        return run_sync(self.aembed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """`aembed_query` for synchronous callers."""
        return run_sync(self.aembed_query(text))

    def close(self) -> None:
        """End the thread and free the model; waiting requests fail with InferenceError. Safe to call again."""
        with self._lock:
            self._closed = True
            worker = self._worker
        if worker is not None:
            worker.stop()
