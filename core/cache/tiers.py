"""Where entries lie: in this process' memory, and behind it in a store that outlasts it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from freehold.cache.answer import Alias, CachedAnswer, decode
from freehold.cache.memory_tier import MemoryTier
from freehold.coordination.store import AnswerStore

__all__ = ["Found", "Tiers"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """An entry, and how it was come by."""

    value: CachedAnswer | Alias
    tier: Literal["memory", "exact"]
    uses: int = 0
    """How often it was read from the store before; 0 from memory."""
    expires_in: float = 0.0
    """Seconds that it has left in the store; 0 from memory."""


class Tiers:
    """Reads memory first, then the store, in one round trip; writes both.

    A store that fails is no error: what memory has is served, also past its time to look again (RFC 5861's
    stale-if-error), what it has not counts as missing, and `failures` grows.

    Args:
        store: Outlasts the process, and may be shared with others.
        memory: This process' part.
        recheck_seconds: How long memory is believed before the store is asked again. With a store that others write
            to, it is how long their changes may stay unseen.
        clock: Seconds since the epoch; for tests.
    """

    def __init__(
        self,
        store: AnswerStore,
        memory: MemoryTier,
        *,
        recheck_seconds: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.memory = memory
        self.recheck_seconds = recheck_seconds
        self.failures = 0
        self._down = False
        self._clock = clock

    def recall(self, key: str) -> Found | None:
        """The entry from memory, where it was read or written a short while ago; asks nobody."""
        found = self.memory.get(key)
        if found is None or self._clock() - found.read_at > self.recheck_seconds:
            return None
        return Found(found.value, "memory")

    async def read(self, key: str) -> Found | None:
        """The entry, from the store; from memory where that fails."""
        read_at = self.memory.changes
        try:
            stored = await self.store.get(key)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the run goes on without it
            self._failed("read", error)
            kept = self.memory.get(key)
            return Found(kept.value, "memory") if kept else None
        self._down = False
        value = decode(stored.value) if stored is not None else None
        if stored is None or value is None:
            if stored is not None:
                _log.info("The cached entry %s is of another version, or damaged; it counts as missing.", key)
            self.memory.drop(key)
            return None
        expires_in = stored.expires_at - self._clock()
        self.memory.put(key, value, ttl_seconds=expires_in, size=len(stored.value), read_at=read_at)
        return Found(value, "exact", stored.uses, expires_in)

    async def peek(self, keys: Sequence[str]) -> list[CachedAnswer | Alias | None]:
        """The entries under these keys, in one round trip; this counts no use, and fails to None."""
        try:
            stored = await self.store.get_many(keys)
        except Exception as error:  # noqa: BLE001 - the same
            self._failed("read", error)
            return [kept.value if (kept := self.memory.get(key)) else None for key in keys]
        return [decode(one.value) if one is not None else None for one in stored]

    async def write(
        self, key: str, value: CachedAnswer | Alias, ttl_seconds: float, sources: Iterable[str] = ()
    ) -> bool:
        """Keep an entry in both; says whether the store did."""
        data = value.encode()
        self.memory.put(key, value, ttl_seconds=ttl_seconds, size=len(data))
        try:
            await self.store.set(key, data, ttl_seconds, sources=[*sources])
        except Exception as error:  # noqa: BLE001 - an answer that cannot be kept is still an answer
            self._failed("write", error)
            return False
        return True

    async def extend(self, key: str, ttl_seconds: float) -> None:
        """Let an entry live so long from now."""
        try:
            await self.store.extend(key, ttl_seconds)
        except Exception as error:  # noqa: BLE001 - it expires as it would have
            self._failed("extend", error)

    async def drop(self, *keys: str) -> None:
        """Remove entries from both; those that the store keeps for now expire there."""
        self.memory.drop(*keys)
        try:
            await self.store.delete(*keys)
        except Exception as error:  # noqa: BLE001 - they are checked again before they are served
            self._failed("remove", error)

    def _failed(self, what: str, error: Exception) -> None:
        self.failures += 1
        # Once for each time that the store goes away, not for each request until it is back.
        _log.log(logging.DEBUG if self._down else logging.WARNING, "The cache could not %s an entry: %s", what, error)
        self._down = True
