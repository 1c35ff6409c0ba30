"""The prebuilt assistant: the cache-hit path beside the whole path, its memory, the demonstration, the import."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from benchmarks.report import Bar, main

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "Where does Freehold keep its data?"


def _milliseconds(run: Any, *args: Any, **kwargs: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    result = run(*args, **kwargs)
    return (time.perf_counter() - started) * 1000, result


def _paths(rounds: int) -> tuple[float, float, float, float]:
    """p50 in ms of a hit with `invoke`, with `ainvoke`, of the whole path; resident megabytes without model files."""
    from freehold import Context, Workspace
    from freehold.graphs import create_assistant, create_ingest
    from freehold.process import resident_bytes_without_models

    hits: list[float] = []
    misses: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Workspace(folder) as workspace:
        create_ingest(workspace.documents).invoke({"paths": [str(ROOT / "docs"), str(ROOT / "README.md")]})
        assistant = create_assistant(workspace)

        def ask(user: str) -> tuple[float, dict[str, Any]]:
            config = {"configurable": {"thread_id": uuid.uuid4().hex}}
            message = {"messages": [{"role": "user", "content": QUESTION}]}
            return _milliseconds(assistant.invoke, message, config, context=Context(user_id=user))

        ask("warm")
        for number in range(rounds):
            spent, state = ask(f"user{number}")  # another user's scope: nothing cached
            assert state["cache"]["outcome"] == "miss", state["cache"]
            misses.append(spent)
            spent, state = ask(f"user{number}")
            assert state["cache"]["outcome"] == "hit", state["cache"]
            hits.append(spent)

        async def again() -> list[float]:
            spent: list[float] = []
            for number in range(rounds):
                started = time.perf_counter()
                config = {"configurable": {"thread_id": uuid.uuid4().hex}}
                message = {"messages": [{"role": "user", "content": QUESTION}]}
                state = await assistant.ainvoke(message, config, context=Context(user_id=f"user{number}"))
                assert state["cache"]["outcome"] == "hit", state["cache"]
                spent.append((time.perf_counter() - started) * 1000)
            return spent

        awaited = statistics.median(asyncio.run(again()))
        resident = resident_bytes_without_models() / 1e6
        return statistics.median(hits), awaited, statistics.median(misses), resident


def _demo() -> tuple[float, float]:
    """Seconds of `freehold demo` on the project's documents, and its resident megabytes without model files."""
    command = [sys.executable, "-m", "freehold.cli", "demo", "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout.splitlines()[-1])
    return time.perf_counter() - started, report["resident_megabytes_without_models"]


def _import_seconds(rounds: int) -> float:
    """Median seconds that `import freehold` adds to a new interpreter."""

    def spent(code: str) -> float:
        return _milliseconds(subprocess.run, [sys.executable, "-c", code], check=True)[0] / 1000

    return statistics.median(spent("import freehold") - spent("pass") for _ in range(rounds))


def run(options: argparse.Namespace) -> list[Bar]:
    """Measure; medians over the rounds."""
    rounds = 20 if options.quick else 100
    hit, awaited, miss, resident = _paths(rounds)
    demo_seconds, demo_resident = _demo()
    return [
        Bar("cache hit, end to end with checkpoints, invoke, p50", round(hit, 2), "ms", 15),
        Bar("cache hit, end to end with checkpoints, ainvoke, p50", round(awaited, 2), "ms", 15),
        Bar("whole path beside it, as a multiple of the hit, p50", round(miss / hit, 2), "x", 1, "more"),
        Bar("resident memory after those runs, without model files", round(resident, 1), "MB", 400),
        Bar("freehold demo, resident memory without model files", demo_resident, "MB", 400),
        Bar("freehold demo after set-up", round(demo_seconds, 1), "s", 60),
        Bar("import freehold", round(_import_seconds(5 if options.quick else 15), 3), "s", 0.3),
    ]


if __name__ == "__main__":
    main("assistant", run, description=__doc__ or "")
