"""50 requests per second while Redis is stopped, started, frozen and flushed, beside a cache without Redis."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.redis_server import RedisServer
from benchmarks.report import Bar, percentile

if TYPE_CHECKING:
    from freehold.cache import ResponseCache

__all__ = ["rows"]

_RATE = 50.0
_GENERATION_SECONDS = 0.02
_FIRST_TIMEOUT_SECONDS = 0.25


async def rows(*, quick: bool) -> list[Bar]:
    """Failed answers, and the latest 1 % beside a run without Redis."""
    logging.getLogger("freehold").setLevel(logging.CRITICAL)
    seconds = 1.5 if quick else 6.0
    from freehold.coordination import MemoryStore, RedisBoard, RedisConnection, RedisStore

    without = _cache(MemoryStore(), None)
    alone = await _load(without, seconds * 7)
    await without.aclose()
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        connection = RedisConnection(redis.url)
        cache = _cache(RedisStore(connection), RedisBoard(connection))
        changes: list[Callable[[], object]] = [
            lambda: None,
            redis.stop,
            redis.start,
            redis.freeze,
            redis.thaw,
            redis.flush,
            lambda: None,
        ]
        failed, times, worst = 0, [], 0.0
        for number, change in enumerate(changes):
            ended = asyncio.create_task(_load(cache, seconds, seed=number))
            await asyncio.sleep(0.05)
            changed = time.perf_counter()
            await asyncio.to_thread(change)
            phase = await ended
            failed += phase.failed
            # "After the first time-out": what began before it was noticed may have cost it once.
            times += [spent for at, spent in phase.times if at > changed + _FIRST_TIMEOUT_SECONDS]
            worst = max(worst, *(spent for _, spent in phase.times))
        await cache.aclose()
    base = percentile([spent for _, spent in alone.times], 99)
    return [
        Bar("Redis stopped, started, frozen, flushed under load: failed answers", failed + alone.failed, "answers", 0),
        Bar(
            "the same: p99 above a run without Redis, behind the first time-out",
            round(percentile(times, 99) - base, 1),
            "ms",
            60,
        ),
        Bar("the same: p99", round(percentile(times, 99), 1), "ms"),
        Bar("without Redis: p99", round(base, 1), "ms"),
        Bar("the same: the slowest of all answers, the first time-outs too", round(worst * 1000, 1), "ms"),
    ]


class _Load:
    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        """When each request came, and how long it took."""
        self.failed = 0


def _cache(store: object, board: object) -> ResponseCache:
    from freehold.cache import ResponseCache
    from freehold.coordination import Flights

    return ResponseCache(store, None, flights=Flights(board), recheck_seconds=0.5)  # type: ignore[arg-type]


async def _load(cache: ResponseCache, seconds: float, *, seed: int = 0) -> _Load:
    """Ask at the rate: half of what is asked was asked before."""
    from freehold.cache import CachedAnswer, Situation

    chance, load, situation = random.Random(seed), _Load(), Situation(model="load")

    async def ask(question: str) -> None:
        started = time.perf_counter()
        try:
            found = await cache.lookup(question, situation)
            answer = found.entry
            if answer is None:
                await asyncio.sleep(_GENERATION_SECONDS)
                answer = CachedAnswer(question, f"The answer to {question}")
                await cache.store(question, situation, answer, found.ticket)
            load.failed += answer.answer != f"The answer to {question}"
        except Exception:  # noqa: BLE001 - whatever it is, it is a failed answer
            load.failed += 1
        load.times.append((started, time.perf_counter() - started))

    tasks: list[asyncio.Task[None]] = []
    begun = time.perf_counter()
    for number in range(int(seconds * _RATE)):
        await asyncio.sleep(max(0.0, begun + number / _RATE - time.perf_counter()))
        asked = number if chance.random() < 0.5 else chance.randrange(number + 1)
        tasks.append(asyncio.create_task(ask(f"Question {seed}.{asked}?")))
    await asyncio.gather(*tasks)
    return load
