"""A Redis that hangs, stops, comes back empty and is emptied while three processes ask: nobody fails or waits long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
import redis

from freehold.coordination import Flights, RedisBoard, RedisConnection, RedisStore
from freehold.coordination.flights import Declined, Landed, Leading, Piece
from freehold.errors import StorageError
from tests.coordination.conftest import PATIENT, RedisServer
from tests.coordination.test_flights import events, lead
from tests.coordination.test_flights_across import other_leads

PIECES = [f"{number} " for number in range(10)]
LEASE_SECONDS = 1.0


class Process:
    """What one process has: a store and flights on a connection of its own, with the time-out that is the default."""

    def __init__(self, url: str) -> None:
        connection = RedisConnection(url, retry_seconds=0.2)
        self.store = RedisStore(connection)
        self.flights = Flights(RedisBoard(connection), lease_seconds=LEASE_SECONDS)
        self.slowest = 0.0
        self.asked = 0

    async def look(self, key: str) -> bytes | None:
        """A store that is down has nothing."""
        try:
            found = await self.store.get(key)
        except StorageError:
            return None
        return None if found is None else found.value

    async def answer(self, seat: Leading) -> bytes:
        """Ten pieces in a twentieth of a second."""
        with seat.hold():
            for piece in PIECES:
                seat.emit(piece)
                await asyncio.sleep(0.005)
        result = f"answer to {seat.key}".encode()
        with suppress(StorageError):
            await self.store.set(seat.key, result, 60)
        await seat.land(result)
        return result

    async def ask(self, key: str) -> bytes:
        """Until there is an answer."""
        while True:
            found = await self.look(key)
            if found is not None:
                return found
            seat = await self.flights.board(key)
            if isinstance(seat, Leading):
                if await seat.lead():
                    return await self.answer(seat)
                seat = seat.following()
            told = await events(seat)
            if isinstance(told[-1], Landed):
                assert told[:-1] == [Piece(piece) for piece in PIECES]
                return told[-1].result
            assert not isinstance(told[-1], Declined)

    async def keep_asking(self, until: float) -> None:
        """The same questions as everybody else, at about the same time."""
        while time.monotonic() < until:
            key = f"question {int(time.monotonic() * 8)}"
            begun = time.monotonic()
            assert await self.ask(key) == f"answer to {key}".encode()
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.asked += 1
            await asyncio.sleep(0.01)


async def make_trouble(server: RedisServer, until: float) -> None:
    """One after the other, with a moment of peace between."""

    def empty() -> None:
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            client.flushall()

    async def freeze() -> None:
        server.freeze()
        await asyncio.sleep(0.5)
        server.thaw()

    async def restart() -> None:
        server.stop()
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)

    troubles: list[Callable[[], object]] = [freeze, empty, restart]
    number = 0
    while time.monotonic() < until:
        await asyncio.sleep(0.4)
        done = troubles[number % len(troubles)]()
        if asyncio.iscoroutine(done):
            await done
        number += 1


@pytest.mark.slow
async def test_trouble_costs_no_answer(server: RedisServer) -> None:
    """Protects every run from every trouble of a Redis, and the Redis from what runs leave behind."""
    processes = [Process(server.url) for _ in range(3)]
    until = time.monotonic() + 10
    asking = [process.keep_asking(until) for process in processes for _ in range(15)]
    await asyncio.gather(make_trouble(server, until), *asking)
    assert min(process.asked for process in processes) > 100
    assert max(process.slowest for process in processes) < 2 * LEASE_SECONDS + 6  # a busy machine

    await asyncio.sleep(1)  # the breakers let them in again
    here, there = (Flights(RedisBoard(RedisConnection(server.url, timeout_seconds=PATIENT))) for _ in range(2))
    seat = await lead(here, "after")
    following = await other_leads(there, "after")
    await seat.land(b"42")
    assert await events(following) == [Landed(b"42")]
    for flights in (here, there):
        await flights.close()
    for process in processes:
        await process.flights.close()
        await process.store.close()
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        assert client.keys("freehold:lease:*") == []
        assert [key for key in client.scan_iter() if client.ttl(key) < 0] == []
