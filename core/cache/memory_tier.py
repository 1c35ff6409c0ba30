"""The first tier: what this process read or wrote last, ready to serve."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from freehold.cache.answer import Alias, CachedAnswer
from freehold.errors import SettingsError

__all__ = ["MemoryTier", "Remembered"]

_MOST_CHANGED = 1000
"""Keys whose last change is remembered, for reads that are under way."""
_OVERHEAD_BYTES = 2000
"""Of an entry's objects beside its text, about."""


@dataclass
class Remembered:
    """An entry as it was read or written, and when."""

    value: CachedAnswer | Alias
    expires_at: float
    read_at: float
    """When the store was asked for it last; both in seconds since the epoch."""
    bytes: int


class MemoryTier:
    """A bounded dictionary of entries, the least recently used first out. Safe to use from several threads.

    Args:
        max_entries: Most entries.
        max_bytes: Most bytes that they take together, about.
        clock: Seconds since the epoch; for tests.

    Raises:
        SettingsError: A bound is below 0.

    Example:
        >>> tier = MemoryTier()
        >>> tier.put("key", CachedAnswer("What?", "That."), ttl_seconds=60, size=100)
        >>> tier.get("key").value.answer
        'That.'
    """

    def __init__(
        self, *, max_entries: int = 2000, max_bytes: int = 16 * 2**20, clock: Callable[[], float] = time.time
    ) -> None:
        if max_entries < 0 or max_bytes < 0:
            raise SettingsError(f"max_entries={max_entries}, max_bytes={max_bytes} cannot be used: give 0 or more.")
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Remembered] = OrderedDict()
        self._bytes = 0
        self._changes = 0
        self._changed: OrderedDict[str, int] = OrderedDict()  # when keys were written or dropped last, in changes
        self._cleared = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Remembered | None:
        """The entry, unless its time is over."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            if found.expires_at <= self._clock():
                self._remove(key)
                return None
            self._entries.move_to_end(key)
            return found

    @property
    def changes(self) -> int:
        """How often something was written or dropped: to be read before the store is, see `put`."""
        return self._changes

    def put(
        self, key: str, value: CachedAnswer | Alias, *, ttl_seconds: float, size: int, read_at: int | None = None
    ) -> None:
        """Keep an entry that was read or written just now.

        Args:
            key: Its key.
            value: The entry.
            ttl_seconds: How long it lives.
            size: Bytes of its text.
            read_at: Of what was read from the store, `changes` before that: where the key was written or dropped since,
                what was read is old, and not kept. None is for what was written.
        """
        now = self._clock()
        size += _OVERHEAD_BYTES
        with self._lock:
            if read_at is None:
                self._note(key)
            elif self._changed.get(key, 0) > read_at or self._cleared > read_at:
                return
            self._remove(key)
            if ttl_seconds <= 0 or size > self.max_bytes or self.max_entries == 0:
                return
            self._entries[key] = Remembered(value, now + ttl_seconds, now, size)
            self._bytes += size
            while len(self._entries) > self.max_entries or self._bytes > self.max_bytes:
                self._remove(next(iter(self._entries)))

    def drop(self, *keys: str) -> None:
        """Forget these entries."""
        with self._lock:
            for key in keys:
                self._note(key)
                self._remove(key)

    def clear(self, prefix: str = "") -> None:
        """Forget the entries whose key begins so."""
        with self._lock:
            self._changes += 1
            self._cleared = self._changes
            for key in [key for key in self._entries if key.startswith(prefix)]:
                self._remove(key)

    def _note(self, key: str) -> None:
        self._changes += 1
        self._changed[key] = self._changes
        self._changed.move_to_end(key)
        if len(self._changed) > _MOST_CHANGED:
            _, oldest = self._changed.popitem(last=False)
            self._cleared = max(self._cleared, oldest)  # what was read before that may be old

    def _remove(self, key: str) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._bytes -= found.bytes
