"""What was deleted from a SQLite database, taken out of its file."""

from __future__ import annotations

import sqlite3

from freehold.errors import StorageError

__all__ = ["vacuum"]


def vacuum(connection: sqlite3.Connection, busy: str) -> None:
    """Take the bytes of everything deleted so far out of a database and its write-ahead log; no transaction is open.

    SQLite leaves them in free pages, and in the log, until something else is written there.

    Args:
        connection: To the database.
        busy: What the error says where somebody else reads it.

    Raises:
        StorageError: Another program reads the database, so its log could not be emptied.
        sqlite3.Error: The database failed.

    Example:
        >>> vacuum(sqlite3.connect(tmp_path / "answers.sqlite"), "Another program reads the answers.")
    """
    connection.execute("VACUUM")
    (still_read, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if still_read:
        raise StorageError(busy)
