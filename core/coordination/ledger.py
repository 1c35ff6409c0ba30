"""Counters and a log of evidence that runs and processes share: the contract of every ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

__all__ = ["MOST_ENTRIES", "Ledger"]

MOST_ENTRIES = 5_000
"""Entries that a ledger keeps where nothing else is said."""


@runtime_checkable
class Ledger(Protocol):
    """Counters by name, and a log of bytes whose newest entries are kept.

    Every method may be called from any event loop and any thread, any number of times at once, and blocks none of them.
    `tests/coordination/test_ledgers.py` is the suite that every ledger passes.

    Raises:
        StorageError: From every method: the ledger cannot be reached, is damaged, full, or closed.
    """

    async def add(self, counts: Mapping[str, float]) -> None:
        """Add these finite numbers to the counters of these names, which begin at 0."""
        ...

    async def counts(self) -> dict[str, float]:
        """Every counter that was added to."""
        ...

    async def append(self, entries: Sequence[bytes]) -> None:
        """Write entries behind the others; the oldest go where there are too many."""
        ...

    async def read(self, after: str = "") -> tuple[list[bytes], str]:
        """The entries behind a position, oldest first, and the position behind them.

        Args:
            after: What an earlier call gave, also before the log was cleared; "" is the beginning.
        """
        ...

    async def clear(self) -> None:
        """Set every counter back to nothing, and remove every entry."""
        ...

    async def close(self) -> None:
        """Give files, threads and connections back; closing twice is closing once."""
        ...
