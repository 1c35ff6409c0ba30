"""The suite that every ledger passes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from freehold.coordination import Ledger, MemoryLedger, RedisConnection, RedisLedger, SQLiteLedger
from freehold.errors import StorageError

OpenLedger = Callable[..., Ledger]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLedger:
    """Opens the same ledger anew."""
    if request.param == "memory":
        return MemoryLedger
    if request.param == "sqlite":
        return lambda **options: SQLiteLedger(tmp_path / "ledger.sqlite3", **options)
    connection: RedisConnection = request.getfixturevalue("connection")
    return lambda **options: RedisLedger(connection, **options)


@pytest.fixture
async def ledger(open_ledger: OpenLedger) -> AsyncIterator[Ledger]:
    """One ledger, closed after the test."""
    opened = open_ledger()
    yield opened
    await opened.close()


async def test_is_a_ledger(ledger: Ledger) -> None:
    """Protects the contract's names."""
    assert isinstance(ledger, Ledger)


async def test_counters_add_up(ledger: Ledger) -> None:
    """Protects sums over many callers at once, fractions and what is taken away."""
    assert await ledger.counts() == {}
    await asyncio.gather(*(ledger.add({"hits": 1, "seconds": 0.25, "odd \ud800": -1}) for _ in range(40)))
    assert await ledger.counts() == {"hits": 40, "seconds": 10.0, "odd \ud800": -40}
    await ledger.add({})


async def test_entries_come_in_order_and_once(ledger: Ledger) -> None:
    """Protects the evidence: a reader who comes back gets what is new, and nothing twice."""
    assert await ledger.read() == ([], await position(ledger))
    await ledger.append([b"1", b"", bytes(range(256))])
    entries, place = await ledger.read()
    assert entries == [b"1", b"", bytes(range(256))]
    assert await ledger.read(place) == ([], place)
    await ledger.append([])
    await ledger.append([b"4"])
    await ledger.append([b"5"])
    assert (await ledger.read(place))[0] == [b"4", b"5"]
    assert (await ledger.read())[0] == [*entries, b"4", b"5"]


async def position(ledger: Ledger) -> str:
    """Behind everything."""
    return (await ledger.read())[1]


async def test_the_newest_are_kept(open_ledger: OpenLedger) -> None:
    """Protects the bound on the log, also from one call that is above it, and a reader who was away too long."""
    ledger = open_ledger(most=5)
    await ledger.append([b"0"])
    place = await position(ledger)
    for number in range(1, 10):
        await ledger.append([str(number).encode()])
    assert (await ledger.read(place))[0] == [b"5", b"6", b"7", b"8", b"9"]
    await ledger.append([str(number).encode() for number in range(20)])
    assert (await ledger.read(place))[0] == (await ledger.read())[0] == [b"15", b"16", b"17", b"18", b"19"]
    await ledger.close()


async def test_a_long_log_is_read_whole(ledger: Ledger) -> None:
    """Protects what lies beyond one batch."""
    entries = [str(number).encode() for number in range(2500)]
    await ledger.append(entries)
    assert (await ledger.read())[0] == entries


async def test_clear_forgets_and_positions_stay_good(ledger: Ledger) -> None:
    """Protects readers from missing what is written after the log was cleared."""
    await ledger.add({"hits": 1})
    await ledger.append([b"1", b"2"])
    place = await position(ledger)
    await ledger.clear()
    assert (await ledger.counts(), (await ledger.read())[0], (await ledger.read(place))[0]) == ({}, [], [])
    await ledger.append([b"3"])
    assert (await ledger.read(place))[0] == (await ledger.read())[0] == [b"3"]


async def test_a_ledger_outlives_its_object(open_ledger: OpenLedger) -> None:
    """Protects what was learned from a restart; one in memory lets go of it."""
    first = open_ledger()
    await first.add({"hits": 2})
    await first.append([b"1"])
    place = await position(first)
    await first.close()
    second = open_ledger()
    if isinstance(first, MemoryLedger):
        assert (await second.counts(), (await second.read())[0]) == ({}, [])
    else:
        await second.append([b"2"])
        assert (await second.counts(), (await second.read(place))[0]) == ({"hits": 2}, [b"2"])
    await second.close()


async def test_a_closed_ledger_says_so(open_ledger: OpenLedger) -> None:
    """Protects from use after close; closing twice is closing once."""
    ledger = open_ledger()
    await ledger.close()
    await ledger.close()
    for call in (ledger.add({"a": 1}), ledger.counts(), ledger.append([b"1"]), ledger.read(), ledger.clear()):
        with pytest.raises(StorageError, match="closed"):
            await call


async def test_several_loops_in_several_threads(ledger: Ledger) -> None:
    """Protects from state that is bound to one event loop."""

    async def work() -> None:
        await ledger.add({"runs": 1})
        await ledger.append([b"1"])

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert (await ledger.counts(), (await ledger.read())[0]) == ({"runs": 8}, [b"1"] * 8)
