"""What several processes, and one after the other, learn and spend together."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from freehold.cache.error_bound import ErrorBound
from freehold.cache.signals import SIGNALS
from freehold.coordination import MemoryLedger, SQLiteFile, SQLiteLedger
from tests.cache.strategies import (
    Fixed,
    Shaky,
    choose,
    hits,
    seen,
    served_at,
)


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SQLiteFile]:
    """The file that the ledgers of several processes lie in."""
    opened = SQLiteFile(tmp_path / "cache.sqlite")
    opened.join()
    yield opened
    await opened.leave()


async def test_what_was_learned_and_spent_outlasts_the_process(file: SQLiteFile) -> None:
    """Protects the bound and the calibration over a restart: the next process goes on where this one stopped."""
    first = hits(Fixed(0.9), ledger=(ledger := SQLiteLedger(file)))
    served = 0
    for _ in range(30):
        served += (await choose(first)).allowed
    evidence = await seen(first)
    for number in range(25):
        await first.learn(evidence, correct=number % 5 == 0, served=False)
    await first.close()
    await first.close()
    await ledger.close()
    second = hits(Fixed(0.9), ledger=(again := SQLiteLedger(file)))
    behind = await seen(second)
    assert served > 0
    assert second.calibration.observations == first.calibration.observations == 25
    assert second.calibration.compared("key0") == (25, 5)
    assert behind.risk == pytest.approx((await seen(first)).risk, abs=0.02)
    assert second.bound.unspent == pytest.approx(first.bound.unspent, abs=1e-6)
    await second.close()
    await again.close()


async def test_processes_learn_from_each_other_while_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects every process from the mistakes of the others; nobody takes its own observations for another's."""
    monkeypatch.setattr("freehold.cache.verified_hits._READ_EVERY", 0.0)
    ledger = MemoryLedger()
    ours, theirs = hits(ledger=ledger), hits(ledger=ledger)
    evidence = await seen(ours)
    await choose(theirs)
    for _ in range(6):
        await ours.learn(evidence, correct=False, served=False)
    assert not (await choose(theirs)).allowed
    assert theirs.calibration.compared("key0") == (6, 0)
    await theirs.learn(replace(evidence, entry="key9"), correct=True, served=False)
    for strategy in (ours, theirs):
        await choose(strategy)
        await choose(strategy)
        assert strategy.calibration.observations == 7


async def test_processes_share_one_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the bound where several processes serve: what was saved is there once, not once for each of them."""
    monkeypatch.setattr("freehold.cache.verified_hits._READ_EVERY", 0.0)
    ledger = MemoryLedger()
    await ledger.add({"bound.requests": 4000.0})
    processes = [hits(Fixed(0.9), ledger=ledger, max_error=0.01) for _ in range(4)]
    saved = ErrorBound(0.01)
    saved.resume(4000, 0, 0)
    risked = 0.0
    for number in range(2000):
        choice = await choose(processes[number % 4])
        assert choice.evidence is not None
        risked += choice.evidence.risk or 0 if choice.allowed else 0
        for process in processes:
            await process._tally.write()  # as it does every five seconds
    assert 10 < risked < saved.unspent + 2000 * 0.01


async def test_what_is_forgotten_is_forgotten_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a new answer from what was compared with the one before it, in other processes and after a restart."""
    monkeypatch.setattr("freehold.cache.verified_hits._READ_EVERY", 0.0)
    ledger = MemoryLedger()
    ours, theirs = hits(ledger=ledger), hits(ledger=ledger)
    evidence = await seen(ours)
    await ours.learn(evidence, correct=False, served=False)
    assert await theirs.compared("key0") == (1, 0)
    await ours.forget("key0", "key1")
    await ours.learn(replace(evidence, entry="key2"), correct=True, served=False)
    for strategy in (ours, theirs, hits(ledger=ledger)):
        assert await strategy.compared("key0") == (0, 0)
        assert await strategy.compared("key2") == (1, 1)
        assert strategy.calibration.observations == 2


async def test_the_ledger_is_not_asked_for_each_request() -> None:
    """Protects the time of a lookup: what others learned is read now and then."""

    class Counting(MemoryLedger):
        reads = 0

        async def read(self, after: str = "") -> tuple[list[bytes], str]:
            self.reads += 1
            return await super().read(after)

    ledger = Counting()
    strategy = hits(ledger=ledger)
    for _ in range(20):
        await choose(strategy)
    assert ledger.reads == 1


async def test_what_came_before_the_first_look_counts_once() -> None:
    """Protects the bound: exact repeats before the first question of another wording are no earlier process'."""
    ledger = MemoryLedger()
    strategy, alone = hits(Fixed(0.01), ledger=ledger), hits(Fixed(0.01))
    for one in (strategy, alone):
        for _ in range(30):
            await one.repeated()
        assert await one.again(served_at(one, 0.0, 0.02))
        await choose(one)
    assert strategy.bound.unspent == pytest.approx(alone.bound.unspent)


@pytest.mark.parametrize("method", ["choose", "repeated", "learn"])
async def test_a_ledger_that_fails_costs_nothing_else(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """Protects a run from a full disk: it is served and learns in its own process, and the log says what is lost."""
    ledger = Shaky()
    strategy = hits(ledger=ledger)
    evidence = await seen(strategy)
    ledger.down = True
    with caplog.at_level(logging.WARNING):
        for _ in range(60):
            if method == "choose":
                await choose(hits(ledger=ledger))
            elif method == "repeated":
                await strategy.repeated()
            else:
                await strategy.learn(evidence, correct=True, served=False)
    assert (await choose(strategy)).allowed
    await strategy.close()
    if method != "repeated":
        assert "What the cache learns cannot be kept or read: The disk is full." in caplog.text
    if method == "learn":
        assert strategy.calibration.observations == 60


async def test_a_ledger_that_was_down_at_first_is_read_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the bound: what earlier processes spent is not forgotten because the ledger did not answer at once."""
    monkeypatch.setattr("freehold.cache.verified_hits._READ_EVERY", 0.0)
    ledger = Shaky()
    await ledger.add({"bound.requests": 100.0, "bound.risked": 9.0})
    strategy = hits(ledger=ledger)
    ledger.down = True
    assert (await choose(strategy)).allowed
    ledger.down = False
    for _ in range(3):
        assert not (await choose(strategy)).allowed
    assert -8.0 < strategy.bound.unspent < -5.0


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\xff",
        b"[]",
        b'"text"',
        b"{}",
        b"[" * 100_000,
        {"signals": [1.0]},
        {"signals": "abcdefg"[: len(SIGNALS)]},
        {"signals": [1.0] * (len(SIGNALS) - 1) + [math.nan]},
        {"signals": [10**400] * len(SIGNALS)},
        {"signals": [None] * len(SIGNALS)},
        {"entry": ...},
        {"correct": ...},
        {"by": ...},
    ],
)
async def test_what_cannot_be_read_is_passed_over(entry: bytes | Mapping[str, Any]) -> None:
    """Protects a mixed fleet and a damaged ledger: one bad entry loses itself, and none of those beside it."""
    good = {"by": "other", "entry": "key0", "signals": [1.0] * len(SIGNALS), "correct": False}
    if isinstance(entry, Mapping):
        entry = json.dumps({name: value for name, value in {**good, **entry}.items() if value is not ...}).encode()
    ledger = MemoryLedger()
    await ledger.append([json.dumps(good).encode(), entry, json.dumps(good).encode()])
    strategy = hits(ledger=ledger)
    await choose(strategy)
    assert strategy.calibration.observations == 2
    assert strategy.calibration.compared("key0") == (2, 0)
