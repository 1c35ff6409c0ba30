"""The board in Redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from freehold.coordination.board import PIECES_SECONDS, Entry, Finished, Pieces, Vacant
from freehold.coordination.redis_connection import RedisConnection
from freehold.coordination.redis_index import escape, milliseconds, walk
from freehold.coordination.shared import Sharer

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

__all__ = ["RedisBoard", "erase_flights"]


class RedisBoard(Sharer[RedisConnection]):
    """Leases as keys that expire, and what their holders write as streams, one for each token. See `Board`.

    No scripts: a lease is taken by `SET NX PX`. It is renewed and let go of between `WATCH` and `EXEC`, so that a
    holder whose lease ended in between changes nothing of the next one's. Followers wait in `XREAD BLOCK` on
    connections of their own. Every key has a time.

    Args:
        connection: The connection, shared with others, or the URL of one.

    Example:
        >>> board = RedisBoard("redis://localhost:6379/0")
    """

    def __init__(self, connection: RedisConnection | str) -> None:
        super().__init__(RedisConnection.of(connection))

    async def lead(self, key: str, token: str, lease_seconds: float) -> str:
        """Take the lease where it is free; the token that holds it now."""
        lease = self._lease(key)

        async def command(client: Redis) -> Any:
            pipe = client.pipeline(transaction=True)
            pipe.set(lease, token, nx=True, px=milliseconds(lease_seconds))
            pipe.get(lease)
            return (await pipe.execute())[1]

        holder: bytes | None = None
        while holder is None:  # once; again where the other's lease ended between the two commands
            holder = await self._shared.run(command)
        return holder.decode()

    async def renew(self, key: str, token: str, lease_seconds: float) -> bool:
        """Hold the lease so long from now; False where this token does not hold it any more."""
        lease, stream = self._lease(key), self._stream(key, token)

        def change(pipe: Pipeline, mine: bool) -> None:
            if mine:
                pipe.pexpire(lease, milliseconds(lease_seconds))
                pipe.expire(stream, PIECES_SECONDS)
            else:
                pipe.exists(lease)

        return bool(await self._shared.run(lambda client: _watched(client, lease, token, change)))

    async def append(self, key: str, token: str, first: int, pieces: Sequence[str]) -> None:
        """Write pieces of the answer, of which so many came before."""
        stream = self._stream(key, token)

        async def command(client: Redis) -> None:
            pipe = client.pipeline(transaction=True)
            pipe.xadd(stream, {"first": first, "pieces": json.dumps(list(pieces))})
            pipe.expire(stream, PIECES_SECONDS)
            await pipe.execute()

        await self._shared.run(command)

    async def finish(self, key: str, token: str, event: bytes, keep_seconds: float) -> None:
        """Write the last event and, at once with it, let go of the lease where this token holds it."""
        lease, stream = self._lease(key), self._stream(key, token)

        def change(pipe: Pipeline, mine: bool) -> None:
            pipe.xadd(stream, {"event": event})
            pipe.pexpire(stream, milliseconds(keep_seconds))
            if mine:
                pipe.delete(lease)

        await self._shared.run(lambda client: _watched(client, lease, token, change))

    async def follow(self, key: str, token: str, after: str, wait_seconds: float) -> tuple[list[Entry], str]:
        """What this token wrote since a position, and the position behind it."""
        lease, stream = self._lease(key), self._stream(key, token)

        async def command(client: Redis, seconds: float) -> tuple[bytes | None, list[Any]]:
            pipe = client.pipeline(transaction=False)
            # In this order: a leader that lets go in between has finished first, and the stream says so.
            pipe.get(lease)
            pipe.xread({stream: after or "0"}, block=milliseconds(seconds) if seconds > 0 else None)
            holder, found = await pipe.execute()
            return holder, found[0][1] if found else []

        holder, found = await self._shared.wait(command, wait_seconds)
        if found:
            return [_entry(fields) for _, fields in found], found[-1][0].decode()
        return [] if holder == token.encode() else [Vacant()], after

    def _lease(self, key: str) -> bytes:
        return self._shared.key("lease:", key)

    def _stream(self, key: str, token: str) -> bytes:
        return self._shared.key("flight:", token, ":", key)


async def erase_flights(connection: RedisConnection, prefix: bytes) -> None:
    """Remove what was written under keys that begin so, also where followers could still have read it for a while.

    What a token that holds its lease writes stays. It walks the database.
    """
    begin = connection.key("flight:")
    async for streams in walk(connection.run, escape(begin) + b"*:" + escape(prefix) + b"*"):
        written = [(stream, *stream.removeprefix(begin).split(b":", 1)) for stream in streams]
        written = [(stream, token, key) for stream, token, key in written if key.startswith(prefix)]
        if not written:
            continue
        leases = [connection.key("lease:", key) for _, _, key in written]
        holders = await connection.run(lambda client: client.mget(leases))  # noqa: B023
        over = [stream for (stream, token, _), holder in zip(written, holders, strict=True) if holder != token]
        if over:
            await connection.run(lambda client: client.unlink(*over))  # noqa: B023


async def _watched(client: Redis, lease: bytes, token: str, change: Callable[[Pipeline, bool], None]) -> bool:
    """Change what depends on whether a token holds a lease, and nothing where that changes meanwhile: then look again.

    Args:
        client: The client.
        lease: The lease's key.
        token: The token.
        change: Puts at least one command into the transaction; told whether the token holds the lease.

    Returns:
        Whether the token held the lease.
    """
    from redis.exceptions import WatchError

    pipe = client.pipeline(transaction=True)
    while True:
        try:
            await pipe.watch(lease)
            mine = await pipe.get(lease) == token.encode()
        except BaseException:
            # Tidying up, redis-py would take the watch back, and connect anew for that, to a server that may hang.
            if pipe.connection is not None:
                await pipe.connection.disconnect(nowait=True)
            pipe.watching = False
            await pipe.reset()  # type: ignore[no-untyped-call]
            raise
        pipe.watching = False  # for the same reason: EXEC ends the watch
        pipe.multi()  # type: ignore[no-untyped-call]
        change(pipe, mine)
        try:
            await pipe.execute()
        except WatchError:  # the lease ended, was renewed, or is another's
            continue
        return mine


def _entry(fields: Mapping[bytes, bytes]) -> Entry:
    if b"event" in fields:
        return Finished(fields[b"event"])
    return Pieces(int(fields[b"first"]), tuple(json.loads(fields[b"pieces"])))
