"""The SQLite file that the store, the ledger and the board share."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeVar

from freehold.coordination.outcome import outcome
from freehold.coordination.shared import Shared
from freehold.coordination.ticks import Ticks
from freehold.errors import StorageError
from freehold.vacuum import vacuum

__all__ = ["SQLiteFile"]

T = TypeVar("T")

_BUSY_SECONDS = 2.0
_VERSION = 2  # 2: what versions 0 and 1 wrote is found by no key any more
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    expires_at REAL NOT NULL,
    used_at REAL NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS answers_expires_at ON answers (expires_at);
CREATE INDEX IF NOT EXISTS answers_used_at ON answers (used_at);
CREATE TABLE IF NOT EXISTS answer_sources (
    source BLOB NOT NULL,
    key BLOB NOT NULL REFERENCES answers (key) ON DELETE CASCADE,
    PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answer_sources_key ON answer_sources (key);
CREATE TABLE IF NOT EXISTS ledger_counts (name BLOB PRIMARY KEY, number REAL NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_entries (position INTEGER PRIMARY KEY AUTOINCREMENT, entry BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS board_leases (key BLOB PRIMARY KEY, token TEXT NOT NULL, ends_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS board_entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL,
    first INTEGER,
    content BLOB NOT NULL,
    ends_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS board_entries_token ON board_entries (token, position);
CREATE INDEX IF NOT EXISTS board_entries_ends_at ON board_entries (ends_at);
"""
_FINISHED = "DELETE FROM board_entries WHERE token NOT IN (SELECT token FROM board_leases WHERE ends_at > ?)"


@dataclass
class _Opened:
    """What is open: a thread, and what belongs to it."""

    executor: ThreadPoolExecutor
    connection: sqlite3.Connection | None = None


class SQLiteFile(Shared[_Opened]):
    """One SQLite file and the one thread that owns its connection; callers on any event loop await it.

    What a write has returned for survives kill -9 of the process (write-ahead log, `synchronous=NORMAL`); a power cut
    may lose the newest writes and never damages the file. Several processes may have it open. What is deleted is
    overwritten with zeros.

    It opens with the first call and closes with the last store, ledger or board that was made on it.

    Args:
        path: The file; its folder is made where it is missing. Nothing is opened before the first call.
        clock: Seconds since the epoch; for tests.

    Example:
        >>> SQLiteFile("answers.sqlite3").path.name
        'answers.sqlite3'
    """

    def __init__(self, path: str | PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        self.path = Path(path)
        self.clock = clock
        self.ticks = Ticks(clock)
        super().__init__(f"the file {self.path}")

    @classmethod
    def of(cls, file: SQLiteFile | str | PathLike[str]) -> SQLiteFile:
        """The file itself, or the one at this path."""
        return file if isinstance(file, SQLiteFile) else cls(file)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run work on the file's thread, in a transaction of its own where it writes.

        Raises:
            StorageError: The file failed, or nobody has it open any more.
        """
        return await outcome(self._submit(lambda opened: opened.executor.submit(self._guarded, opened, work)))

    def erase(self, connection: sqlite3.Connection) -> None:
        """Take the bytes of everything deleted so far out of the file and its log; from within work.

        What flights left that are over goes with it, also where followers could still have read it for a while.

        Raises:
            StorageError: Another program reads the file, so its log could not be emptied.
        """
        connection.execute(_FINISHED, (self.clock(),))
        connection.commit()
        vacuum(connection, f"The file {self.path} is read by another program; end it, and try again.")

    def _open(self) -> _Opened:
        return _Opened(ThreadPoolExecutor(max_workers=1, thread_name_prefix="freehold-sqlite"))

    def _guarded(self, opened: _Opened, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if opened.connection is None:
                opened.connection = self._connect()
            with opened.connection:
                return work(opened.connection)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"The file {self.path} failed: {error}. Check the disk; "
                "deleting the file loses cached answers and their counters only."
            ) from error

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS)
        try:
            _use_write_ahead_log(connection)
            for pragma in ("synchronous=NORMAL", "secure_delete=ON", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
            _drop_earlier_versions(connection)
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _shut(self, opened: _Opened) -> None:
        def close() -> None:
            if opened.connection is not None:
                opened.connection.close()

        closing = opened.executor.submit(close)
        opened.executor.shutdown(wait=False)
        try:
            await outcome(closing)
        except sqlite3.Error as error:
            raise StorageError(f"Closing the file {self.path} failed: {error}.") from error


def _drop_earlier_versions(connection: sqlite3.Connection) -> None:
    version = "PRAGMA user_version"
    if connection.execute(version).fetchone()[0] >= _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute(version).fetchone()[0] < _VERSION:  # else another process was faster
        connection.execute("DROP TABLE IF EXISTS answers")
        connection.execute(f"PRAGMA user_version={_VERSION}")
    connection.commit()


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
