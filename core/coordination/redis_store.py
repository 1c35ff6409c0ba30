"""The answer store in Redis, for several processes or machines that share their answers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

from freehold.coordination.redis_board import erase_flights
from freehold.coordination.redis_connection import RedisConnection
from freehold.coordination.redis_index import RedisIndex, milliseconds, split
from freehold.coordination.shared import Sharer
from freehold.coordination.store import Keys, Page, StoredValue, Values
from freehold.coordination.text import decode, digest, encode
from freehold.coordination.ticks import Ticks
from freehold.errors import SettingsError, StorageError

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisStore"]

Names: TypeAlias = "list[bytes]"

_BATCH = 500


class RedisStore(Sharer[RedisConnection]):
    """Answers in Redis 6.2 or newer, or Valkey, bounded in number; the least recently used go first. See `AnswerStore`.

    A value is a key of its own with its time; last uses, ends and sources lie in a `RedisIndex` beside the values.
    Redis may evict by its own `maxmemory` settings too: what went is taken out of the index when it is looked at, and
    at its end at the latest, and what the index lost comes back into it when it is read. `clear` and `count` walk the
    database and do not rely on the index; `clear` and `citing` rely on no clock.

    Args:
        connection: The connection, shared with others, or the URL of one.
        max_entries: Most entries that are kept.

    Raises:
        SettingsError: `max_entries` is below 1, or the URL cannot be used.

    Example:
        >>> RedisStore("redis://localhost:6379/0", max_entries=1_000).max_entries
        1000
    """

    def __init__(self, connection: RedisConnection | str, *, max_entries: int = 100_000) -> None:
        if max_entries < 1:
            raise SettingsError(f"max_entries={max_entries} cannot be used: a store holds at least 1 entry.")
        super().__init__(RedisConnection.of(connection))
        self.max_entries = max_entries
        self._ticks = Ticks(time.time)
        self._index = RedisIndex(self._shared.key, self._run)

    async def get(self, key: str) -> StoredValue | None:
        """The value under this key, or None where there is none or its time is over."""
        index, name, now = self._index, encode(key), self._ticks()

        async def command(client: Redis) -> tuple[StoredValue | None, bool]:
            pipe = client.pipeline(transaction=False)
            index.read(pipe, name)
            index.use(pipe, name, now)
            replies = await pipe.execute(raise_on_error=False)
            # A use that cannot be written (Redis is full, or a replica) does not take the answer away.
            for reply in replies[:4]:
                if isinstance(reply, Exception):
                    raise reply
            return _stored(replies[:4], now), replies[2] is not None

        found: StoredValue | None
        found, indexed = await self._run(command)
        if indexed != (found is not None):
            with suppress(StorageError):  # the next one who reads it tries again
                await (index.remove([name]) if found is None else self._take_in(name, now, found.expires_at))
        return found

    async def get_many(self, keys: Sequence[str]) -> Values:
        """The values under these keys, in their order; this counts no use."""
        return await self._read([encode(key) for key in keys])

    async def set(self, key: str, value: bytes, ttl_seconds: float, *, sources: Sequence[str] = ()) -> None:
        """Put the value under this key; a `ttl_seconds` of 0 or less removes the key."""
        if ttl_seconds <= 0:
            await self.delete(key)
            return
        index, name, now = self._index, encode(key), self._ticks()
        digests = {digest(source) for source in sources}

        async def command(client: Redis) -> tuple[Any, ...]:
            pipe = client.pipeline(transaction=True)
            pipe.set(index.answer(name), value, px=milliseconds(ttl_seconds))
            index.put(pipe, name, now, ttl_seconds, digests)
            _, before, *_, over, entries = await pipe.execute()
            return before, over, entries

        before, over, entries = await self._run(command)
        no_longer = [source + name for source in split(before) if source not in digests]
        if no_longer:
            await self._run(lambda client: client.zrem(index.citing, *no_longer))
        excess = entries - len(over) - self.max_entries
        if excess > 0:
            over += await self._run(lambda client: client.zrange(index.used, 0, excess - 1))
        if over:
            await index.remove(list(dict.fromkeys(over)))

    async def extend(self, key: str, ttl_seconds: float) -> None:
        """Let the key live so long from now, where it is there; 0 or less removes it."""
        if ttl_seconds <= 0:
            await self.delete(key)
            return
        index, name = self._index, encode(key)

        async def command(client: Redis) -> None:
            pipe = client.pipeline(transaction=True)
            index.extend(pipe, name, time.time(), ttl_seconds)
            await pipe.execute()

        await self._run(command)

    async def delete(self, *keys: str) -> None:
        """Remove these keys, where they are there."""
        await self._index.remove([encode(key) for key in keys])

    async def clear(self, prefix: str = "") -> int:
        """Remove every entry whose key begins so, and what the index says of such keys; say how many went.

        What flights under such keys left that are over goes with it, also where followers could still have read it for
        a while. It walks the database, and each batch may take the time of a command. What Redis itself wrote to its
        disk goes when Redis writes it anew.
        """
        index, begin, removed = self._index, encode(prefix), 0
        async for names in index.answers(begin):
            removed += await index.remove(names)
        async for names in index.leftovers(begin):
            await index.remove(names)
        await erase_flights(self._shared, begin)
        return removed

    async def count(self, prefix: str = "") -> int:
        """How many keys begin so. It walks the database: for reports, not for the hot path."""
        seen: set[bytes] = set()
        async for names in self._index.answers(encode(prefix)):
            seen.update(names)
        return len(seen)

    async def list(self, prefix: str = "", *, limit: int = 100, offset: int = 0) -> Page:
        """Keys that begin so with their values, the most recently used first; this counts no use."""
        begin = encode(prefix)
        names: Names = []
        page: Page = []
        async for batch in self._pages(
            lambda client, start: client.zrevrange(self._index.used, start, start + _BATCH - 1)
        ):
            names += await self._present([name for name in batch if name.startswith(begin)])
            if len(names) >= offset + limit:
                break
        wanted = names[offset : offset + limit]
        for start in range(0, len(wanted), _BATCH):
            some = wanted[start : start + _BATCH]
            page += [(decode(name), value) for name, value in zip(some, await self._read(some), strict=True) if value]
        return page

    async def citing(self, source: str) -> Keys:
        """Keys that were set with this source and can still be read."""
        index, cited = self._index, digest(source)
        first, last = b"[" + cited, b"[" + cited + b"\xff"  # no name has this byte
        found: Names = []
        stale: Names = []
        async for members in self._pages(
            lambda client, start: client.zrangebylex(index.citing, first, last, start, _BATCH)
        ):
            names = [member[len(cited) :] for member in members]
            present = set(await self._present(names))
            sources = await self._run(lambda client: client.hmget(index.sources, names))  # noqa: B023
            for name, joined in zip(names, sources, strict=True):
                (found if name in present and cited in split(joined) else stale).append(name)
        if stale:
            await self._run(lambda client: client.zrem(index.citing, *(cited + name for name in stale)))
        return [decode(name) for name in found]

    async def _run(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        return await self._shared.run(command)

    async def _pages(self, command: Callable[[Redis, int], Awaitable[Any]]) -> AsyncIterator[Names]:
        """Batches of what a command gives from a start on, until it gives nothing more."""
        start = 0
        while batch := await self._run(lambda client: command(client, start)):  # noqa: B023
            yield batch
            start += _BATCH

    async def _read(self, names: Sequence[bytes]) -> Values:
        index, now = self._index, time.time()

        async def command(client: Redis) -> Values:
            pipe = client.pipeline(transaction=False)
            index.read_many(pipe, names)
            return [_stored(replies, now) for replies in zip(*index.columns(await pipe.execute()), strict=True)]

        return await self._run(command) if names else []

    async def _present(self, names: Names) -> Names:
        """Those of the names whose values are there."""

        async def command(client: Redis) -> Names:
            pipe = client.pipeline(transaction=False)
            for name in names:
                pipe.exists(self._index.answer(name))
            return [name for name, there in zip(names, await pipe.execute(), strict=True) if there]

        return await self._run(command) if names else []

    async def _take_in(self, name: bytes, used_at: float, expires_at: float) -> None:
        async def command(client: Redis) -> None:
            pipe = client.pipeline(transaction=True)
            self._index.note(pipe, name, used_at, expires_at)
            self._index.keep(pipe, expires_at - used_at)
            await pipe.execute()

        await self._run(command)


def _stored(replies: Sequence[Any], now: float) -> StoredValue | None:
    value, left, used_at, uses = replies
    if value is None or left == -2:  # it ended between the two commands
        return None
    return StoredValue(bytes(value), int(uses or 0), inf if left < 0 else now + left / 1000, used_at or 0.0)
