"""What the tests of coordination share: real Redis servers, and stores, ledgers and boards of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from benchmarks.redis_server import RedisServer
from freehold.coordination import RedisConnection

PATIENT = 60.0  # seconds; a busy test machine must not look like a dead Redis


class Clock:
    """A clock that stands still until the test moves it."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def files_with(folder: Path, text: bytes) -> list[str]:
    """Files of a folder that hold these bytes."""
    return [path.name for path in folder.iterdir() if text in path.read_bytes()]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis for the whole session; tests keep apart by their prefixes."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@pytest.fixture
def connection(redis_url: str, tmp_path: Path) -> RedisConnection:
    """A connection to the session's Redis, under a prefix of the test's own."""
    return RedisConnection(redis_url, prefix=f"{tmp_path.name}:", timeout_seconds=PATIENT)


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts a Redis with options of the test's own."""
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        folder = tmp_path / f"redis{len(servers)}"
        folder.mkdir()
        servers.append(RedisServer(folder, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """A Redis that the test may stop or freeze."""
    return start_redis()


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    """The owner of that Redis, who looks into it."""
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        yield client
