"""What the owner of a cache sees of an entry."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.cache.answer import CachedAnswer
from freehold.coordination.store import StoredValue

__all__ = ["Entry", "short_id"]

_SHOWN = 12


def short_id(key: str) -> str:
    """The beginning of a key's digest, by which people name an entry.

    Example:
        >>> short_id("0f.1234567890abcdef")
        '1234567890ab'
    """
    return key.rpartition(".")[2][:_SHOWN]


@dataclass(frozen=True)
class Entry:
    """An answer in the cache, with what became of it."""

    key: str
    answer: CachedAnswer
    uses: int
    """How often it was read from the store; what a process has in memory it reads about once a minute."""
    used_at: float
    """When it was read last, or else written; seconds since the epoch."""
    expires_at: float
    """When its time is over."""
    comparisons: int = 0
    """Answers to other questions that were compared with this one."""
    same: int = 0
    """How many of those said the same."""

    @classmethod
    def of(cls, key: str, stored: StoredValue, answer: CachedAnswer) -> Entry:
        """The entry as a store gave it."""
        return cls(key, answer, stored.uses, stored.used_at, stored.expires_at)

    @property
    def id(self) -> str:
        """What people call it."""
        return short_id(self.key)
