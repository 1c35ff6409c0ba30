"""The answer store in the process, for one run of a program."""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from freehold.coordination.shared import InMemory
from freehold.coordination.store import Keys, Page, StoredValue, Values
from freehold.coordination.ticks import Ticks
from freehold.errors import SettingsError

__all__ = ["MemoryStore"]

Heap: TypeAlias = "list[tuple[float, str]]"

_OVERHEAD_BYTES = 500  # of an entry, besides its key and value: measured on CPython 3.11


@dataclass
class _Entry:
    value: bytes
    expires_at: float
    used_at: float
    sources: frozenset[str]
    bytes: int
    uses: int = 0

    def stored(self) -> StoredValue:
        return StoredValue(self.value, self.uses, self.expires_at, self.used_at)


class MemoryStore(InMemory):
    """Answers in this process, bounded in number and in bytes; the least recently used go first. See `AnswerStore`.

    Everything is gone when the process ends. A value that alone would take more than `max_bytes` is not kept.

    Args:
        max_entries: Most entries that are kept.
        max_bytes: Most bytes that keys, values and what holds them take together, about.
        clock: Seconds since the epoch; for tests.

    Raises:
        SettingsError: A bound is below 1.

    Example:
        >>> from freehold.portal import run_sync
        >>> store = MemoryStore()
        >>> run_sync(store.set("key", b"value", ttl_seconds=60))
        >>> run_sync(store.get("key")).value
        b'value'
    """

    def __init__(
        self, *, max_entries: int = 10_000, max_bytes: int = 64 * 2**20, clock: Callable[[], float] = time.time
    ) -> None:
        for name, bound in (("max_entries", max_entries), ("max_bytes", max_bytes)):
            if bound < 1:
                raise SettingsError(f"{name}={bound} cannot be used: a store holds at least 1.")
        super().__init__("the answer store in memory")
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._clock = clock
        self._ticks = Ticks(clock)
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # the least recently used first
        self._ends: Heap = []  # a heap; what is no longer true is skipped
        self._bytes = 0

    async def get(self, key: str) -> StoredValue | None:
        """The value under this key, or None where there is none or its time is over."""
        with self._in_use():
            entry = self._alive(key)
            if entry is None:
                return None
            found = entry.stored()
            entry.uses += 1
            entry.used_at = self._ticks()
            self._entries.move_to_end(key)
            return found

    async def get_many(self, keys: Sequence[str]) -> Values:
        """The values under these keys, in their order; this counts no use."""
        with self._in_use():
            entries = [self._alive(key) for key in keys]
            return [entry.stored() if entry else None for entry in entries]

    async def set(self, key: str, value: bytes, ttl_seconds: float, *, sources: Sequence[str] = ()) -> None:
        """Put the value under this key; a `ttl_seconds` of 0 or less removes the key."""
        size = len(key) + len(value) + sum(map(len, sources)) + _OVERHEAD_BYTES
        with self._in_use():
            self._remove(key)
            if ttl_seconds <= 0 or size > self.max_bytes:
                return
            expires_at = self._clock() + ttl_seconds
            self._entries[key] = _Entry(value, expires_at, self._ticks(), frozenset(sources), size)
            self._bytes += size
            self._remember_end(expires_at, key)
            while len(self._entries) > self.max_entries or self._bytes > self.max_bytes:
                self._remove(next(iter(self._entries)))

    async def extend(self, key: str, ttl_seconds: float) -> None:
        """Let the key live so long from now, where it is there; 0 or less removes it."""
        with self._in_use():
            entry = self._alive(key)
            if entry is None:
                return
            entry.expires_at = self._clock() + ttl_seconds
            self._remember_end(entry.expires_at, key)

    async def delete(self, *keys: str) -> None:
        """Remove these keys, where they are there."""
        with self._in_use():
            for key in keys:
                self._remove(key)

    async def clear(self, prefix: str = "") -> int:
        """Remove every entry whose key begins so; say how many could still be read."""
        with self._in_use():
            gone = [*self._readable(prefix)]
            for key in gone:
                self._remove(key)
            return len(gone)

    async def count(self, prefix: str = "") -> int:
        """How many entries whose key begins so can still be read."""
        with self._in_use():
            return sum(1 for _ in self._readable(prefix))

    async def list(self, prefix: str = "", *, limit: int = 100, offset: int = 0) -> Page:
        """Keys that begin so with their values, the most recently used first; this counts no use."""
        with self._in_use():
            keys = [*self._readable(prefix)][::-1][offset : offset + limit]
            return [(key, self._entries[key].stored()) for key in keys]

    async def citing(self, source: str) -> Keys:
        """Keys that were set with this source and can still be read."""
        with self._in_use():
            return [key for key in self._readable("") if source in self._entries[key].sources]

    async def close(self) -> None:
        """Let go of everything; closing twice is closing once."""
        with self._lock:
            self._closed = True
            self._entries.clear()
            self._ends.clear()

    def _alive(self, key: str) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.expires_at <= self._clock():
            self._remove(key)
            return None
        return entry

    def _readable(self, prefix: str) -> Iterator[str]:
        self._remove_expired()
        return (key for key in self._entries if key.startswith(prefix))

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.bytes

    def _remember_end(self, expires_at: float, key: str) -> None:
        self._remove_expired()
        heapq.heappush(self._ends, (expires_at, key))
        if len(self._ends) > 2 * len(self._entries) + 64:  # most of it is no longer true
            self._ends = [(entry.expires_at, known) for known, entry in self._entries.items()]
            heapq.heapify(self._ends)

    def _remove_expired(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            self._alive(heapq.heappop(self._ends)[1])
