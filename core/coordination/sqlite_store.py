"""The answer store in one SQLite file: nothing to install, nothing to run."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from os import PathLike

from freehold.coordination.shared import Sharer
from freehold.coordination.sqlite_file import SQLiteFile
from freehold.coordination.store import Keys, Page, StoredValue, Values
from freehold.coordination.text import decode, digest, encode
from freehold.errors import SettingsError

__all__ = ["SQLiteStore"]

_BEGINS = "key BETWEEN :first AND :last"
_ALIVE = f"FROM answers WHERE expires_at > :now AND {_BEGINS}"
_FLUSH_USES = 256


class SQLiteStore(Sharer[SQLiteFile]):
    """Answers in one SQLite file, bounded in number; the least recently used go first. See `AnswerStore`.

    Uses since the last write are kept in memory, so that a hit writes nothing; a kill forgets them, and only the order
    of eviction and the count of uses notice. Sources lie in the file as digests.

    Args:
        file: The file, shared with others, or the path of one.
        max_entries: Most entries that are kept.

    Raises:
        SettingsError: `max_entries` is below 1.

    Example:
        >>> from freehold.portal import run_sync
        >>> store = SQLiteStore(tmp_path / "answers.sqlite3")
        >>> run_sync(store.set("key", b"value", ttl_seconds=60))
        >>> run_sync(store.get("key")).value
        b'value'
        >>> run_sync(store.close())
    """

    def __init__(self, file: SQLiteFile | str | PathLike[str], *, max_entries: int = 10_000) -> None:
        if max_entries < 1:
            raise SettingsError(f"max_entries={max_entries} cannot be used: a store holds at least 1 entry.")
        super().__init__(SQLiteFile.of(file))
        self.max_entries = max_entries
        self._clock = self._shared.clock
        self._ticks = self._shared.ticks
        # All below belongs to the file's thread.
        self._rows: int | None = None
        self._uses: dict[bytes, tuple[int, float]] = {}  # how many since the last write, and the newest

    async def get(self, key: str) -> StoredValue | None:
        """The value under this key, or None where there is none or its time is over."""
        name = encode(key)
        return await self._shared.run(lambda connection: self._get(connection, name))

    async def get_many(self, keys: Sequence[str]) -> Values:
        """The values under these keys, in their order; this counts no use."""
        names = [encode(key) for key in keys]
        return await self._shared.run(lambda connection: [self._read(connection, name) for name in names])

    async def set(self, key: str, value: bytes, ttl_seconds: float, *, sources: Sequence[str] = ()) -> None:
        """Put the value under this key; a `ttl_seconds` of 0 or less removes the key."""
        if ttl_seconds <= 0:
            await self.delete(key)
            return
        name, digests = encode(key), {digest(source) for source in sources}
        await self._shared.run(lambda connection: self._set(connection, name, value, ttl_seconds, digests))

    async def extend(self, key: str, ttl_seconds: float) -> None:
        """Let the key live so long from now, where it is there; 0 or less removes it."""

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock()
            change = "UPDATE answers SET expires_at = ? WHERE key = ? AND expires_at > ?"
            connection.execute(change, (now + ttl_seconds, encode(key), now))

        await self._shared.run(work)

    async def delete(self, *keys: str) -> None:
        """Remove these keys, where they are there."""
        names = [encode(key) for key in keys]

        def work(connection: sqlite3.Connection) -> None:
            for name in names:
                self._uses.pop(name, None)
            connection.executemany("DELETE FROM answers WHERE key = ?", [(name,) for name in names])
            self._rows = None

        await self._shared.run(work)

    async def clear(self, prefix: str = "") -> int:
        """Remove every entry whose key begins so, down to the bytes in the file; say how many could still be read.

        Raises:
            StorageError: The file failed, or another program reads it; the entries are gone, their bytes may not be.
        """
        begin = encode(prefix)

        def work(connection: sqlite3.Connection) -> int:
            readable = self._count(connection, prefix)
            self._uses = {name: use for name, use in self._uses.items() if not name.startswith(begin)}
            connection.execute(f"DELETE FROM answers WHERE {_BEGINS}", _range(prefix))  # noqa: S608
            self._rows = None
            # Also where nothing was there: what expired or was evicted left its bytes, and so may a killed call.
            self._shared.erase(connection)
            return readable

        return await self._shared.run(work)

    async def count(self, prefix: str = "") -> int:
        """How many entries whose key begins so can still be read."""
        return await self._shared.run(lambda connection: self._count(connection, prefix))

    async def list(self, prefix: str = "", *, limit: int = 100, offset: int = 0) -> Page:
        """Keys that begin so with their values, the most recently used first; this counts no use."""
        given = {**_range(prefix), "limit": limit, "offset": offset}

        def work(connection: sqlite3.Connection) -> Page:
            self._write_uses(connection)
            order = "ORDER BY used_at DESC, rowid DESC LIMIT :limit OFFSET :offset"
            columns = "key, value, uses, expires_at, used_at"
            rows = connection.execute(f"SELECT {columns} {_ALIVE} {order}", {"now": self._clock(), **given})
            return [(decode(key), StoredValue(*values)) for key, *values in rows]

        return await self._shared.run(work)

    async def citing(self, source: str) -> Keys:
        """Keys that were set with this source and can still be read."""
        join = "SELECT key FROM answer_sources JOIN answers USING (key) WHERE source = ? AND expires_at > ?"
        given = (digest(source), self._clock())
        return await self._shared.run(lambda connection: [decode(key) for (key,) in connection.execute(join, given)])

    def _read(self, connection: sqlite3.Connection, name: bytes) -> StoredValue | None:
        row = connection.execute(
            "SELECT value, uses, expires_at, used_at FROM answers WHERE key = ? AND expires_at > ?",
            (name, self._clock()),
        ).fetchone()
        if row is None:
            return None
        value, uses, expires_at, used_at = row
        more, newest = self._uses.get(name, (0, used_at))
        return StoredValue(value, uses + more, expires_at, max(used_at, newest))

    def _get(self, connection: sqlite3.Connection, name: bytes) -> StoredValue | None:
        found = self._read(connection, name)
        if found is not None:
            self._uses[name] = (self._uses.get(name, (0, 0))[0] + 1, self._ticks())
            if len(self._uses) >= _FLUSH_USES:
                self._write_uses(connection)
        return found

    def _set(
        self, connection: sqlite3.Connection, name: bytes, value: bytes, ttl_seconds: float, digests: Collection[bytes]
    ) -> None:
        now = self._clock()
        self._uses.pop(name, None)
        self._write_uses(connection)
        gone = connection.execute("DELETE FROM answers WHERE expires_at <= ? OR key = ?", (now, name)).rowcount
        connection.execute(
            "INSERT INTO answers (key, value, expires_at, used_at) VALUES (?, ?, ?, ?)",
            (name, value, now + ttl_seconds, self._ticks()),
        )
        connection.executemany("INSERT INTO answer_sources VALUES (?, ?)", [(digest, name) for digest in digests])
        self._rows = _rows(connection) if self._rows is None else self._rows - gone + 1
        if self._rows > self.max_entries:
            # Counted anew: the file may have another writer, and a transaction may have been rolled back.
            rows = _rows(connection)
            excess = max(rows - self.max_entries, 0)
            connection.execute(
                "DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY used_at, rowid LIMIT ?)",
                (excess,),
            )
            self._rows = rows - excess

    def _count(self, connection: sqlite3.Connection, prefix: str) -> int:
        given = {"now": self._clock(), **_range(prefix)}
        return int(connection.execute(f"SELECT count(*) {_ALIVE}", given).fetchone()[0])

    def _write_uses(self, connection: sqlite3.Connection) -> None:
        if self._uses:
            connection.executemany(
                "UPDATE answers SET uses = uses + ?, used_at = max(used_at, ?) WHERE key = ?",
                [(more, newest, name) for name, (more, newest) in self._uses.items()],
            )
            self._uses.clear()

    async def _last_work(self) -> None:
        if self._uses:
            await self._resource.run(self._write_uses)


def _range(prefix: str) -> dict[str, bytes]:
    """What bounds the keys that begin so; no byte of a key is as high as 255."""
    return {"first": encode(prefix), "last": encode(prefix) + b"\xff"}


def _rows(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
