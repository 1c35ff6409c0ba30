"""What goes into a generation and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["FinishReason", "GenerationChunk", "GenerationRequest", "GenerationResult", "TokenLogprob"]

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
    repeat_penalty: float = 1.0
    """Divides the positive, and multiplies the negative logits of tokens in the window; 1 changes nothing."""
    frequency_penalty: float = 0.0
    """Subtracted from a token's logit for each time that it stands in the window."""
    presence_penalty: float = 0.0
    """Subtracted from a token's logit if it stands in the window at all."""
    penalty_window: int = 64
    """Newest tokens, of the prompt too, that the three penalties look at."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of single tokens; `-inf` forbids one."""
    stop: tuple[str, ...] = ()
    """Strings that end the text; they are not part of it."""
    json_schema: Mapping[str, Any] | None = None
    """The text is JSON of this schema, forced by a grammar; it is whole also where `max_tokens` comes near."""
    grammar: str | None = None
    """The text follows this GBNF grammar."""
    lark: str | None = None
    """The text follows this grammar in llguidance's Lark form. At most one of the three forms can be given."""
    logprobs: int | None = None
    """How many of the likeliest tokens to report beside each generated one, 0 to 20; None reports nothing."""
    deadline: float | None = None
    """Seconds from submission after which the request fails with `DeadlineError`."""
    priority: int = 0
    """Higher ones leave the queue first, and are paused last where the cache is full."""
    lookup: bool = True
    """Draft tokens from what the prompt, or an earlier request, says after the same words. Changes the speed only."""
    thread: str | None = None
    """The conversation that this belongs to: its keys and values can then be kept on disk, and erased by this name."""


@dataclass(frozen=True)
class TokenLogprob:
    """A generated token with the model's own log-probability: before temperature, penalties, bias and grammar."""

    token: int
    piece: bytes
    """What the token stands for; may be part of a character."""
    logprob: float
    """Natural logarithm."""
    top: tuple[tuple[int, bytes, float], ...] = ()
    """The likeliest tokens with their pieces and log-probabilities, the likeliest first."""


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
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens since the last chunk, where they were asked for."""
    reused_tokens: int = 0
    """Prompt tokens whose keys and values were there already."""


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
    reused_tokens: int = 0
    """Prompt tokens whose keys and values were there already."""
    drafted_tokens: int = 0
    """Tokens that were drafted by lookup."""
    accepted_tokens: int = 0
    """Drafted tokens that the model would have chosen too: each saved a step."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """One for each generated token, where they were asked for."""

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second, prefill left out; 0.0 where there is nothing to divide."""
        seconds = self.seconds - self.prefill_seconds
        return self.completion_tokens / seconds if seconds > 0 else 0.0
