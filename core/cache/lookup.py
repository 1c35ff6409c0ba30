"""What a look into the cache gives, and what finds questions of like meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self

from freehold.cache.answer import CachedAnswer
from freehold.cache.evidence import Evidence, Near

__all__ = ["Lookup", "QuestionIndex", "Ticket", "Tier"]

Tier = Literal["memory", "exact", "semantic", "flight"]


@dataclass(frozen=True)
class Ticket:
    """What a lookup that missed hands to whoever stores the answer. Plain JSON, so that a run's state can carry it.

    Example:
        >>> Ticket.of(Ticket(flight="f1", evidence=Evidence("key", "What?", 0.9)).plain()).evidence.entry
        'key'
    """

    flight: str | None = None
    """The token under which others wait for the answer of this run; None where none can."""
    evidence: Evidence | None = None
    """What is known of the earlier question that came nearest: both answers are compared."""
    confirms: bool = False
    """The question was served that one's answer before; it is answered anew, so that the comparison tells."""
    documents: str = ""
    """Version of the documents when the cache was asked: an answer that they changed under is not kept."""

    def plain(self) -> dict[str, Any]:
        """The ticket as a dictionary of JSON values."""
        plain = asdict(self)
        if self.evidence is not None:
            plain["evidence"]["signals"] = [*self.evidence.signals]
        return plain

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """The ticket that `plain` gave."""
        evidence = plain.get("evidence")
        return cls(**{**plain, "evidence": Evidence.of(evidence) if evidence else None})


@dataclass(frozen=True)
class Lookup:
    """What a look into the cache gave, and on which evidence."""

    outcome: Literal["hit", "miss", "error"]
    """`error` is a miss because the cache could not be read."""
    key: str
    """The exact key of this question in this situation."""
    reason: str
    """One sentence for a person."""
    tier: Tier | None = None
    """Who answered: this process' memory, the store, a question of the same meaning, or a run that was under way."""
    entry: CachedAnswer | None = None
    """The answer; None without a hit."""
    entry_key: str | None = None
    """The key of that answer, for `report`."""
    evidence: Evidence | None = None
    """What is known of the earlier question: whose answer is served, or was looked at and refused."""
    score: float | None = None
    """What decided, where the semantic tier was asked: a similarity, or the probability that the answer is right."""
    threshold: float | None = None
    """What the score was held against."""
    ticket: Ticket = Ticket()
    """Without a hit, what `store` and `land` take."""


class QuestionIndex(Protocol):
    """Finds earlier questions of like meaning within a scope; `freehold.memory.SemanticIndex` is one."""

    async def add(
        self, key: str, question: str, scope: str, *, ttl_seconds: float | None = None, owner: str = ""
    ) -> None:
        """Put a question under the key of its answer, and keep it no longer than this; None sets no time."""
        ...

    async def nearest(self, question: str, scope: str, limit: int = 1) -> list[Near]:
        """The nearest questions of the scope, best first."""
        ...

    async def extend(self, key: str, ttl_seconds: float) -> None:
        """Keep the question under this key so long from now, where it is there."""
        ...

    async def remove(self, *keys: str) -> None:
        """Forget the questions under these keys."""
        ...

    async def forget(self, *owners: str) -> None:
        """Forget every question of these owners, down to the bytes where they are the index's own."""
        ...

    async def clear(self) -> None:
        """Forget every question."""
        ...

    async def close(self) -> None:
        """Give threads and connections back; closing twice is closing once."""
        ...
