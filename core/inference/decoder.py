"""A llama.cpp context with its batch and its cache: one step of the model, and nothing of requests."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from freehold.errors import InferenceError, StorageError
from freehold.inference.batch import Batch
from freehold.inference.kv_cache import CachedSequence, KvCache
from freehold.inference.llama_model import LlamaModel
from freehold.inference.options import EngineOptions
from freehold.inference.prefix_tree import Node

if TYPE_CHECKING:
    from freehold.inference.sequence_store import SequenceStore

__all__ = ["Decoder"]

logger = logging.getLogger(__name__)

_BATCH = 512
"""Tokens in a step at most."""

_WORTH_SAVING = 256
"""Tokens of a conversation from which on it is kept on disk: fewer are read anew as fast."""


class Decoder:
    """Owns a context; only one thread may use it.

    Args:
        model: The loaded model.
        options: How the context is made.
        store: Where conversations go whose cells are needed.

    Raises:
        InferenceError: llama.cpp cannot make the context.
    """

    def __init__(self, model: LlamaModel, options: EngineOptions, store: SequenceStore | None) -> None:
        self._model, self._options, self._store = model, options, store
        self.batch = Batch(_BATCH)
        self.outputs = 0
        """Rows of logits that the batch will give."""
        # Writing 1,000 tokens of a small model takes 70 ms: running answers do not wait for the disk.
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="freehold-sequences") if store is not None else None
        self._open()

    def _open(self) -> None:
        import llama_cpp

        options = self._options
        parameters: Any = llama_cpp.llama_context_default_params()
        parameters.n_ctx = options.cache_tokens
        parameters.n_batch = parameters.n_ubatch = _BATCH
        parameters.n_seq_max = options.sequences
        parameters.kv_unified = True
        self.most_outputs = options.outputs
        parameters.n_outputs_max, parameters.n_outputs_max_per_seq = self.most_outputs, 0
        parameters.n_threads = options.threads
        parameters.n_threads_batch = options.batch_threads or options.threads
        parameters.flash_attn_type = (
            llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if options.flash_attention
            else llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self._context = self._model.new_context(parameters)
        self.cache = KvCache(
            self._context,
            options,
            sharing=self._model.forgets,
            spill=self._save if self._store is not None else None,
        )

    def reset(self) -> None:
        """Begin with a new context, after a step has failed: what the old one holds cannot be trusted."""
        self._free()
        self._open()

    def begin(self) -> None:
        """Begin to fill a batch."""
        self.batch.clear()
        self.outputs = 0

    def add(self, sequence: CachedSequence, tokens: list[int], outputs: int) -> None:
        """Let a sequence go on with these tokens; the last `outputs` of them give logits."""
        self.batch.add(tokens, len(sequence.tokens), sequence.id, outputs)
        self.outputs += outputs

    def decode(self) -> NDArray[np.float32]:
        """Run the batch: one row of logits per output, in order. They are valid, and may be changed, until the next.

        Raises:
            InferenceError: llama.cpp failed; `reset` is due.
        """
        import llama_cpp

        status = llama_cpp.llama_decode(self._context, self.batch.ready())
        if status != 0:
            raise InferenceError(
                f"llama.cpp could not decode a batch of {self.batch.size} tokens of {self._model.header.name} "
                f"(status {status}). The engine goes on with an empty cache; try again."
            )
        if not self.outputs:
            return np.empty((0, 0), dtype=np.float32)
        rows: Any = llama_cpp.llama_get_logits(self._context)
        address = ctypes.cast(rows, ctypes.c_void_p).value
        assert address is not None  # noqa: S101 - there are outputs
        size = self.outputs * self._model.vocabulary_size
        buffer: Any = (ctypes.c_float * size).from_address(address)
        flat: NDArray[np.float32] = np.frombuffer(buffer, dtype=np.float32)
        return flat.reshape(self.outputs, self._model.vocabulary_size)

    def _save(self, leaf: Node) -> None:
        """Keep a conversation on disk."""
        import llama_cpp

        if self._store is None or self._disk is None or leaf.thread is None or leaf.depth() < _WORTH_SAVING:
            return
        size = llama_cpp.llama_state_seq_get_size(self._context, leaf.holder or 0)
        state = (ctypes.c_uint8 * size)()
        written = llama_cpp.llama_state_seq_get_data(self._context, state, size, leaf.holder or 0)
        if written:
            self._later(self._store.save, leaf.thread, leaf.path(), memoryview(state)[:written])
        leaf.saved = True

    def restore(self, tokens: list[int]) -> CachedSequence | None:
        """What is on disk of `tokens`, where that is worth more than what the cache knows of them."""
        import llama_cpp

        if self._store is None:
            return None
        saved = self._store.longest(tokens)
        if saved is None or saved.common < self.cache.known(tokens) + _WORTH_SAVING:
            return None
        whole = [int(token) for token in saved.tokens]
        if not self.cache.reserve(len(whole)) or (state := self._store.load(saved)) is None:
            return None
        sequence = self.cache.begin([])
        data = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if not llama_cpp.llama_state_seq_set_data(self._context, data, len(state), sequence.id):
            logger.warning("llama.cpp does not take a saved conversation of %d tokens; it is read anew", len(whole))
            self.cache.end(sequence)
            return None
        self.cache.extend(sequence, whole)
        self.cache.truncate(sequence, min(saved.common, len(tokens) - 1))
        self.cache.publish(sequence)
        return sequence

    def forget(self, thread: str) -> None:
        """Forget a conversation, here and on disk; what others share of it stays."""
        for leaf in self.cache.leaves():
            if leaf.thread == thread:
                self.cache.drop(leaf)
        if self._disk is not None:
            self._later(self._erase, thread)  # behind what is still to be written of it

    def _later(self, write: Callable[..., object], *arguments: Any) -> None:
        """Write in the disk's own thread; here where that has ended, at close or at the interpreter's end."""
        assert self._disk is not None  # noqa: S101 - there is one with a store
        try:
            self._disk.submit(write, *arguments)
        except RuntimeError:
            write(*arguments)

    def _erase(self, thread: str) -> None:
        assert self._store is not None  # noqa: S101 - there is a disk thread only with a store
        try:
            self._store.erase(thread)
        except StorageError:  # the caller of `Engine.forget` hears of it
            logger.exception("a saved conversation was not erased")

    def save_all(self) -> None:
        """Keep every conversation on disk, one after another; the most recently used last: it stays longest."""
        if self._context is None or self._disk is None:
            return
        self._disk.shutdown(wait=True)  # from here on each is written before the next one's state is copied
        for leaf in reversed(self.cache.leaves()):
            if not leaf.saved:
                self._save(leaf)

    def _free(self) -> None:
        import llama_cpp

        if self._context is not None:
            llama_cpp.llama_free(self._context)
            self._context = None

    def close(self) -> None:
        """Free the context, and finish what is to be written."""
        self._free()
        if self._disk is not None:
            self._disk.shutdown(wait=True)
