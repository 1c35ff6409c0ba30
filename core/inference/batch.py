"""A batch for `llama_decode`, filled again for every step."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Batch"]


class Batch:
    """Tokens with their positions and sequences, in numpy arrays that llama.cpp reads in place.

    `llama_batch` is six parallel arrays: numpy fills them by slices, where ctypes takes a microsecond per value.

    Args:
        capacity: Tokens at most.
    """

    def __init__(self, capacity: int) -> None:
        import llama_cpp

        self.capacity = capacity
        self.size = 0
        self._token = np.zeros(capacity, dtype=np.int32)
        self._position = np.zeros(capacity, dtype=np.int32)
        self._count = np.ones(capacity, dtype=np.int32)
        self._sequence = np.zeros(capacity, dtype=np.int32)
        self._output = np.zeros(capacity, dtype=np.int8)
        self._address = self._sequence.ctypes.data + np.arange(capacity, dtype=np.uintp) * self._sequence.itemsize
        self._batch: Any = llama_cpp.llama_batch(
            0,
            _pointer(self._token, ctypes.c_int32),
            None,
            _pointer(self._position, ctypes.c_int32),
            _pointer(self._count, ctypes.c_int32),
            _pointer(self._address, ctypes.POINTER(ctypes.c_int32)),
            _pointer(self._output, ctypes.c_int8),
        )

    def clear(self) -> None:
        """Begin anew."""
        self.size = 0

    def add(self, tokens: Sequence[int], position: int, sequence: int, outputs: int) -> None:
        """Append a run of tokens of one sequence; the last `outputs` of them give logits."""
        start, count = self.size, len(tokens)
        end = start + count
        if count == 1:  # slices cost ten times a single value
            self._token[start] = tokens[0]
            self._position[start] = position
            self._sequence[start] = sequence
            self._output[start] = outputs
        else:
            self._token[start:end] = tokens
            self._position[start:end] = np.arange(position, position + count, dtype=np.int32)
            self._sequence[start:end] = sequence
            self._output[start:end] = 0
            self._output[end - outputs : end] = 1
        self.size = end

    def ready(self) -> Any:
        """The `llama_batch` to decode; valid until the next `clear`."""
        self._batch.n_tokens = self.size
        return self._batch


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))
