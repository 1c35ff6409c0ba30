"""Counts that outlast the process."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping

from freehold.coordination.ledger import Ledger

__all__ = ["Tally"]

_log = logging.getLogger(__name__)

_WRITE_AFTER = 50
_WRITE_EVERY = 5.0


class Tally:
    """Adds up in memory, and writes to a ledger now and then; what a kill loses is the last seconds' counts.

    Safe to use from several threads and event loops.

    Args:
        ledger: Where the counts lie; None keeps them in memory.

    Example:
        >>> from freehold.portal import run_sync
        >>> tally = Tally(None)
        >>> run_sync(tally.add(hits=1, tokens=80))
        >>> run_sync(tally.counts())["tokens"]
        80.0
    """

    def __init__(self, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._here: Counter[str] = Counter()
        self._unwritten: Counter[str] = Counter()
        self._adds = 0
        self._written_at = time.monotonic()

    @property
    def here(self) -> Mapping[str, float]:
        """What was counted by this object."""
        with self._lock:
            return dict(self._here)

    @property
    def unwritten(self) -> Mapping[str, float]:
        """What was counted by this object and is not in the ledger yet."""
        with self._lock:
            return dict(self._unwritten)

    def clear(self) -> None:
        """Forget what was counted here; the ledger is its owner's to clear."""
        with self._lock:
            self._here.clear()
            self._unwritten.clear()

    async def add(self, counts: Mapping[str, float] | None = None, **more: float) -> None:
        """Add to the counts of these names."""
        added = {name: float(value) for name, value in {**(counts or {}), **more}.items() if value}
        with self._lock:
            self._here.update(added)
            self._unwritten.update(added)
            self._adds += 1
            due = self._adds >= _WRITE_AFTER or time.monotonic() - self._written_at > _WRITE_EVERY
        if due:
            await self.write()

    async def write(self) -> None:
        """Write what was not; what the ledger cannot take now, it is given the next time."""
        with self._lock:
            taken, self._unwritten = self._unwritten, Counter()
            self._adds, self._written_at = 0, time.monotonic()
        if self._ledger is None or not taken:
            return
        written = False
        try:
            await self._ledger.add(taken)
            written = True
        except Exception as error:  # noqa: BLE001 - an answer is not lost for a count
            _log.info("Counts could not be written yet: %s", error)
        finally:  # also where the caller went away in between
            if not written:
                with self._lock:
                    self._unwritten.update(taken)

    async def counts(self) -> dict[str, float]:
        """All counts, those of other processes and of earlier ones too.

        Raises:
            StorageError: The ledger cannot be read.
        """
        if self._ledger is None:
            return dict(self.here)
        await self.write()
        return await self._ledger.counts()
