"""The one thread that owns an embedding model, and packs what waits into batches."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from freehold.errors import FreeholdError, InferenceError
from freehold.inference.batch import Batch
from freehold.inference.llama_model import LlamaModel
from freehold.inference.owner_thread import OwnerThread
from freehold.inference.vector_cache import VectorCache

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LONGEST_TOKEN", "EmbeddingWorker"]

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Hashable)

_MERGED = 8
"""Requests that one round answers together."""

_SEQUENCES = 64
"""Texts in one batch at most."""

_PACK = 256
"""Tokens in one batch of short texts: they share one attention mask, which costs the square of it."""

LONGEST_TOKEN = 64
"""Characters per token that a text is cut at before it is tokenised; no language comes near it."""


@dataclass(eq=False)
class _Request(Generic[T]):
    texts: Mapping[bytes, T]
    future: Future[list[NDArray[np.float32]]] = field(default_factory=Future)

    def settle(self, result: list[NDArray[np.float32]] | Exception) -> None:
        """Answer, unless the caller went away."""
        try:
            if isinstance(result, Exception):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)
        except InvalidStateError:
            logger.debug("an embedding was cancelled before it was ready")


class EmbeddingWorker(OwnerThread, Generic[T]):
    """Embeds texts in a thread of its own. While one batch runs, what arrives is merged into the next one.

    Nobody waits for company: a lone request starts at once. A text that several ask for at the same time is computed
    once: what one batch computed, the next finds in the cache. A subclass says what takes a text's place, how that
    becomes tokens, and what is made of the rows.

    Args:
        path: The GGUF file; it is loaded in the thread.
        threads: Processor threads.
        cache: Where vectors are looked up, and kept.
        before_load: Called in the thread before the weights load; what it raises goes to the callers.
    """

    _kind = "embedding model"

    def __init__(
        self, path: Path, threads: int, cache: VectorCache, before_load: Callable[[], None] | None = None
    ) -> None:
        super().__init__("freehold-embeddings", f"The {self._kind} {path.name}")
        self._path, self._threads, self._cache, self._before_load = path, threads, cache, before_load
        self._urgent: deque[_Request[T]] = deque()
        self._bulk: deque[_Request[T]] = deque()
        self._busy = False
        self._unloading = False
        self._model: LlamaModel | None = None
        self._context: Any = None
        self._length = 0
        self._start()

    def submit(self, texts: Mapping[bytes, T], *, urgent: bool) -> Future[list[NDArray[np.float32]]]:
        """Queue texts under their keys; urgent ones pass those that are not. The future gives their vectors in order.

        Raises:
            InferenceError: The worker was stopped.
        """
        request = _Request(texts)
        with self._handover():
            (self._urgent if urgent else self._bulk).append(request)
        return request.future

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not (self._busy or self._urgent or self._bulk)

    def unload(self) -> bool:
        """Free the weights, unless there is something to do; the next request loads them again."""
        with self._changed:
            if not self.idle or threading.current_thread() is self._thread:
                return False
            if not self._closed:  # else the thread frees them as it ends
                self._unloading = True
                self._changed.notify_all()
            self._changed.wait_for(lambda: not self._unloading)
            return True

    def _next(self) -> list[_Request[T]] | None:
        """The requests of the next round, none where the weights shall be freed; None when the worker is stopped."""
        with self._changed:
            if not self._wait(lambda: bool(self._unloading or self._urgent or self._bulk)):
                return None
            if self._unloading:
                return []
            self._busy = True
            if self._urgent:
                return [self._urgent.popleft() for _ in range(min(_MERGED, len(self._urgent)))]
            return [self._bulk.popleft()]

    def _run(self) -> None:
        while (requests := self._next()) is not None:
            if not requests:
                self._free()
                continue
            wanted = [request for request in requests if not request.future.cancelled()]
            try:
                results: list[Any] = self._answer(wanted)
            except Exception as error:  # the callers must hear of it, whatever it is, and the thread must live on
                if not isinstance(error, FreeholdError):
                    logger.exception("the %s failed", self._kind)
                    error = InferenceError(f"{self._owned} failed: {error!r}.")
                results = [error] * len(wanted)
            self._busy = False  # who has an answer finds the worker idle
            for request, result in zip(wanted, results, strict=True):
                request.settle(result)
        with self._changed:
            rest = [*self._urgent, *self._bulk]
            self._urgent.clear()
            self._bulk.clear()
        for request in rest:
            request.settle(self._closed_error())
        self._free()

    def _free(self) -> None:
        """Free the weights, and tell who waits for it."""
        if self._model is not None:
            import llama_cpp

            llama_cpp.llama_free(self._context)
            self._model.close()
            self._context = self._model = None
        with self._changed:
            self._unloading = False
            self._changed.notify_all()

    def _answer(self, requests: list[_Request[T]]) -> list[list[NDArray[np.float32]]]:
        """The vectors of each request: every text that is not in the cache is embedded once for all of them."""
        texts = {key: text for request in requests for key, text in request.texts.items()}
        vectors = {key: vector for key in texts if (vector := self._cache.get(key)) is not None}
        missing = [key for key in texts if key not in vectors]
        if missing:
            for key, row in zip(missing, self._embed([texts[key] for key in missing]), strict=True):
                vectors[key] = row.copy()  # a view would keep the whole batch in memory
                self._cache.put(key, vectors[key])
        return [[vectors[key] for key in request.texts] for request in requests]

    def _load(self) -> LlamaModel:
        """The model with its context; a failed attempt is made again by the next request."""
        if self._model is not None:
            return self._model
        import llama_cpp

        if self._before_load is not None:
            self._before_load()
        model = LlamaModel(self._path)
        self._length = min(model.header.context_length or _PACK, 8192)
        parameters: Any = llama_cpp.llama_context_default_params()
        # An encoder takes a batch in one piece: physical and logical size are the same.
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = max(self._length, _PACK)
        parameters.n_seq_max = _SEQUENCES
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = self._threads
        parameters.embeddings = True
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        try:
            if (pooling := self._pooling(model)) is not None:
                parameters.pooling_type = pooling
            self._context = model.new_context(parameters)
        except FreeholdError:
            model.close()
            raise
        self._model = model
        return model

    def _pooling(self, model: LlamaModel) -> int | None:
        """How a text's tokens become one row, where it is not as the file says."""
        import llama_cpp

        return int(llama_cpp.LLAMA_POOLING_TYPE_MEAN) if model.header.pooling in (None, "none") else None

    def _tokens(self, model: LlamaModel, text: Any) -> list[int]:
        """The tokens of a text, at most `_length`."""
        tokens = model.tokenize(text[: self._length * LONGEST_TOKEN], special=False, wrap=True)
        # The last token of what is too long stays the model's own ending.
        return tokens if len(tokens) <= self._length else [*tokens[: self._length - 1], tokens[-1]]

    def _width(self, model: LlamaModel) -> int:
        """Numbers in a row."""
        return model.embedding_length

    def _finish(self, rows: NDArray[np.float32]) -> None:
        """Make of llama.cpp's rows what callers get, in place: vectors of length 1."""
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows /= np.maximum(norms, np.finfo(np.float32).tiny)

    def _embed(self, texts: list[T]) -> NDArray[np.float32]:
        """Rows for the texts: short ones share a batch, in order of length so that batches fill well."""
        model = self._load()
        tokens = [self._tokens(model, text) for text in texts]
        rows = np.empty((len(texts), self._width(model)), dtype=np.float32)
        batch: list[int] = []
        size = 0
        for index in sorted(range(len(texts)), key=lambda index: len(tokens[index])):
            if batch and (size + len(tokens[index]) > _PACK or len(batch) == _SEQUENCES):
                rows[batch] = self._decode(model, [tokens[i] for i in batch])
                batch, size = [], 0
            batch.append(index)
            size += len(tokens[index])
        if batch:
            rows[batch] = self._decode(model, [tokens[i] for i in batch])
        self._finish(rows)
        return rows

    def _decode(self, model: LlamaModel, sequences: list[list[int]]) -> NDArray[np.float32]:
        """One batch through llama.cpp: row i is the pooled vector of sequence i."""
        import llama_cpp

        total = sum(map(len, sequences))
        batch = Batch(total)
        for index, sequence in enumerate(sequences):
            batch.add(sequence, 0, index, len(sequence))
        memory: Any = llama_cpp.llama_get_memory(self._context)
        if memory:  # a decoder used for embeddings must not see the batch before
            llama_cpp.llama_memory_clear(memory, True)
        status = llama_cpp.llama_decode(self._context, batch.ready())
        if status != 0:
            raise InferenceError(
                f"{self._owned}: llama.cpp failed at {len(sequences)} texts of {total} tokens (status {status})."
            )
        width = self._width(model)
        rows = np.empty((len(sequences), width), dtype=np.float32)
        for index in range(len(sequences)):
            pooled: Any = llama_cpp.llama_get_embeddings_seq(self._context, index)
            rows[index] = np.ctypeslib.as_array(pooled, shape=(width,))
        return rows
