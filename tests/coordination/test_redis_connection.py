"""One connection to Redis for all, and what a Redis that fails costs."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import redis

from freehold.coordination import RedisBoard, RedisConnection, RedisLedger, RedisStore
from freehold.coordination.board import Board
from freehold.errors import SettingsError, StorageError
from tests.coordination.conftest import PATIENT, Clock, RedisServer


def threads() -> int:
    """How many connections are open in this process."""
    return sum(thread.name == "freehold-redis" for thread in threading.enumerate())


async def value(store: RedisStore, key: str) -> bytes | None:
    """The bytes under a key."""
    found = await store.get(key)
    return None if found is None else found.value


async def test_works_over_tcp_with_password(start_redis: Callable[..., RedisServer]) -> None:
    """Protects the usual way to a Redis, and keeps its password out of what people read."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start_redis("--port", str(port), "--requirepass", "secret")
    store = RedisStore(RedisConnection(f"redis://:secret@127.0.0.1:{port}/1", timeout_seconds=PATIENT))
    stranger = RedisStore(RedisConnection(f"redis://:wrong@127.0.0.1:{port}/1", timeout_seconds=PATIENT))
    await store.set("k", b"1", 60)
    assert await value(store, "k") == b"1"
    with pytest.raises(StorageError, match=rf"Redis at redis://127\.0\.0\.1:{port}/1 failed") as caught:
        await stranger.get("k")
    assert "wrong" not in str(caught.value)
    await store.close()
    await stranger.close()


async def test_a_frozen_redis_costs_one_timeout(server: RedisServer) -> None:
    """Protects runs from a Redis that hangs: one time-out, then the breaker, and back in when it answers again."""
    clock = Clock()
    store = RedisStore(RedisConnection(server.url, timeout_seconds=0.3, clock=clock))
    await store.set("a", b"1", 60)
    await store.set("b", b"2", 60)
    server.freeze()
    with pytest.raises(StorageError, match="failed"):
        await store.get("a")
    with pytest.raises(StorageError, match="left alone"):
        await store.get("a")
    server.thaw()
    with pytest.raises(StorageError, match="left alone"):
        await store.get("a")
    clock.now += 5.0
    # The late answer to the first command must not be taken for the answer to this one.
    assert await value(store, "b") == b"2"
    assert await value(store, "a") == b"1"
    await store.close()


async def test_a_frozen_redis_that_was_never_reached_costs_one_timeout(server: RedisServer) -> None:
    """Protects the first call: the kernel accepts the connection, and nobody greets."""
    server.freeze()
    store = RedisStore(RedisConnection(server.url, timeout_seconds=0.05))
    with pytest.raises(StorageError, match="failed"):
        await store.get("a")
    await store.close()


async def test_a_hundred_callers_of_a_frozen_redis_end_together(server: RedisServer) -> None:
    """Protects from queueing: callers beyond the pool's connections wait no longer than the time-out either."""
    server.freeze()
    store = RedisStore(RedisConnection(server.url, timeout_seconds=0.05))
    results = await asyncio.gather(*(store.get("a") for _ in range(100)), return_exceptions=True)
    assert all(isinstance(result, StorageError) for result in results)
    await store.close()


async def test_a_redis_that_stops_and_one_that_is_not_there(server: RedisServer) -> None:
    """Protects from redis-py's errors: the message names the address, the reason, and what to do."""
    store = RedisStore(RedisConnection(server.url, timeout_seconds=PATIENT))
    await store.set("a", b"1", 60)
    server.stop()
    with pytest.raises(StorageError, match="check that it runs"):
        await store.get("a")
    await store.close()
    nowhere = RedisStore(RedisConnection("unix:///nowhere/redis.sock", timeout_seconds=PATIENT))
    with pytest.raises(StorageError, match=r"/nowhere/redis\.sock failed"):
        await nowhere.get("a")
    await nowhere.close()


