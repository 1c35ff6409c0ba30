"""What Redis knows about the answers beside their values: uses, ends, sources."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

__all__ = ["RedisIndex"]

_BATCH = 500
_DIGEST = 16  # bytes
_LEAST_KEEP_MS = 30 * 24 * 3600 * 1000
_LONGEST_TTL_MS = 100 * 365 * 24 * 3600 * 1000  # far beyond this Redis's own arithmetic overflows
_SKEW_SECONDS = 60.0  # clocks of machines that share a Redis differ; an entry is over when Redis says so


class Run(Protocol):
    """Runs a command or pipeline, as `RedisConnection.run` does."""

    async def __call__(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """The command's result."""
        ...


class RedisIndex:
    """The names under which a `RedisStore` keeps things, and the commands on them, put into the store's pipelines.

    | key behind the prefix | what it holds |
    |---|---|
    | `answer:KEY` | a value, with its time |
    | `answers:used` | sorted set: last uses |
    | `answers:uses` | sorted set: counts of uses (not a hash: `ZADD XX INCR` counts known keys only) |
    | `answers:ends` | sorted set: when values end |
    | `answers:sources` | hash: the digests of a value's sources, one behind the other |
    | `answers:citing` | sorted set without scores: digest of a source and key, in order of bytes |

    Every key has a time; the sets live at least 30 days from the last write on.
    """

    def __init__(self, key: Callable[..., bytes], run: Run) -> None:
        self._key = key
        self._run = run
        self.used, self.uses, self.ends, self.sources, self.citing = (
            key("answers:", name) for name in ("used", "uses", "ends", "sources", "citing")
        )

    def answer(self, name: bytes) -> bytes:
        """The key of a value."""
        return self._key("answer:", name)

    def read(self, pipe: Pipeline, name: bytes) -> None:
        """Four replies: value, milliseconds left, last use, count of uses."""
        pipe.get(self.answer(name))
        pipe.pttl(self.answer(name))
        pipe.zscore(self.used, name)
        pipe.zscore(self.uses, name)

    def read_many(self, pipe: Pipeline, names: Sequence[bytes]) -> None:
        """The same for several names; `columns` takes the replies apart."""
        pipe.mget([self.answer(name) for name in names])
        members: Any = list(names)  # redis-py says text, and takes bytes
        pipe.zmscore(self.used, members)
        pipe.zmscore(self.uses, members)
        for name in names:
            pipe.pttl(self.answer(name))

    @staticmethod
    def columns(replies: Sequence[Any]) -> tuple[Any, ...]:
        """Values, milliseconds left, last uses, counts of uses."""
        values, used_at, uses, *left = replies
        return values, left, used_at, uses

    def use(self, pipe: Pipeline, name: bytes, now: float) -> None:
        """Count a use, where the value is known."""
        pipe.zadd(self.used, {name: now}, xx=True)
        pipe.zadd(self.uses, {name: 1}, xx=True, incr=True)

    def put(self, pipe: Pipeline, name: bytes, now: float, ttl_seconds: float, sources: Collection[bytes]) -> None:
        """Note a value that is set.

        The first reply is its earlier sources; the last two are names that are over, and how many names there are.
        """
        pipe.hget(self.sources, name)
        self.note(pipe, name, now, now + ttl_seconds)
        if sources:
            pipe.hset(self.sources, name, b"".join(sources))
            pipe.zadd(self.citing, {source + name: 0 for source in sources})
        else:
            pipe.hdel(self.sources, name)
        self.keep(pipe, ttl_seconds)
        pipe.zrangebyscore(self.ends, "-inf", now - _SKEW_SECONDS, start=0, num=_BATCH)
        pipe.zcard(self.used)

    def note(self, pipe: Pipeline, name: bytes, used_at: float, expires_at: float) -> None:
        """Take a value in whose uses are not known."""
        pipe.zadd(self.used, {name: used_at})
        pipe.zadd(self.uses, {name: 0})
        pipe.zadd(self.ends, {name: expires_at})

    def extend(self, pipe: Pipeline, name: bytes, now: float, ttl_seconds: float) -> None:
        """Let a value live so long from now."""
        pipe.pexpire(self.answer(name), milliseconds(ttl_seconds))
        pipe.zadd(self.ends, {name: now + ttl_seconds}, xx=True)
        self.keep(pipe, ttl_seconds)

    def keep(self, pipe: Pipeline, ttl_seconds: float) -> None:
        """Let the index outlive a value of this time."""
        for key in (self.used, self.uses, self.ends, self.sources, self.citing):
            pipe.pexpire(key, max(milliseconds(ttl_seconds), _LEAST_KEEP_MS))

    async def remove(self, names: Sequence[bytes]) -> int:
        """Remove values and everything about them; say how many values went."""
        removed = 0
        for start in range(0, len(names), _BATCH):
            batch = list(names[start : start + _BATCH])
            sources = await self._run(lambda client: client.hmget(self.sources, batch))  # noqa: B023
            cited = [part + name for name, joined in zip(batch, sources, strict=True) for part in split(joined)]

            async def command(client: Redis, batch: list[bytes] = batch, cited: list[bytes] = cited) -> list[Any]:
                # Together: a value that another process has just set again goes as a whole, and is a miss at worst.
                pipe = client.pipeline(transaction=True)
                pipe.unlink(*map(self.answer, batch))
                for key in (self.used, self.uses, self.ends):
                    pipe.zrem(key, *batch)
                pipe.hdel(self.sources, *batch)
                if cited:
                    pipe.zrem(self.citing, *cited)
                return await pipe.execute()

            removed += int((await self._run(command))[0])
        return removed

    async def answers(self, prefix: bytes) -> AsyncIterator[list[bytes]]:
        """Batches of names of values that begin so. It walks the database, and may give a name twice."""
        cut = len(self.answer(b""))
        async for keys in walk(self._run, escape(self.answer(prefix)) + b"*"):
            yield [key[cut:] for key in keys]

    async def leftovers(self, prefix: bytes) -> AsyncIterator[list[bytes]]:
        """Batches of names that begin so in the index, whether their values are there or not."""
        for key, skip in ((self.used, 0), (self.ends, 0), (self.citing, _DIGEST)):
            match = b"?" * skip + escape(prefix) + b"*"
            cursor = 0
            while True:
                at = cursor
                cursor, members = await self._run(
                    lambda client: client.zscan(key, at, match=match, count=_BATCH)  # noqa: B023
                )
                if skip and members:
                    stale = [member for member, _ in members]
                    await self._run(lambda client: client.zrem(key, *stale))  # noqa: B023
                yield [member[skip:] for member, _ in members]
                if not cursor:
                    break


async def walk(run: Run, match: bytes) -> AsyncIterator[list[bytes]]:
    """Batches of all keys that match. It walks the database, and may give a key twice."""
    cursor = 0
    while True:
        at = cursor
        cursor, keys = await run(lambda client: client.scan(at, match=match, count=_BATCH))  # noqa: B023
        yield keys
        if not cursor:
            return


def milliseconds(seconds: float) -> int:
    """A time to live as Redis takes it."""
    return max(1, int(min(seconds * 1000, _LONGEST_TTL_MS)))


def split(joined: bytes | None) -> list[bytes]:
    """The digests that lie one behind the other."""
    return [joined[at : at + _DIGEST] for at in range(0, len(joined), _DIGEST)] if joined else []


def escape(text: bytes) -> bytes:
    """A pattern that matches this text only."""
    return b"".join(b"\\" + letter if letter in b"*?[]\\" else letter for letter in (bytes([c]) for c in text))
