"""What the engine says about its work."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EngineStats", "StepReport"]


@dataclass(slots=True)
class StepReport:
    """One step of the engine: what went through the model, and what is there afterwards."""

    rows: int
    """Tokens in the batch: prompts, newest tokens and drafts."""
    prefill_tokens: int
    """Of these, tokens of prompts."""
    decode_tokens: int
    """Tokens generated in the step."""
    reused_tokens: int
    """Prompt tokens of requests that began here, whose keys and values were there already."""
    drafted_tokens: int
    accepted_tokens: int
    preemptions: int
    """Requests that were paused because the cache was full."""
    waiting: int
    """Requests in the queue."""
    running: int
    """Requests at work."""
    kv_used: int
    """Cells that running requests need."""
    kv_cached: int
    """Cells that are kept for reuse only."""
    kv_size: int
    """Cells in all."""
    seconds: float


@dataclass(frozen=True)
class EngineStats:
    """An engine's state now, and its work since it was made; counts are of tokens, requests and cells.

    Example:
        >>> EngineStats().running
        0
    """

    waiting: int = 0
    """Requests in the queue."""
    running: int = 0
    """Requests at work."""
    kv_used: int = 0
    """Cells of the cache that running requests need."""
    kv_cached: int = 0
    """Cells that hold finished prompts and answers, for reuse."""
    kv_size: int = 0
    """Cells in all."""
    steps: int = 0
    step_seconds: float = 0.0
    """Time in steps, waiting left out."""
    prefill_tokens: int = 0
    decode_tokens: int = 0
    reused_tokens: int = 0
    """Prompt tokens that did not have to be computed."""
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    preemptions: int = 0
    """Requests that were paused because the cache was full."""

    def after(self, step: StepReport) -> EngineStats:
        """The statistics with one more step."""
        return EngineStats(
            waiting=step.waiting,
            running=step.running,
            kv_used=step.kv_used,
            kv_cached=step.kv_cached,
            kv_size=step.kv_size,
            steps=self.steps + (step.rows > 0),
            step_seconds=self.step_seconds + step.seconds,
            prefill_tokens=self.prefill_tokens + step.prefill_tokens,
            decode_tokens=self.decode_tokens + step.decode_tokens,
            reused_tokens=self.reused_tokens + step.reused_tokens,
            drafted_tokens=self.drafted_tokens + step.drafted_tokens,
            accepted_tokens=self.accepted_tokens + step.accepted_tokens,
            preemptions=self.preemptions + step.preemptions,
        )
