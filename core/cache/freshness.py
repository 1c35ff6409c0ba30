"""How long an answer may be served, and whether what it relies on is still what it was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from freehold.errors import SettingsError

__all__ = ["Freshness", "SourceTable"]


class SourceTable(Protocol):
    """Says what documents hold now; `freehold.memory.Documents` is one. Neither method waits."""

    def version(self) -> str:
        """Changes when any document does."""
        ...

    def digest(self, source: str) -> str | None:
        """Digest of a document's content; None where the document is gone."""
        ...


@dataclass(frozen=True)
class Freshness:
    """How long an answer lives: longer the more it is used, shorter where its documents change.

    A time to live is what covers changes that nobody told the cache of, such as files that were not ingested again. An
    answer that is asked for often is worth keeping: each doubling of its uses adds its first time to live once more, up
    to `longest`. A document that changed before will change again: an answer that cites it lives at most as long as the
    document last stayed the same. And where documents came or changed since, they may hold a better answer: it is kept
    for a seventh of its time, so that a week becomes a day.

    The rule for documents is the heuristic freshness of HTTP (RFC 9111, section 4.2.2), which judges a page by its
    age.

    Example:
        >>> freshness = Freshness(ttl_seconds=86400)
        >>> freshness.ttl(uses=0), freshness.ttl(uses=3), freshness.ttl(uses=0, stayed=3600.0)
        (86400, 259200.0, 3600.0)
    """

    ttl_seconds: float = 7 * 24 * 3600
    """Of an answer that was never used."""
    longest: float = 4.0
    """The most that use makes of it, as a multiple."""
    shortest_seconds: float = 60.0
    """The least that a changing document makes of it."""

    def __post_init__(self) -> None:
        if not self.ttl_seconds > 0:
            raise SettingsError(f"ttl_seconds={self.ttl_seconds} cannot be used: give a time above 0.")
        if not self.longest >= 1:
            raise SettingsError(f"longest={self.longest} cannot be used: give a multiple of 1 or more.")
        if not self.shortest_seconds > 0:
            raise SettingsError(f"shortest_seconds={self.shortest_seconds} cannot be used: give a time above 0.")

    def ttl(self, uses: int, stayed: float | None = None) -> float:
        """Seconds that an answer lives from when it was written.

        Args:
            uses: How often it was used.
            stayed: Seconds that the document it cites which changes most stayed the same; None where none ever changed.
        """
        grown = self.ttl_seconds * min(self.longest, 1 + math.log2(1 + uses)) if uses else self.ttl_seconds
        return grown if stayed is None else min(grown, max(stayed, self.shortest_seconds))

    def left(self, age: float, uses: int, stayed: float | None = None, *, superseded: bool = False) -> float:
        """Seconds that an answer of this age has left.

        Args:
            age: Seconds since it was written.
            uses: How often it was used.
            stayed: As for `ttl`.
            superseded: Documents came or changed since, though none of those that it cites.
        """
        left = max(0.0, self.ttl(uses, stayed) - age)
        return min(left, self.ttl_seconds / 7) if superseded else left

    @staticmethod
    def changed(sources: Mapping[str, str], now: SourceTable) -> str | None:
        """The first document that is gone, or holds something else than it did; None where all are as they were.

        An empty digest is that of a source which nobody watched when the answer was written, such as a web page.
        """
        return next((source for source, digest in sources.items() if (now.digest(source) or "") != digest), None)
