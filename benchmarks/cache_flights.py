"""200 equal questions at once, in four processes that share one Redis; and the same with the leader killed.

Run by itself it is one of the four processes: `rows` starts them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.redis_server import RedisServer
from benchmarks.report import Bar, percentile

__all__ = ["rows"]

_PROCESSES = 4
_ASKERS = 50
_TOKENS_PER_SECOND = 40.0
_QUESTION = "What does the boiler need every October?"
_PROMPT = (
    "Answer from the context and cite it.\n\nContext:\n[1] A technician services the boiler every October, cleans the "
    "burner and looks at the pressure gauge behind the lower front panel."
)


def rows(*, quick: bool) -> list[Bar]:
    """The bars of one flight; medians and worst over the rounds."""
    rounds = 1 if quick else 5
    plain = [_round(kill=False) for _ in range(rounds)]
    killed = [_round(kill=True) for _ in range(rounds)]
    total = _PROCESSES * _ASKERS
    late = [lag for one in plain for lag in one["lags"]]
    return [
        Bar(
            f"{total} equal questions, {_PROCESSES} processes: generations, most",
            max(one["generations"] for one in plain),
            "runs",
            1,
        ),
        Bar("the same: answers, least", min(one["answers"] for one in plain), f"of {total}", total, "more"),
        Bar("the same: followers' first token behind the leader's, latest", round(max(late) * 1000, 1), "ms", 50),
        Bar(
            "the same: followers' first token behind the leader's, p99",
            round(percentile(late, 99), 1),
            "ms",
        ),
        Bar(
            "the same: followers' first token behind the leader's, p50", round(statistics.median(late) * 1000, 1), "ms"
        ),
        Bar("leader killed: generations, most", max(one["generations"] for one in killed), "runs", 2),
        Bar(
            "leader killed: survivors without an answer, most",
            max(total - _ASKERS - one["answers"] for one in killed),
            "runs",
            0,
        ),
        Bar(
            "leader killed: until the last survivor had it, median",
            round(statistics.median(one["seconds"] for one in killed), 2),
            "s",
        ),
    ]


def _round(*, kill: bool) -> dict[str, Any]:
    """Generations that began, answers, and the first tokens' delays."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        command = [sys.executable, "-m", "benchmarks.cache_flights", "--worker", redis.url]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(_PROCESSES)
        ]
        try:
            return _watch(workers, kill=kill)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
                for pipe in (worker.stdin, worker.stdout):
                    if pipe is not None:
                        pipe.close()


def _watch(workers: Sequence[subprocess.Popen[str]], *, kill: bool) -> dict[str, Any]:
    import selectors

    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline().strip() == "ready"
    started = time.time() + 0.5
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(f"{started}\n")
        worker.stdin.flush()
    generations, reports, victim = 0, [], None
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            assert worker.stdout is not None
            selector.register(worker.stdout, selectors.EVENT_READ, worker)
        waiting = len(workers)
        while waiting:
            for key, _ in selector.select(timeout=60):
                worker = key.data
                line = worker.stdout.readline()
                if line.startswith("leading"):
                    generations += 1
                    if kill and victim is None:
                        victim = worker
                        os.kill(worker.pid, signal.SIGKILL)
                    continue
                if line:
                    reports.append(json.loads(line))
                selector.unregister(worker.stdout)
                waiting -= 1
    firsts = [first for report in reports for first in report["firsts"]]
    lead = min((report["led"] for report in reports if report["led"]), default=None)
    return {
        "generations": generations,
        "answers": sum(report["answers"] for report in reports),
        "lags": [max(0.0, first - lead) for first in firsts] if lead else [],
        "seconds": max(report["ended"] for report in reports) - started,
    }


async def _work(url: str) -> None:
    """Fifty askers in this process; the model is real, and paced."""
    from langchain_core.messages import HumanMessage, SystemMessage

    from freehold.cache import CachedAnswer, ResponseCache, Situation
    from freehold.coordination import Flights, RedisBoard, RedisConnection, RedisStore
    from freehold.inference import ChatLlama, Engine
    from freehold.models import DEMO_MODEL, model_path

    connection = RedisConnection(url)
    cache = ResponseCache(RedisStore(connection), None, flights=Flights(RedisBoard(connection), lease_seconds=2.0))
    situation = Situation(model="demo")
    engine = Engine(model_path(DEMO_MODEL), threads=1)
    model = ChatLlama(engine=engine)
    await model.ainvoke("Hello")
    await cache.lookup(f"Is process {os.getpid()} warm?", situation)
    report: dict[str, Any] = {"answers": 0, "firsts": [], "led": None}

    async def ask() -> None:
        first: list[float] = []
        found = await cache.lookup(_QUESTION, situation, on_piece=lambda _: first.append(time.time()))
        if found.entry is not None:
            report["answers"] += bool(found.entry.answer)
            report["firsts"] += first[:1]
            return
        seat = cache.seat(found.ticket)
        assert seat is not None
        print("leading", flush=True)
        said = ""
        with seat.hold():
            async for chunk in model.astream([SystemMessage(_PROMPT), HumanMessage(_QUESTION)]):
                report["led"] = report["led"] or time.time()
                seat.emit(str(chunk.text))
                said += str(chunk.text)
                await asyncio.sleep(1 / _TOKENS_PER_SECOND)
        await cache.store(_QUESTION, situation, CachedAnswer(_QUESTION, said), found.ticket)
        report["answers"] += bool(said)

    print("ready", flush=True)
    start = float(await asyncio.to_thread(sys.stdin.readline))
    await asyncio.sleep(max(0.0, start - time.time()))
    await asyncio.gather(*(ask() for _ in range(_ASKERS)))
    report["ended"] = time.time()
    print(json.dumps(report), flush=True)
    await cache.aclose()
    engine.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Be one of the processes, or say who starts them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache_flights", description=__doc__)
    parser.add_argument("--worker", metavar="URL", help="ask in this process, through the Redis at this URL")
    parser.add_argument("--quick", action="store_true", help="changes nothing")
    options = parser.parse_args(arguments)
    if options.worker is None:
        parser.exit(message="python -m benchmarks.cache --only flights runs this.\n")
    asyncio.run(_work(options.worker))


if __name__ == "__main__":
    main()
