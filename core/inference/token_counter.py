"""Tokens of a text, counted by a model's vocabulary alone."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

from freehold.inference.llama_model import LlamaModel

__all__ = ["TokenCounter"]


class TokenCounter:
    """Counts tokens as a model would, without its weights: the vocabulary loads on first use, in about 0.1 s.

    It may be called from any thread. 400 characters take about 70 microseconds.

    Args:
        path: The GGUF file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._model: LlamaModel | None = None

    def __call__(self, text: str) -> int:
        """Tokens of the text, with those that the model puts around it.

        Raises:
            ModelFileError: llama.cpp refuses the file.
        """
        with self._lock:
            if self._model is None:
                self._model = LlamaModel(self._path, vocabulary_only=True)
                weakref.finalize(self, self._model.close)
        return self._model.count_tokens(text)
