"""Drafts tokens from the text that is there already, for speculative decoding."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PromptLookup"]

_LENGTHS = (2, 3, 4)
"""Tokens that may agree. The longest match counts: it is followed by the same words more often."""

_BITS = 32
"""Of a token. Tokens are packed into one number: a hundred thousand tuples would keep the garbage collector busy."""


class PromptLookup:
    """Finds what followed the last time that a sequence ended like this.

    Answers that quote their context are drafted by looking them up in it: no second model is needed. The model checks a
    whole draft in one step (A. Saxena, "Prompt Lookup Decoding", 2023; N. Yang et al., "Inference with Reference:
    Lossless Acceleration of Large Language Models", 2023, arXiv 2304.04487).

    Nothing is indexed before the first draft; after it, each token costs the same, however long the sequence is.

    Args:
        tokens: The prompt.

    Example:
        >>> PromptLookup([1, 2, 3, 4, 5, 1, 2]).draft(3)
        [3, 4, 5]
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)
        self._followed: dict[int, dict[int, int]] = {length: {} for length in _LENGTHS}
        """By length: where the newest token stands that followed these tokens."""
        self._indexed = 0

    def push(self, token: int) -> None:
        """Take the next token of the sequence."""
        self._tokens.append(token)

    def draft(self, limit: int) -> list[int]:
        """What followed the newest earlier occurrence of the last tokens: at most `limit` of them, [] where none is.

        A sequence that repeats itself is taken to go on so: the draft may be longer than what followed.
        """
        if limit <= 0:
            return []
        self._index()
        tokens = self._tokens
        start, key = None, tokens[-1] if tokens else 0
        for length in _LENGTHS:
            if len(tokens) < length:
                break
            key |= tokens[-length] << _BITS * (length - 1)
            longer = self._followed[length].get(key)
            if longer is None:  # then neither did more tokens stand anywhere before
                break
            start = longer
        if start is None:
            return []
        found = tokens[start : start + limit]
        return (found * -(-limit // len(found)))[:limit]

    def _index(self) -> None:
        """Note, for all tokens since the last call, which ones stood before them."""
        tokens, end = self._tokens, len(self._tokens)
        start = max(self._indexed, 1)
        keys = tokens[start - 1 : end - 1]
        for length in _LENGTHS:
            first = max(start, length)
            shift, older = _BITS * (length - 1), tokens[first - length : max(end - length, 0)]
            keys = [token << shift | key for token, key in zip(older, keys[first - start :], strict=True)]
            self._followed[length].update(zip(keys, range(first, end), strict=True))
            start = first
        self._indexed = end
