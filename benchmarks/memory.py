"""Long-term memory: what it finds beside BM25, what saving and recalling cost, and whether users stay apart.

Each part runs in a process of its own. Times are without embedding: the vectors cost next to nothing there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

from benchmarks.memory_recall import evidence_recall
from benchmarks.memory_speed import save_and_recall
from benchmarks.report import Bar, main

T = TypeVar("T")

MEMORIES = 10_000


def leaks(sequences: int) -> int:
    """How many of other users' memories came to light in random sequences of attacks, those of the tests."""
    from freehold.inference import LlamaEmbeddings
    from freehold.models import EMBEDDING_MODEL, model_path
    from tests.memory.attacks import count_leaks

    embedder = LlamaEmbeddings(model_path(EMBEDDING_MODEL))
    try:
        with tempfile.TemporaryDirectory() as folder:
            return count_leaks(embedder, Path(folder), sequences=sequences)
    finally:
        embedder.close()


def run(options: argparse.Namespace) -> list[Bar]:
    """Measure; recall needs `--data`, a folder with LoCoMo's turns and questions."""
    bars = _recall_bars(options.data, options.quick) if options.data is not None else []
    rounds = 100 if options.quick else 500
    for users in (1,) if options.quick else (1, 100):
        spent = _alone(save_and_recall, MEMORIES, users, rounds)
        whose = f"{MEMORIES:,} memories of {'one user' if users == 1 else f'{users} users'}"
        bars += [
            Bar(f"recall, {whose}, without embedding, p95", round(spent["recall p95"], 2), "ms", 10),
            Bar("the same, p50", round(spent["recall p50"], 2), "ms"),
            Bar(f"save, {whose}, without embedding, p50", round(spent["save p50"], 2), "ms", 5),
            Bar("the same, p95", round(spent["save p95"], 2), "ms"),
        ]
    sequences = 20 if options.quick else 200
    return [*bars, Bar(f"leaks in {sequences} random attack sequences", _alone(leaks, sequences), "memories", 0)]


def _recall_bars(data: Path, quick: bool) -> list[Bar]:
    found = _alone(evidence_recall, str(data), quick)
    ours, bm25 = found.pop("freehold"), found.pop("bm25")
    bars = [
        Bar("evidence recall@10, RecallMemory over single turns, above BM25", round(ours - bm25, 3), "", 0.08, "more"),
        Bar("RecallMemory", round(ours, 3), ""),
        Bar("BM25 over the same texts", round(bm25, 3), ""),
    ]
    for name, share in found.items():
        if name.startswith("freehold "):
            kind = name.removeprefix("freehold ")
            bars.append(Bar(f"RecallMemory above BM25, {kind}", round(share - found[f"bm25 {kind}"], 3), ""))
    return bars


def _alone(part: Callable[..., T], *values: object) -> T:
    """What a part gives in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(part, *values).result()


if __name__ == "__main__":
    main("memory", run, description=__doc__ or "")
