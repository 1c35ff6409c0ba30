"""The ledger in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from os import PathLike

from freehold.coordination.ledger import MOST_ENTRIES
from freehold.coordination.shared import Sharer
from freehold.coordination.sqlite_file import SQLiteFile
from freehold.coordination.text import decode, encode

__all__ = ["SQLiteLedger"]


class SQLiteLedger(Sharer[SQLiteFile]):
    """Counters and a log in one SQLite file. See `Ledger`.

    Args:
        file: The file, shared with others, or the path of one.
        most: Most entries that are kept.

    Example:
        >>> from freehold.portal import run_sync
        >>> ledger = SQLiteLedger(tmp_path / "cache.sqlite")
        >>> run_sync(ledger.add({"hits": 1}))
        >>> run_sync(ledger.counts())
        {'hits': 1.0}
        >>> run_sync(ledger.close())
    """

    def __init__(self, file: SQLiteFile | str | PathLike[str], *, most: int = MOST_ENTRIES) -> None:
        super().__init__(SQLiteFile.of(file))
        self.most = most

    async def add(self, counts: Mapping[str, float]) -> None:
        """Add to counters."""
        add = "INSERT INTO ledger_counts VALUES (?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number"
        rows = [(encode(name), number) for name, number in counts.items()]

        def work(connection: sqlite3.Connection) -> None:  # gives no cursor away: it would end on another thread
            connection.executemany(add, rows)

        await self._shared.run(work)

    async def counts(self) -> dict[str, float]:
        """Every counter."""

        def work(connection: sqlite3.Connection) -> dict[str, float]:
            rows = connection.execute("SELECT name, number FROM ledger_counts ORDER BY name")
            return {decode(name): number for name, number in rows}

        return await self._shared.run(work)

    async def append(self, entries: Sequence[bytes]) -> None:
        """Write entries behind the others."""

        def work(connection: sqlite3.Connection) -> None:
            rows = [(entry,) for entry in entries]
            connection.executemany("INSERT INTO ledger_entries (entry) VALUES (?)", rows)
            oldest = "SELECT max(position) FROM ledger_entries"
            connection.execute(f"DELETE FROM ledger_entries WHERE position <= ({oldest}) - ?", (self.most,))  # noqa: S608

        await self._shared.run(work)

    async def read(self, after: str = "") -> tuple[list[bytes], str]:
        """The entries behind a position, oldest first, and the position behind them."""
        start = int(after) if after.isdecimal() else 0

        def work(connection: sqlite3.Connection) -> tuple[list[bytes], str]:
            select = "SELECT position, entry FROM ledger_entries WHERE position > ? ORDER BY position"
            rows = connection.execute(select, (start,)).fetchall()
            return [entry for _, entry in rows], str(rows[-1][0]) if rows else after

        return await self._shared.run(work)

    async def clear(self) -> None:
        """Set every counter back to nothing, and remove every entry, down to its bytes in the file.

        Raises:
            StorageError: The file failed, or another program reads it; everything is gone, its bytes may not be.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM ledger_counts")
            connection.execute("DELETE FROM ledger_entries")
            self._shared.erase(connection)

        await self._shared.run(work)
