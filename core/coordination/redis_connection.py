"""The connection to Redis that the store, the ledger and the board share."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from freehold.coordination.breaker import Breaker
from freehold.coordination.outcome import outcome
from freehold.coordination.shared import Shared
from freehold.coordination.text import encode
from freehold.errors import SettingsError, StorageError

if TYPE_CHECKING:
    from redis.asyncio import BlockingConnectionPool, Redis

__all__ = ["RedisConnection"]

T = TypeVar("T")

_MOST_CONNECTIONS = 32
_MOST_WAITING = 64  # connections on which commands wait at the server
_POLL_SECONDS = 0.02  # where all of those are taken
_TICK_SECONDS = 0.1  # an idle server looks for waits that are over at each tick, ten a second (its setting `hz`)


@dataclass
class _Opened:
    """What is open: a loop in a thread, and two pools on it."""

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    client: Redis
    waiting_client: Redis
    waiting: int = 0


class RedisConnection(Shared[_Opened]):
    """One pool of connections and one breaker for everything that this process keeps in a Redis.

    Redis 6.2 or newer, or Valkey: plain commands, no scripts, no modules. A command, or a pipeline of them, costs at
    most `timeout_seconds`, connecting and waiting for a free connection included; after a failure a breaker lets every
    call fail at once for `retry_seconds`.

    The connections live on an event loop of their own, in its own thread: callers on any loop share one pool, and a
    caller's loop that is late does not look like a Redis that is slow. A caller that is cancelled stops waiting; its
    command ends by itself.

    It opens with the first call and closes with the last store, ledger or board that was made on it.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, as redis-py reads it; nothing connects before the first call.
        prefix: In front of every key.
        timeout_seconds: Most that one command may take.
        retry_seconds: How long Redis stays out after a failure.
        clock: Seconds that only grow, for the breaker; for tests.

    Raises:
        SettingsError: The URL cannot be used, or the prefix is empty.

    Example:
        >>> RedisConnection("redis://:secret@localhost:6379/0").address
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
        super().__init__(f"Redis at {self.address}")
        self.prefix = prefix
        self.timeout_seconds = timeout_seconds
        self._url = url
        self._breaker = Breaker(retry_seconds, clock)
        _pool(url, self.address, 1)  # a wrong URL shows here

    @classmethod
    def of(cls, connection: RedisConnection | str) -> RedisConnection:
        """The connection itself, or one to this URL."""
        return cls(connection) if isinstance(connection, str) else connection

    def key(self, *parts: str | bytes) -> bytes:
        """A key behind the prefix; any text can be part of it, half of a surrogate pair too."""
        return b"".join(part if isinstance(part, bytes) else encode(part) for part in (self.prefix, *parts))

    async def run(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        """Run one command or pipeline.

        Raises:
            StorageError: Redis failed, refused the command, or is left alone after a failure.
        """

        async def running(opened: _Opened) -> Any:
            return await self._timed(command(opened.client), self.timeout_seconds)

        return await self._call(running)

    async def wait(self, command: Callable[[Redis, float], Awaitable[Any]], seconds: float) -> Any:
        """Run a command that waits at the server, for up to so many seconds, on a connection of its own.

        An idle server may end the wait up to a tick late, which counts for no failure. Where too many wait already, the
        command gets 0 seconds, after a pause, and a connection of the others.

        Raises:
            StorageError: As from `run`; that nothing came is no failure.
        """

        async def waiting(opened: _Opened) -> Any:
            if opened.waiting >= _MOST_WAITING:
                await asyncio.sleep(min(seconds, _POLL_SECONDS))
                return await self._timed(command(opened.client, 0), self.timeout_seconds)
            opened.waiting += 1
            try:
                limit = seconds + _TICK_SECONDS + self.timeout_seconds
                return await self._timed(command(opened.waiting_client, seconds), limit)
            finally:
                opened.waiting -= 1

        return await self._call(waiting)

    async def _call(self, work: Callable[[_Opened], Coroutine[Any, Any, T]]) -> T:
        def start(opened: _Opened) -> Future[T]:
            failure = self._breaker.refusal()
            if failure is not None:
                raise StorageError(f"{self.name} is left alone after a failure: {failure}.")
            return asyncio.run_coroutine_threadsafe(work(opened), opened.loop)

        return await outcome(self._submit(start))

    async def _timed(self, command: Awaitable[T], seconds: float) -> T:
        """Await the command on the connection's loop, and tell the breaker how it went."""
        from redis.exceptions import RedisError, ResponseError

        try:
            async with _time_limit(seconds):
                result = await command
        except ResponseError as error:
            # Redis is there and said no (out of memory, read-only, another type under the key): other calls may do.
            self._breaker.passed()
            raise StorageError(f"{self.name} refused: {error}.") from error
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            reason = str(error) or f"no answer within {seconds * 1000:g} ms"
            self._breaker.failed(reason)
            raise StorageError(
                f"{self.name} failed: {reason}. It is left alone for {self._breaker.retry_seconds:g} s; "
                "check that it runs."
            ) from error
        self._breaker.passed()
        return result

    def _open(self) -> _Opened:
        from redis.asyncio import Redis

        loop = asyncio.new_event_loop()
        client, waiting_client = (
            Redis(connection_pool=_pool(self._url, self.address, most)) for most in (_MOST_CONNECTIONS, _MOST_WAITING)
        )
        thread = threading.Thread(target=loop.run_forever, name="freehold-redis", daemon=True)
        thread.start()
        return _Opened(loop, thread, client, waiting_client)

    async def _shut(self, opened: _Opened) -> None:
        async def disconnect() -> None:
            # What is under way ends by itself within its time-out.
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others)
            await opened.client.connection_pool.aclose()
            await opened.waiting_client.connection_pool.aclose()
            await opened.loop.shutdown_default_executor()

        await outcome(asyncio.run_coroutine_threadsafe(disconnect(), opened.loop))
        opened.loop.call_soon_threadsafe(opened.loop.stop)
        opened.thread.join()  # one turn of a loop that has nothing left to do
        opened.loop.close()


@asynccontextmanager
async def _time_limit(seconds: float) -> AsyncIterator[None]:
    """A time-out for which only the time counts in which this process could run.

    Kept from running (by the interpreter's lock, or on a busy machine), a loop finds an answer and the end of the time
    together: then the answer is read first. And where the end comes late, so may the question have gone out: then the
    time is given once more. So a healthy Redis does not look dead.
    """
    loop = asyncio.get_running_loop()
    alarm: asyncio.TimerHandle
    async with asyncio.timeout(None) as scope:

        def ring(due: float, again: float) -> None:
            nonlocal alarm
            if again and loop.time() - due > again / 4:
                alarm = loop.call_later(again, ring, loop.time() + again, 0.0)
            else:
                scope.reschedule(loop.time())  # it ends one turn of the loop later

        alarm = loop.call_later(seconds, ring, loop.time() + seconds, seconds)
        try:
            yield
        finally:
            alarm.cancel()


def _without_password(url: str) -> str:
    """The URL as it may be shown: without what stands before its last `@`, and without options."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2].partition("?")[0]


def _pool(url: str, address: str, most: int) -> BlockingConnectionPool:
    from redis.asyncio import BlockingConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=most,
            # The time of a command is limited as a whole, connecting and waiting for a connection included.
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
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
