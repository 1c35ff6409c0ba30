"""What goes into a generation and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["FinishReason", "GenerationChunk", "GenerationRequest", "GenerationResult"]

FinishReason = Literal["stop", "length"]
"""`stop`: the model or a stop string ended the text; `length`: `max_tokens` or the context did."""


@dataclass(frozen=True)
class GenerationRequest:
    """A rendered prompt with the way to continue it.

    Example:
        >>> GenerationRequest("Once upon a time", max_tokens=8).temperature
        0.0
    """

    prompt: str | tuple[int, ...]
    """Text as `Engine.render` gives it, or its tokens."""
    max_tokens: int = 512
    """Most tokens to generate; the context's end may come first."""
    temperature: float = 0.0
    """0 always takes the likeliest token."""
    top_p: float = 1.0
    top_k: int = 40
    """0 keeps every token."""
    min_p: float = 0.0
    seed: int | None = None
    """Makes sampling repeatable; None draws a seed."""
    stop: tuple[str, ...] = ()
    """Strings that end the text; they are not part of it."""
    json_schema: Mapping[str, Any] | None = None
    """The text is JSON of this schema, forced by a grammar."""
    grammar: str | None = None
    """The text follows this GBNF grammar; not together with `json_schema`."""


@dataclass(frozen=True)
class GenerationChunk:
    """Text that has just been generated."""

    text: str
    finish_reason: FinishReason | None
    """Set on the last chunk only."""
    prompt_tokens: int
    completion_tokens: int
    """Tokens generated so far."""
    prefill_seconds: float
    """From the request's turn to its first token."""
    seconds: float
    """From the request's turn until now."""


@dataclass(frozen=True)
class GenerationResult:
    """A finished generation."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    prefill_seconds: float
    """From the request's turn to its first token."""
    seconds: float
    """From the request's turn to its end; waiting in the queue is not counted."""
    queued_seconds: float = 0.0
    """Waiting for the engine."""

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second, prefill left out; 0.0 where there is nothing to divide."""
        seconds = self.seconds - self.prefill_seconds
        return self.completion_tokens / seconds if seconds > 0 else 0.0
