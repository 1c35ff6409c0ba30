"""The ledger in the process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from freehold.coordination.ledger import MOST_ENTRIES
from freehold.coordination.shared import InMemory

__all__ = ["MemoryLedger"]


class MemoryLedger(InMemory):
    """Counters and a log in this process, gone when it ends. See `Ledger`.

    Args:
        most: Most entries that are kept.

    Example:
        >>> from freehold.portal import run_sync
        >>> ledger = MemoryLedger()
        >>> run_sync(ledger.add({"hits": 1}))
        >>> run_sync(ledger.counts())
        {'hits': 1}
    """

    def __init__(self, *, most: int = MOST_ENTRIES) -> None:
        super().__init__("the ledger in memory")
        self._counts: Counter[str] = Counter()
        self._entries: deque[bytes] = deque(maxlen=most)
        self._written = 0

    async def add(self, counts: Mapping[str, float]) -> None:
        """Add to counters."""
        with self._in_use():
            for name, number in counts.items():
                self._counts[name] += number  # type: ignore[assignment]

    async def counts(self) -> dict[str, float]:
        """Every counter."""
        with self._in_use():
            return dict(self._counts)

    async def append(self, entries: Sequence[bytes]) -> None:
        """Write entries behind the others."""
        with self._in_use():
            self._entries.extend(entries)
            self._written += len(entries)

    async def read(self, after: str = "") -> tuple[list[bytes], str]:
        """The entries behind a position, oldest first, and the position behind them."""
        with self._in_use():
            new = self._written - (int(after) if after.isdecimal() else 0)
            entries = list(self._entries)
            return entries[-new:] if new > 0 else [], str(self._written)

    async def clear(self) -> None:
        """Forget everything."""
        with self._in_use():
            self._counts.clear()
            self._entries.clear()

    async def close(self) -> None:
        """Let go of everything; closing twice is closing once."""
        with self._lock:
            self._closed = True