async def test_a_restart_between_two_calls_costs_nothing(server: RedisServer) -> None:
    """Protects from connections of a server that is gone: they are made anew, and the breaker stays closed."""
    store = RedisStore(RedisConnection(server.url, timeout_seconds=PATIENT))
    await asyncio.gather(*(store.set(str(number), b"1", 60) for number in range(50)))
    server.stop()
    server.start()
    assert await asyncio.gather(*(store.get(str(number)) for number in range(50))) == [None] * 50
    await store.close()


async def test_one_breaker_for_all(server: RedisServer) -> None:
    """Protects from paying the time-out once for each: what one finds out, the others know."""
    connection = RedisConnection(server.url, timeout_seconds=0.2)
    store, ledger, board = RedisStore(connection), RedisLedger(connection), RedisBoard(connection)
    server.freeze()
    with pytest.raises(StorageError, match="failed"):
        await ledger.counts()
    for call in (store.get("a"), ledger.counts(), board.lead("k", "t", 1), board.follow("k", "t", "", 5)):
        with pytest.raises(StorageError, match="left alone"):
            await call
    for one in (store, ledger, board):
        await one.close()


async def test_the_last_one_closes_and_the_next_one_opens(redis_url: str) -> None:
    """Protects from leaks and from closing what another still uses, in any order; nothing opens before it is used."""
    before = threads()
    connection = RedisConnection(redis_url, timeout_seconds=PATIENT)
    store, ledger, board = RedisStore(connection), RedisLedger(connection), RedisBoard(connection)
    assert threads() == before
    await store.get("a")
    await store.close()
    await store.close()
    assert await board.lead("shared", "t", 1) == "t"
    with pytest.raises(StorageError, match="closed"):
        await store.get("a")
    await board.close()
    assert await ledger.counts() == {}
    await ledger.close()
    assert threads() == before
    again = RedisStore(connection)
    assert await again.get("a") is None
    await again.close()
    assert threads() == before


@pytest.mark.parametrize("pause", [0.0, 0.01], ids=["before the question", "before the answer"])
async def test_a_process_that_was_kept_from_running_does_not_blame_redis(redis_url: str, pause: float) -> None:
    """Protects a healthy Redis from the breaker: time in which nobody here could ask or listen does not count."""
    store = RedisStore(RedisConnection(redis_url, timeout_seconds=0.5))
    assert await store.get("a") is None
    with_lock = ctypes.PyDLL(None)  # calls into it keep the interpreter's lock, as some extensions do
    for _ in range(2):
        call = asyncio.ensure_future(store.get("a"))
        await asyncio.sleep(0)
        time.sleep(pause)  # noqa: ASYNC251 - the connection's thread runs meanwhile
        with_lock.usleep(900_000)
        assert await call is None
    await store.close()


async def test_a_refusal_does_not_open_the_breaker(server: RedisServer, client: redis.Redis) -> None:
    """Protects the other entries: one key of another type is that key's trouble."""
    client.rpush("freehold:answer:list", "1")
    store = RedisStore(RedisConnection(server.url, timeout_seconds=PATIENT))
    with pytest.raises(StorageError, match="refused: WRONGTYPE"):
        await store.get("list")
    await store.set("a", b"1", 60)
    assert await value(store, "a") == b"1"
    await store.close()


async def test_waiting_at_the_server_is_no_failure(redis_url: str) -> None:
    """Protects followers that wait longer than the time-out of a command, beside calls that do not."""
    connection = RedisConnection(redis_url, "waiting:", timeout_seconds=1.0)
    board: Board = RedisBoard(connection)
    await board.lead("k", "t", 60)
    waiting = asyncio.ensure_future(board.follow("k", "t", "", 1.5))
    await asyncio.sleep(0.1)
    assert await board.lead("k", "t", 60) == "t"
    assert await waiting == ([], "")
    assert await board.lead("k", "t", 60) == "t"
    await board.close()


