"""A model's vocabulary, as llguidance reads it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from freehold.errors import InferenceError, ModelFileError
from freehold.inference.guide_closing import Closing

if TYPE_CHECKING:
    from llguidance import LLTokenizer

    from freehold.inference.llama_model import LlamaModel

__all__ = ["Vocabulary"]

_LONGEST_PIECE = 16 * 1024


class _Tokens:
    """What llguidance looks for in a tokenizer. Its own reader of llama.cpp's vocabularies calls what is deprecated."""

    bos_token_id = None

    def __init__(self, model: LlamaModel) -> None:
        import llama_cpp

        self._model = model
        self.tokenizer: LLTokenizer | None = None
        self.tokens: list[bytes] = []
        self.special_token_ids: list[int] = []
        self.ends: list[int] = []
        buffer = ctypes.create_string_buffer(_LONGEST_PIECE)
        for token in range(model.vocabulary_size):
            length = llama_cpp.llama_token_to_piece(model.vocab, token, buffer, _LONGEST_PIECE, 0, True)
            piece = ctypes.string_at(buffer, max(0, length))
            kind = llama_cpp.llama_vocab_get_attr(model.vocab, token)
            ends = model.ends(token)
            marked = kind & llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED and piece[:1] == b"<" and piece[-1:] == b">"
            if ends or marked or kind & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL:
                self.special_token_ids.append(token)
            if ends:
                self.ends.append(token)
            self.tokens.append(piece)
        self.eos_token_id = self.ends[0] if self.ends else -1

    def __call__(self, text: bytes | str) -> list[int]:
        data = text.encode() if isinstance(text, str) else text
        try:
            tokens = self._model.tokenize(data.decode("utf-8", "replace"), special=False)
        except InferenceError:  # closed meanwhile
            tokens = []
        # Some models put a space before every text, and half a character is no text.
        if b"".join(self.tokens[token] for token in tokens) == data or self.tokenizer is None:
            return tokens
        return self.tokenizer.greedy_tokenize(data.decode("utf-8", "replace"))


@dataclass(frozen=True)
class Vocabulary:
    """What following a grammar needs to know of a model."""

    tokenizer: LLTokenizer
    closing: Closing
    ends: NDArray[np.intp]
    """Tokens that end a generation."""
    size: int
    tokens: _Tokens

    def close(self) -> None:
        """Let go: llguidance's side takes no part in Python's garbage collection, and holds the model otherwise."""
        self.tokens.tokenizer = None

    @classmethod
    def read(cls, model: LlamaModel) -> Vocabulary:
        """Read it from an open model.

        Raises:
            ModelFileError: No token ends a text.
        """
        from llguidance import LLTokenizer, TokenizerWrapper

        tokens = _Tokens(model)
        if not tokens.ends:
            raise ModelFileError(
                f"{model.header.path} names no token that ends a text, so a text that follows a schema or a grammar "
                "could not end either. Use a model whose file names one."
            )
        tokenizer = LLTokenizer(TokenizerWrapper(tokens), eos_token=tokens.ends, slices=LLTokenizer.json_slices())
        tokens.tokenizer = tokenizer
        special = frozenset(tokens.special_token_ids)
        pieces = [b"" if token in special else piece for token, piece in enumerate(tokens.tokens)]
        return cls(tokenizer, Closing(pieces, tokens.ends[0]), np.array(tokens.ends, np.intp), len(pieces), tokens)
