"""The answer store in Redis, for several processes or machines that share their answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from freehold.coordination.breaker import Breaker
from freehold.errors import SettingsError, StorageError

if TYPE_CHECKING:
    from redis.asyncio import BlockingConnectionPool, Redis

__all__ = ["RedisStore"]

T = TypeVar("T")

_MOST_CONNECTIONS = 32
_SCAN_BATCH = 500
_LONGEST_TTL_MS = 100 * 365 * 24 * 3600 * 1000  # far beyond this Redis's own arithmetic overflows


class RedisStore:
    """Answers in Redis 6.2 or newer, or Valkey: plain commands, no modules. See `AnswerStore`.

    Redis evicts by its own `maxmemory` settings. A call costs at most `timeout_seconds`, connecting and waiting for a
    free connection included; after a failure a breaker lets every call fail at once for `retry_seconds`.

    The connections live on an event loop of the store's own, in its own thread: callers on any loop share one pool, and
    a caller's loop that is late does not look like a Redis that is slow.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, as redis-py reads it; nothing connects before the first call.
        prefix: In front of every key. `clear` removes what starts with it and nothing else; what Redis itself wrote to
            its disk goes when Redis writes it anew.
        timeout_seconds: Most that one command may take.
        retry_seconds: How long Redis stays out after a failure.
        clock: Seconds that only grow, for the breaker; for tests.

    Raises:
        SettingsError: The URL cannot be used, or the prefix is empty.

    Example:
        >>> store = RedisStore("redis://:secret@localhost:6379/0")
        >>> store.address
        'redis://localhost:6379/0'
    """

    def __init__(
        self,
        url: str,
        prefix: str = "freehold:",
        *,
        timeout_seconds: float = 0.05,
        retry_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not prefix:
            raise SettingsError(
                "prefix='' cannot be used: clearing the cache would then empty the whole Redis database."
            )
        self.address = _without_password(url)
        self.prefix = prefix
        self.timeout_seconds = timeout_seconds
        self._pool = _pool(url, self.address, timeout_seconds)
        self._client: Redis | None = None  # belongs to the store's loop, as the pool's connections do
        self._breaker = Breaker(retry_seconds, clock)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """The value under this key, or None where there is none or its time is over."""
        value = await self._call(self._command(lambda client: client.get(self.prefix + key)))
        return None if value is None else bytes(value)

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Put the value under this key; a `ttl_seconds` of 0 or less removes the key."""
        if ttl_seconds <= 0:
            await self.delete(key)
            return
        milliseconds = max(1, int(min(ttl_seconds * 1000, _LONGEST_TTL_MS)))
        await self._call(self._command(lambda client: client.set(self.prefix + key, value, px=milliseconds)))

    async def delete(self, key: str) -> None:
        """Remove this key, where it is there."""
        await self._call(self._command(lambda client: client.unlink(self.prefix + key)))

    async def clear(self, prefix: str = "") -> int:
        """Remove every key that begins so behind the store's own prefix; say how many went.

        It walks the database, and each batch may take `timeout_seconds`.
        """
        return await self._call(self._clear(prefix))

    async def count(self) -> int:
        """How many keys have this prefix. It walks the database: for reports, not for the hot path."""
        return await self._call(self._count())

    async def close(self) -> None:
        """Close the connections and end the thread; closing twice is closing once."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is None or thread is None:
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._disconnect(), loop))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()  # one turn of a loop that has nothing left to do
        loop.close()

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work on the store's loop, unless the breaker is open, and tell the breaker how it went."""
        from redis.exceptions import RedisError, ResponseError

        try:
            running = self._start(work)
        except StorageError:
            work.close()
            raise
        try:
            result = await asyncio.wrap_future(running)
        except ResponseError as error:
            # Redis is there and said no (out of memory, read-only, another type under the key): other calls may do.
            self._breaker.passed()
            raise StorageError(f"Redis at {self.address} refused: {error}.") from error
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            reason = str(error) or f"no answer within {self.timeout_seconds * 1000:g} ms"
            self._breaker.failed(reason)
            raise StorageError(
                f"Redis at {self.address} failed: {reason}. It is left alone for {self._breaker.retry_seconds:g} s; "
                "check that it runs."
            ) from error
        self._breaker.passed()
        return result

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            self._refuse_closed()
            failure = self._breaker.refusal()
            if failure is not None:
                raise StorageError(f"Redis at {self.address} is left alone after a failure: {failure}.")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="freehold-redis", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StorageError(f"The answer store on Redis at {self.address} is closed; open a new one.")

    async def _command(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        self._refuse_closed()
        if self._client is None:
            from redis.asyncio import Redis

            self._client = Redis(connection_pool=self._pool)
        async with asyncio.timeout(self.timeout_seconds):
            return await command(self._client)

    async def _scan(self, prefix: str = "") -> AsyncIterator[list[bytes]]:
        start = self.prefix + prefix
        pattern = "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in start) + "*"
        cursor = 0
        while True:
            at = cursor
            cursor, keys = await self._command(lambda client: client.scan(at, match=pattern, count=_SCAN_BATCH))  # noqa: B023
            yield keys
            if not cursor:
                return

    async def _clear(self, prefix: str) -> int:
        removed = 0
        async for keys in self._scan(prefix):
            if keys:
                removed += await self._command(lambda client: client.unlink(*keys))  # noqa: B023
        return removed

    async def _count(self) -> int:
        seen: set[bytes] = set()  # SCAN may give a key twice
        async for keys in self._scan():
            seen.update(keys)
        return len(seen)

    async def _disconnect(self) -> None:
        # Commands under way end by themselves within the time-out; a walk over the keys stops at its next command.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)
        await self._pool.aclose()
        await asyncio.get_running_loop().shutdown_default_executor()


def _without_password(url: str) -> str:
    """The URL as it may be shown: without what stands before its last `@`, and without options."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2].partition("?")[0]


def _pool(url: str, address: str, timeout_seconds: float) -> BlockingConnectionPool:
    from redis.asyncio import BlockingConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MOST_CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # RESP3 would open with a greeting that only newer servers know, and nothing here needs it
        )
        # Connects nothing; an option in the URL that redis-py does not know shows here.
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"The Redis URL {address!r} cannot be used{'' if '@' in url else f': {error}'}. "
            "Write it like redis://localhost:6379/0, with special characters of a password percent-encoded."
        ) from error
    return pool
