"""The answer store in one SQLite file: nothing to install, nothing to run."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import TypeVar

from freehold.errors import SettingsError, StorageError

__all__ = ["SQLiteStore"]

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    expires_at REAL NOT NULL,
    used_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_expires_at ON answers (expires_at);
CREATE INDEX IF NOT EXISTS answers_used_at ON answers (used_at);
"""
_BEGINS = "substr(key, 1, length(:prefix)) = :prefix"
_BUSY_SECONDS = 2.0
_FLUSH_USES = 256
_VERSION = 1  # of the keys: what an earlier version wrote is found by none of them


class SQLiteStore:
    """Answers in one SQLite file, bounded in number; the least recently used go first. See `AnswerStore`.

    One thread owns the connection, and callers await it. What `set` has returned for survives kill -9 of the process
    (write-ahead log, `synchronous=NORMAL`); a power cut may lose the newest entries and never damages the file. Uses
    since the last write are kept in memory, so that a hit writes nothing; a kill forgets them and only the order of
    eviction notices.

    Args:
        path: The file; its folder is made where it is missing. Nothing is opened before the first call.
        max_entries: Most entries that are kept.
        clock: Seconds since the epoch; for tests.

    Raises:
        SettingsError: `max_entries` is below 1.

    Example:
        >>> from freehold.portal import run_sync
        >>> store = SQLiteStore(tmp_path / "answers.sqlite3")
        >>> run_sync(store.set("key", b"value", ttl_seconds=60))
        >>> run_sync(store.get("key"))
        b'value'
        >>> run_sync(store.close())
    """

    def __init__(
        self, path: str | PathLike[str], *, max_entries: int = 10_000, clock: Callable[[], float] = time.time
    ) -> None:
        if max_entries < 1:
            raise SettingsError(f"max_entries={max_entries} cannot be used: a cache holds at least 1 entry.")
        self.path = Path(path)
        self.max_entries = max_entries
        self._clock = clock
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="freehold-answers")
        # All below belongs to the executor's thread.
        self._connection: sqlite3.Connection | None = None
        self._rows = 0
        self._uses: dict[str, int] = {}

    async def get(self, key: str) -> bytes | None:
        """The value under this key, or None where there is none or its time is over."""
        return await self._run(lambda connection: self._get(connection, key))

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Put the value under this key; a `ttl_seconds` of 0 or less removes the key."""
        if ttl_seconds <= 0:
            await self.delete(key)
        else:
            await self._run(lambda connection: self._set(connection, key, value, ttl_seconds))

    async def delete(self, key: str) -> None:
        """Remove this key, where it is there."""
        await self._run(lambda connection: self._delete(connection, key))

    async def clear(self, prefix: str = "") -> int:
        """Remove every entry whose key begins so, down to the bytes in the file; say how many could still be read.

        Raises:
            StorageError: The file failed, or another program reads it; the entries are gone, their bytes may not be.
        """
        return await self._run(lambda connection: self._clear(connection, prefix))

    async def count(self) -> int:
        """How many entries can still be read."""
        return await self._run(self._count)

    async def close(self) -> None:
        """Write the uses down, close the file and end the thread; closing twice is closing once."""
        try:
            closing = asyncio.get_running_loop().run_in_executor(self._executor, self._close)
        except RuntimeError:  # the executor takes nothing more: closed before
            return
        self._executor.shutdown(wait=False)
        try:
            await closing
        except sqlite3.Error as error:
            raise StorageError(f"Closing the answer cache {self.path} failed: {error}.") from error

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._executor, self._guarded, work)
        except RuntimeError as error:
            raise StorageError(f"The answer cache {self.path} is closed; open a new one.") from error
        return await running

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._open()
            with self._connection:
                return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"The answer cache {self.path} failed: {error}. Check the disk; "
                "deleting the file loses cached answers only."
            ) from error

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
        try:
            _use_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA secure_delete=ON")
            connection.executescript(_SCHEMA)
            if connection.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
                connection.executescript(f"DELETE FROM answers; PRAGMA user_version={_VERSION}")  # noqa: S608
            self._rows = self._all_rows(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @staticmethod
    def _all_rows(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def _get(self, connection: sqlite3.Connection, key: str) -> bytes | None:
        row = connection.execute(
            "SELECT value FROM answers WHERE key = ? AND expires_at > ?", (key, self._clock())
        ).fetchone()
        if row is None:
            return None
        self._uses[key] = time.time_ns()
        if len(self._uses) >= _FLUSH_USES:
            self._write_uses(connection)
        return bytes(row[0])

    def _set(self, connection: sqlite3.Connection, key: str, value: bytes, ttl_seconds: float) -> None:
        now = self._clock()
        self._write_uses(connection)
        self._rows -= connection.execute("DELETE FROM answers WHERE expires_at <= ? OR key = ?", (now, key)).rowcount
        connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (key, value, now + ttl_seconds, time.time_ns()))
        self._rows += 1
        if self._rows > self.max_entries:
            # Counted anew: the file may have another writer, and a transaction may have been rolled back.
            excess = self._all_rows(connection) - self.max_entries
            connection.execute(
                "DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY used_at, rowid LIMIT max(?, 0))",
                (excess,),
            )
            self._rows = self._all_rows(connection)

    def _delete(self, connection: sqlite3.Connection, key: str) -> None:
        self._uses.pop(key, None)
        self._rows -= connection.execute("DELETE FROM answers WHERE key = ?", (key,)).rowcount

    def _clear(self, connection: sqlite3.Connection, prefix: str) -> int:
        readable = self._count(connection, prefix)
        self._uses = {key: used for key, used in self._uses.items() if not key.startswith(prefix)}
        connection.execute(f"DELETE FROM answers WHERE {_BEGINS}", {"prefix": prefix})  # noqa: S608
        connection.commit()
        self._rows = self._all_rows(connection)
        # Also where nothing was there: what expired or was evicted left its bytes, and so may a call that was killed.
        connection.execute("VACUUM")
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageError(f"The answer cache {self.path} is read by another program; end it, and try again.")
        return readable

    def _count(self, connection: sqlite3.Connection, prefix: str = "") -> int:
        alive = f"SELECT count(*) FROM answers WHERE expires_at > :now AND {_BEGINS}"  # noqa: S608
        return int(connection.execute(alive, {"now": self._clock(), "prefix": prefix}).fetchone()[0])

    def _write_uses(self, connection: sqlite3.Connection) -> None:
        if self._uses:
            connection.executemany(
                "UPDATE answers SET used_at = ? WHERE key = ?", [(used, key) for key, used in self._uses.items()]
            )
            self._uses.clear()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                with connection:
                    self._write_uses(connection)
            finally:
                connection.close()


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file over; where two open a new file at once, SQLite refuses one of them without waiting."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the low byte, without the extended code
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
