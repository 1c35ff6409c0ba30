"""Counts that outlast the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.cache.tally import Tally
from freehold.coordination import MemoryLedger, SQLiteFile, SQLiteLedger
from freehold.errors import StorageError
from freehold.portal import run_sync

COUNTS = st.dictionaries(st.sampled_from("abc"), st.integers(-8, 8).map(lambda number: number / 4))


class Shaky(MemoryLedger):
    """A ledger that fails while `down`."""

    down = False
    adds = 0

    async def add(self, counts: Mapping[str, float]) -> None:
        self.adds += 1
        if self.down:
            raise StorageError("The disk is full.")
        await super().add(counts)

    async def counts(self) -> dict[str, float]:
        if self.down:
            raise StorageError("The disk is full.")
        return await super().counts()


async def test_without_a_ledger_counts_stay_in_memory() -> None:
    """Protects a cache of one process: what was counted can be read at once."""
    tally = Tally(None)
    await tally.add({"hits": 1, "tokens": 80.5}, misses=2)
    await tally.add(hits=2)
    await tally.write()
    assert await tally.counts() == tally.here == {"hits": 3.0, "tokens": 80.5, "misses": 2.0}


async def test_what_is_read_is_a_copy() -> None:
    """Protects the counts from whoever works with them."""
    tally = Tally(None)
    await tally.add(hits=1)
    (await tally.counts())["hits"] = 7
    assert await tally.counts() == {"hits": 1.0}


@given(st.lists(st.tuples(st.integers(0, 1), COUNTS), max_size=30))
@settings(max_examples=40)
def test_the_counts_are_the_sum_of_all(added: list[tuple[int, dict[str, float]]]) -> None:
    """Protects every figure of the report: fractions and what is taken away too, over two tallies on one ledger."""

    async def total() -> tuple[dict[str, float], dict[str, float]]:
        ledger = MemoryLedger()
        tallies = [Tally(ledger), Tally(ledger)]
        for which, counts in added:
            await tallies[which].add(counts)
        for tally in tallies:
            await tally.write()
        return await tallies[0].counts(), await tallies[1].counts()

    first, second = run_sync(total())
    assert first == second
    for name in "abc":
        assert first.get(name, 0.0) == sum(counts.get(name, 0.0) for _, counts in added)


async def test_two_tallies_on_one_file_add_up(tmp_path: Path) -> None:
    """Protects what several processes, and the same one before a restart, counted."""
    path = tmp_path / "cache.sqlite"
    ledgers = [SQLiteLedger(SQLiteFile(path)) for _ in range(2)]
    tallies = [Tally(ledger) for ledger in ledgers]
    await asyncio.gather(*(tally.add(hits=1, seconds=0.25) for tally in tallies for _ in range(120)))
    await asyncio.gather(*(tally.write() for tally in tallies))
    assert [await tally.counts() for tally in tallies] == [{"hits": 240.0, "seconds": 60.0}] * 2
    assert tallies[0].here == {"hits": 120.0, "seconds": 30.0}
    for ledger in ledgers:
        await ledger.close()
    again = SQLiteLedger(path)
    assert await Tally(again).counts() == {"hits": 240.0, "seconds": 60.0}
    assert Tally(again).here == {}
    await again.close()


async def test_counts_are_written_now_and_then() -> None:
    """Protects a hit from writing, and what was counted from staying in memory for long."""
    ledger = Shaky()
    tally = Tally(ledger)
    for _ in range(49):
        await tally.add(hits=1)
    assert ledger.adds == 0
    await tally.add(hits=1)
    assert (ledger.adds, await ledger.counts()) == (1, {"hits": 50})
    await tally.write()
    await tally.add({})
    await tally.write()
    assert ledger.adds == 1


async def test_asking_writes_first() -> None:
    """Protects a report from leaving out the last requests."""
    ledger = MemoryLedger()
    tally = Tally(ledger)
    await tally.add(hits=1)
    assert await tally.counts() == {"hits": 1.0}
    assert await ledger.counts() == {"hits": 1.0}


async def test_a_ledger_that_fails_loses_nothing() -> None:
    """Protects the counts from a full disk: an answer is served, and what was not written is written later, once."""
    ledger = Shaky()
    tally = Tally(ledger)
    ledger.down = True
    for _ in range(120):
        await tally.add(hits=1, seconds=0.5)
    await tally.write()
    assert ledger.adds >= 3
    with pytest.raises(StorageError, match="full"):
        await tally.counts()
    ledger.down = False
    await tally.add(hits=1)
    assert await tally.counts() == {"hits": 121.0, "seconds": 60.0}
    assert await tally.counts() == {"hits": 121.0, "seconds": 60.0}
    assert tally.here == {"hits": 121.0, "seconds": 60.0}


async def test_what_comes_to_nothing_is_not_written() -> None:
    """Protects the ledger from names that say nothing."""
    tally = Tally(MemoryLedger())
    await tally.add({"wrong": False, "risked": 0.0}, hits=True)
    assert await tally.counts() == {"hits": 1.0}


async def test_several_threads_and_loops_count() -> None:
    """Protects sums from callers on any event loop."""
    tally = Tally(MemoryLedger())

    async def work() -> None:
        for _ in range(60):
            await tally.add(hits=1)

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert await tally.counts() == {"hits": 480.0}