async def test_more_wait_than_there_are_connections(redis_url: str) -> None:
    """Protects the breaker from a crowd of followers: those for whom no connection is left look from time to time."""
    board = RedisBoard(RedisConnection(redis_url, "crowd:", timeout_seconds=1.5))
    tokens = [f"t{number}" for number in range(80)]
    for token in tokens:
        assert await board.lead(token, token, 60) == token
    assert await asyncio.gather(*(board.follow(token, token, "", 2.0) for token in tokens)) == [([], "")] * 80
    await board.close()


async def test_no_scripts_are_needed(start_redis: Callable[..., RedisServer]) -> None:
    """Protects owners who switch scripts off: everything works without them, and without other rare commands."""
    forbidden = ("eval", "evalsha", "script", "keys", "flushall", "flushdb", "config", "debug", "hello")
    options = [word for name in forbidden for word in ("--rename-command", name, "")]
    server = start_redis("--port", "0", *options)
    connection = RedisConnection(server.url, timeout_seconds=PATIENT)
    store, ledger, board = RedisStore(connection, max_entries=1), RedisLedger(connection), RedisBoard(connection)
    for key in "ab":
        await store.set(key, b"1", 60, sources=["s"])
    assert (await store.citing("s"), await store.count(), len(await store.list())) == (["b"], 1, 1)
    assert await store.clear() == 1
    await ledger.add({"a": 1})
    await ledger.append([b"1"])
    await ledger.clear()
    assert await board.lead("k", "t", 60) == "t"
    assert await board.renew("k", "t", 60)
    await board.finish("k", "t", b"", 60)
    for one in (store, ledger, board):
        await one.close()


@asynccontextmanager
async def silent_from(server: RedisServer, word: bytes) -> AsyncIterator[str]:
    """A way to a Redis that falls silent when somebody says a word, also to those who connect anew."""
    silent = False
    forwarding: list[asyncio.Task[None]] = []

    async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        nonlocal silent
        try:
            while data := await source.read(65_536):
                silent = silent or word in data
                if not silent:
                    target.write(data)
        finally:
            target.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_unix_connection(str(server.socket))
        for source, target in ((reader, back_writer), (back_reader, writer)):
            forwarding.append(asyncio.create_task(forward(source, target)))

    path = server.folder / "silent.sock"
    listening = await asyncio.start_unix_server(connected, path)
    yield f"unix://{path}"
    listening.close()
    for task in forwarding:
        task.cancel()
    await asyncio.wait(forwarding)


@pytest.mark.parametrize("word", [b"WATCH", b"\r\nGET\r\n", b"MULTI", b"EXEC"])
async def test_silence_in_the_middle_costs_one_timeout(server: RedisServer, word: bytes) -> None:
    """Protects leaders from a Redis that hangs between two steps of one call: nothing waits for it to be tidied up."""
    async with silent_from(server, word) as url:
        connection = RedisConnection(url, timeout_seconds=0.2)
        board = RedisBoard(connection)
        owner = RedisBoard(RedisConnection(server.url, timeout_seconds=PATIENT))
        await owner.lead("k", "t", 60)
        with pytest.raises(StorageError, match="no answer within"):
            await asyncio.wait_for(board.renew("k", "t", 60), 10)
        await asyncio.wait_for(board.close(), 10)
        assert await owner.renew("k", "t", 60)
        await owner.close()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:6379",
        "http://localhost",
        "redis://localhost:port",
        "redis://[::1",
        "redis://localhost?nonsense=1",
    ],
)
def test_a_url_that_cannot_be_used_is_refused(address: str) -> None:
    """Protects from finding out in the middle of a run: a wrong URL shows when the connection is made."""
    with pytest.raises(SettingsError, match="Redis URL"):
        RedisConnection(address)
    with pytest.raises(SettingsError, match="Redis URL"):
        RedisStore(address)


def test_an_empty_prefix_is_refused() -> None:
    """Protects a shared Redis from being emptied by `clear`."""
    with pytest.raises(SettingsError, match="prefix"):
        RedisConnection("redis://localhost:6379/0", prefix="")
