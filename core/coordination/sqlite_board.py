"""The board in SQLite."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from os import PathLike

from freehold.coordination.board import PIECES_SECONDS, Entry, Finished, Pieces, Vacant
from freehold.coordination.shared import Sharer
from freehold.coordination.sqlite_file import SQLiteFile
from freehold.coordination.text import encode

__all__ = ["SQLiteBoard"]

_POLL_SECONDS = 0.01


class SQLiteBoard(Sharer[SQLiteFile]):
    """Leases and what their holders write in one SQLite file; followers look every 10 ms. See `Board`.

    Args:
        file: The file, shared with others, or the path of one.

    Example:
        >>> from freehold.portal import run_sync
        >>> board = SQLiteBoard(tmp_path / "cache.sqlite")
        >>> run_sync(board.lead("key", "mine", 5.0)), run_sync(board.lead("key", "other", 5.0))
        ('mine', 'mine')
        >>> run_sync(board.close())
    """

    def __init__(self, file: SQLiteFile | str | PathLike[str]) -> None:
        super().__init__(SQLiteFile.of(file))
        self._clock = self._shared.clock

    async def lead(self, key: str, token: str, lease_seconds: float) -> str:
        """Take the lease where it is free; the token that holds it now."""

        def work(connection: sqlite3.Connection) -> str:
            now = self._clock()
            # Written first, so that the transaction begins with the file's lock and sees what is newest.
            connection.execute(
                "INSERT INTO board_leases VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET token = excluded.token, ends_at = excluded.ends_at WHERE ends_at <= ?",
                (encode(key), token, now + lease_seconds, now),
            )
            connection.execute("DELETE FROM board_leases WHERE ends_at <= ?", (now,))
            connection.execute(
                "DELETE FROM board_entries WHERE ends_at <= ? AND token NOT IN (SELECT token FROM board_leases)", (now,)
            )
            (holder,) = connection.execute("SELECT token FROM board_leases WHERE key = ?", (encode(key),)).fetchone()
            return str(holder)

        return await self._shared.run(work)

    async def renew(self, key: str, token: str, lease_seconds: float) -> bool:
        """Hold the lease so long from now; False where this token does not hold it any more."""

        def work(connection: sqlite3.Connection) -> bool:
            now = self._clock()
            renewed = connection.execute(
                "UPDATE board_leases SET ends_at = ? WHERE key = ? AND token = ? AND ends_at > ?",
                (now + lease_seconds, encode(key), token, now),
            ).rowcount
            return bool(renewed)

        return await self._shared.run(work)

    async def append(self, key: str, token: str, first: int, pieces: Sequence[str]) -> None:  # noqa: ARG002
        """Write pieces of the answer, of which so many came before."""
        content = json.dumps(list(pieces)).encode()
        await self._shared.run(lambda connection: self._write(connection, token, first, content))

    async def finish(self, key: str, token: str, event: bytes, keep_seconds: float) -> None:
        """Write the last event and, at once with it, let go of the lease where this token holds it."""

        def work(connection: sqlite3.Connection) -> None:
            self._write(connection, token, None, event)
            ends_at = self._clock() + keep_seconds
            connection.execute("UPDATE board_entries SET ends_at = ? WHERE token = ?", (ends_at, token))
            connection.execute("DELETE FROM board_leases WHERE key = ? AND token = ?", (encode(key), token))

        await self._shared.run(work)

    async def follow(self, key: str, token: str, after: str, wait_seconds: float) -> tuple[list[Entry], str]:
        """What this token wrote since a position, and the position behind it."""
        start = int(after or 0)

        def look(connection: sqlite3.Connection) -> tuple[bool, list[tuple[int, int | None, bytes]]]:
            now = self._clock()
            # In this order: a leader that lets go in between has finished first, and the entries say so.
            lease = "SELECT 1 FROM board_leases WHERE key = ? AND token = ? AND ends_at > ?"
            held = connection.execute(lease, (encode(key), token, now)).fetchone() is not None
            entries = (
                "SELECT position, first, content FROM board_entries WHERE token = ? AND position > ? ORDER BY position"
            )
            return held, connection.execute(entries, (token, start)).fetchall()

        loop = asyncio.get_running_loop()
        end = loop.time() + wait_seconds
        while True:
            held, found = await self._shared.run(look)
            if found:
                return [_entry(first, content) for _, first, content in found], str(found[-1][0])
            if not held:
                return [Vacant()], after
            if loop.time() >= end:
                return [], after
            await asyncio.sleep(_POLL_SECONDS)

    def _write(self, connection: sqlite3.Connection, token: str, first: int | None, content: bytes) -> None:
        connection.execute(
            "INSERT INTO board_entries (token, first, content, ends_at) VALUES (?, ?, ?, ?)",
            (token, first, content, self._clock() + PIECES_SECONDS),
        )


def _entry(first: int | None, content: bytes) -> Entry:
    return Finished(content) if first is None else Pieces(first, tuple(json.loads(content)))
