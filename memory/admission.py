"""What may enter long-term memory, and what became of a message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from freehold import metrics
from freehold.errors import SettingsError
from freehold.state import Memory

__all__ = ["Admission", "Proposal", "Remembered"]


@dataclass(frozen=True)
class Proposal:
    """What an extractor found in a message."""

    facts: list[str]
    """The facts, in their order."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """What it found and refused, by reason: `question`, `assistant`, `no_evidence`."""


@dataclass(frozen=True)
class Remembered:
    """What became of a message."""

    stored: list[Memory] = field(default_factory=list)
    """Memories that are new, or that say something else than before."""
    superseded: list[str] = field(default_factory=list)
    """Texts that the new facts contradict, and took the place of."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """How many were refused, by reason: `question`, `assistant`, `no_evidence`, `duplicate`, `empty`, `too_long`."""


@dataclass(frozen=True)
class Admission:
    """Which facts are let in. Every refusal is counted in `freehold_memory_refused_total`, by its reason."""

    duplicate_similarity: float = 0.8
    """Least cosine similarity of two facts that say the same in other words; 1 refuses equal ones only."""
    supersede: bool = True
    """Whether a fact that contradicts an old one takes its place; otherwise both are kept."""
    candidates: int = 16
    """How many of the nearest memories a new fact is compared with, beside those of the same attribute."""
    max_characters: int = 2000
    """Longest memory; a longer text is a document."""

    def __post_init__(self) -> None:
        if not 0 <= self.duplicate_similarity <= 1 or self.candidates < 1 or self.max_characters < 1:
            raise SettingsError(
                f"duplicate_similarity={self.duplicate_similarity}, candidates={self.candidates} and "
                f"max_characters={self.max_characters}: give 0 to 1, and at least 1 for the others."
            )

    def clean(self, proposal: Proposal) -> tuple[list[str], Counter[str]]:
        """The facts that have a text of a memory's length, each once, and what was refused so far."""
        refused = Counter(proposal.refused)
        facts: dict[str, None] = {}
        for fact in (tidy(one) for one in proposal.facts):
            if not fact or len(fact) > self.max_characters:
                refused["too_long" if fact else "empty"] += 1
            else:
                facts[fact] = None
        return list(facts), refused

    def checked(self, text: str) -> str:
        """A text that its owner gives for a memory.

        Raises:
            SettingsError: It is empty or too long.
        """
        fact = tidy(text)
        if not fact or len(fact) > self.max_characters:
            raise SettingsError(f"The text has {len(fact)} characters; a memory has 1 to {self.max_characters}.")
        return fact


def tidy(text: str) -> str:
    """A text as it is stored: one line, and no half of a surrogate pair, which has no UTF-8 form."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def counted(remembered: Remembered) -> Remembered:
    """The same; its refusals are in the metric now."""
    for reason, number in remembered.refused.items():
        metrics.memory_refused().labels(reason=reason).inc(number)
    return remembered
