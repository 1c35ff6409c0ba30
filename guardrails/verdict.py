"""What a guardrail says of a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from freehold.state import VerdictRecord

__all__ = ["Guardrail", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """A decision with its explanation; a block unless a rail says otherwise.

    Example:
        >>> Verdict(rail="regex", explanation="matches 'ignore previous instructions'").decision
        'block'
    """

    rail: str
    """Name of the rail that decided."""
    explanation: str
    """One sentence for the person who wrote the text; it never repeats personal data."""
    decision: Literal["allow", "block", "mask"] = "block"
    """`mask` lets `text` pass in place of what was checked."""
    text: str = ""
    """The text that may go on, normalised and masked; empty for a block."""
    failed: bool = False
    """True where the rail itself failed: then the decision is a block."""
    score: float | None = None
    """What the rail measured, where it measures something."""
    threshold: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    """Plain JSON: rules that matched, kinds of personal data and their counts."""

    def record(self, surface: Literal["input", "output"]) -> VerdictRecord:
        """The verdict as state holds it."""
        return {
            "surface": surface,
            "rail": self.rail,
            "decision": self.decision,
            "explanation": self.explanation,
            "failed": self.failed,
        }


class Guardrail(Protocol):
    """Anything that can check a text before the model sees it, or before the user does."""

    async def check_input(self, text: str) -> Verdict:
        """Check what the user wrote."""
        ...

    async def check_output(self, text: str) -> Verdict:
        """Check what the model answered."""
        ...
