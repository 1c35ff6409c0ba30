"""The ledger in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from freehold.coordination.ledger import MOST_ENTRIES
from freehold.coordination.redis_connection import RedisConnection
from freehold.coordination.shared import Sharer
from freehold.coordination.text import decode, encode

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisLedger"]

_BATCH = 1_000
_KEEP_SECONDS = 365 * 24 * 3600


class RedisLedger(Sharer[RedisConnection]):
    """Counters in a hash and a log in a stream, each kept for a year from the last write on. See `Ledger`.

    Args:
        connection: The connection, shared with others, or the URL of one.
        most: Most entries that are kept.

    Example:
        >>> RedisLedger("redis://localhost:6379/0").most
        5000
    """

    def __init__(self, connection: RedisConnection | str, *, most: int = MOST_ENTRIES) -> None:
        super().__init__(RedisConnection.of(connection))
        self.most = most
        self._counts, self._log = (self._shared.key("ledger:", name) for name in ("counts", "log"))

    async def add(self, counts: Mapping[str, float]) -> None:
        """Add to counters."""

        async def command(client: Redis) -> None:
            pipe = client.pipeline(transaction=True)
            for name, number in counts.items():
                pipe.hincrbyfloat(self._counts, encode(name), number)
            pipe.expire(self._counts, _KEEP_SECONDS)
            await pipe.execute()

        await self._shared.run(command)

    async def counts(self) -> dict[str, float]:
        """Every counter."""
        found = await self._shared.run(lambda client: client.hgetall(self._counts))
        return {decode(name): float(number) for name, number in sorted(found.items())}

    async def append(self, entries: Sequence[bytes]) -> None:
        """Write entries behind the others."""

        async def command(client: Redis) -> None:
            pipe = client.pipeline(transaction=True)
            for entry in entries[-self.most :]:
                pipe.xadd(self._log, {"e": entry}, maxlen=self.most, approximate=False)
            pipe.expire(self._log, _KEEP_SECONDS)
            await pipe.execute()

        await self._shared.run(command)

    async def read(self, after: str = "") -> tuple[list[bytes], str]:
        """The entries behind a position, oldest first, and the position behind them."""
        entries: list[bytes] = []
        while True:
            batch = await self._shared.run(lambda client: self._batch(client, after))  # noqa: B023
            entries += [fields[b"e"] for _, fields in batch]
            if not batch:
                return entries, after
            after = batch[-1][0].decode()

    async def _batch(self, client: Redis, after: str) -> list[Any]:
        found: Any = await client.xrange(self._log, min=f"({after}" if after else "-", count=_BATCH)
        return list(found)

    async def clear(self) -> None:
        """Set every counter back to nothing, and remove every entry."""
        await self._shared.run(lambda client: client.unlink(self._counts, self._log))
