"""How an engine is set up."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.errors import UserError
from freehold.inference.gguf import ModelHeader

__all__ = ["EngineOptions", "default_cache_tokens", "default_context_length"]

_DEFAULT_CONTEXT = 8192
_MOST_SLOTS = 64

_KEPT = 32
"""Beginnings that are kept for reuse, beyond the requests at work."""


def default_context_length(header: ModelHeader) -> int:
    """The model's own context, at most 8,192 tokens."""
    return min(header.context_length or _DEFAULT_CONTEXT, _DEFAULT_CONTEXT)


def default_cache_tokens(context_length: int) -> int:
    """Cells for all requests together: four whole contexts, but no more than 8,192 where one fits that."""
    return max(context_length, min(4 * context_length, _DEFAULT_CONTEXT))


@dataclass(frozen=True)
class EngineOptions:
    """The numbers that an engine works with.

    Raises:
        UserError: A number lies outside its range.

    Example:
        >>> EngineOptions(context_length=1024, cache_tokens=4096, slots=8, threads=2).sequences
        40
    """

    context_length: int
    """Tokens of prompt and answer together."""
    cache_tokens: int
    """Cells of the key-value cache, for all requests together."""
    slots: int
    """Requests that run together."""
    threads: int
    """For a step of one token."""
    batch_threads: int = 0
    """For prompts, drafts and several requests together; 0 is the same as `threads`."""
    queue_size: int = 64
    """Requests that may wait."""
    flash_attention: bool = True

    def __post_init__(self) -> None:
        for name in ("context_length", "cache_tokens", "slots", "threads", "queue_size"):
            value = getattr(self, name)
            if value < 1:
                raise UserError(f"{name}={value} cannot be used for an engine: give 1 or more.")
        if self.slots > _MOST_SLOTS:
            raise UserError(f"slots={self.slots} cannot be used for an engine: give {_MOST_SLOTS} or fewer.")
        if self.cache_tokens < self.context_length:
            raise UserError(
                f"cache_tokens={self.cache_tokens} is less than one context of {self.context_length} tokens: "
                "give at least that."
            )

    @property
    def sequences(self) -> int:
        """Sequences of llama.cpp's context: one for each request that runs, and those that keep what is reused."""
        return self.slots + _KEPT

    @property
    def outputs(self) -> int:
        """Rows of logits that a step may give: llama.cpp fails an assertion below one for each sequence."""
        return max(64, self.sequences)
