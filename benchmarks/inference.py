"""The engine beside `Llama`, llama-server and a bare loop, on a model of random weights in Qwen2-0.5B's shape.

All runners answer the same prompts in the same run, in alternating order, each in a process of its own; figures are
medians of the rounds, and ratios are medians of each round's ratio. Every prompt is new random tokens, but where a row
is about sharing. `--quick` does one round with a third of the model's layers, and leaves out what takes long: it shows
that all works, and its ratios are rougher. `--llama-server` takes longer than a minute, too: that server computes a
shared beginning eight times.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.inference_behaviour import cancelling, event_loop, quoting, structured_outputs
from benchmarks.inference_rows import SPEED_ROWS, Bench, full_cache
from benchmarks.inference_runners import BareLoop, EngineRunner, LlamaRunner, Runner, Work
from benchmarks.llama_server import LlamaServer
from benchmarks.own_process import OwnProcess
from benchmarks.random_model import QWEN2_05B, TINY, write_random_model
from benchmarks.report import Bar, main

ROWS = (*SPEED_ROWS, quoting, event_loop)
OTHERS = ("structured_outputs", "cancelling")
"""Rows that make their own engine."""


def _rounds(options: argparse.Namespace) -> int:
    return options.rounds or (1 if options.quick else 5)


def _bench_rows(options: argparse.Namespace, folder: Path, wanted: set[str]) -> list[Bar]:
    """The rows on the random model of real size."""
    rows = [row for row in ROWS if row.__name__ in wanted]
    if options.quick and not options.rows:
        rows.remove(full_cache)
    if not rows:
        return []
    shape = replace(QWEN2_05B, layers=8) if options.quick else QWEN2_05B
    path = write_random_model(folder / "random.gguf", shape, weights=options.model_type)
    bars = []
    with ExitStack() as stack:
        engine = stack.enter_context(closing(EngineRunner(path)))
        llama = stack.enter_context(closing(OwnProcess(LlamaRunner, path)))
        bare = stack.enter_context(closing(OwnProcess(BareLoop, path, engine.options)))
        server = stack.enter_context(closing(LlamaServer(options.llama_server, path))) if options.llama_server else None
        bench = Bench(engine, llama, bare, server, _rounds(options), np.random.default_rng(3))
        runners: list[Runner | None] = [engine, llama, bare, server]
        for runner in filter(None, runners):
            runner.seconds(Work(bench.prompts(32), 4))  # the first work also wakes threads and fills pages
        for row in rows:
            new = row(bench)
            _show(options, new)
            bars += new
    return bars


def _show(options: argparse.Namespace, bars: list[Bar]) -> None:
    """A long run says how far it is."""
    if not options.json:
        print(f"... {bars[0].name}: {bars[0].value:g} {bars[0].unit}", file=sys.stderr)


def run(options: argparse.Namespace) -> list[Bar]:
    """Write the models, measure every row or those asked for."""
    names = [row.__name__ for row in ROWS] + list(OTHERS)
    wanted = set(options.rows or names)
    if unknown := wanted - set(names):
        raise SystemExit(f"There is no row {', '.join(sorted(unknown))}; there are {', '.join(names)}.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bars = _bench_rows(options, folder, wanted)
        if "structured_outputs" in wanted:
            tiny = write_random_model(folder / "tiny.gguf", TINY)
            bars += structured_outputs(tiny, outputs=50 if options.quick else 1000)
        if "cancelling" in wanted:
            bars += cancelling(rounds=3 if options.quick else 20)
    return bars


if __name__ == "__main__":
    main(
        "inference",
        run,
        description=(__doc__ or "").split("\n", maxsplit=1)[0],
        arguments={
            "--llama-server": {"type": Path, "metavar": "PATH", "help": "measure this program too"},
            "--model-type": {"choices": ("Q4_0", "Q8_0"), "default": "Q4_0", "help": "how the weights are stored"},
            "--rounds": {"type": int, "help": "rounds of each comparison; 5, or 1 with --quick"},
            "--rows": {"nargs": "+", "metavar": "ROW", "help": "only these rows, by their function's name"},
        },
    )
