"""The rows of the inference benchmark that compare speeds on the same prompts, round after round."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from benchmarks.inference_runners import SLOTS, EngineRunner, Runner, Work
from benchmarks.llama_server import LlamaServer
from benchmarks.own_process import OwnProcess
from benchmarks.report import Bar

__all__ = ["SPEED_ROWS", "Bench", "full_cache"]

_LOOK = 0.01
"""Seconds between two looks at a running engine: each one takes time from its threads, where there are two cores."""

_WORDS = (3, 4096)
"""The vocabulary without its control tokens, which come first."""


@dataclass
class Bench:
    """Who is measured, how often, and the source of new prompts."""

    engine: EngineRunner
    llama: OwnProcess
    bare: OwnProcess
    server: LlamaServer | None
    rounds: int
    random: np.random.Generator

    def tokens(self, count: int) -> tuple[int, ...]:
        """So many random tokens."""
        return tuple(int(token) for token in self.random.integers(*_WORDS, count))

    def prompts(self, length: int, shared: Sequence[int] = ()) -> tuple[tuple[int, ...], ...]:
        """Eight prompts that begin with `shared` and end with `length` tokens of their own."""
        return tuple((*shared, *self.tokens(length)) for _ in range(SLOTS))


Rates = dict[tuple[str, str], list[float]]
"""Tokens per second of each round, by work and runner."""


def _compare(bench: Bench, make: Callable[[], dict[str, Work]], *peers: Runner | None) -> Rates:
    """Every round makes new works; each runner, after it has forgotten all, does them one after another.

    The order of the runners turns round each time, so that whatever else the machine does falls on all alike.
    """
    rates: Rates = defaultdict(list)
    runners = [runner for runner in (bench.engine, *peers) if runner is not None]
    for number in range(bench.rounds):
        works = make()
        for runner in runners if number % 2 == 0 else reversed(runners):
            runner.forget()
            for name, work in works.items():
                time.sleep(0.1)  # the other's threads go to sleep
                rates[name, runner.name].append(work.tokens / runner.seconds(work))
    return rates


def _times(rates: Rates, work: str, peer: str) -> float:
    """How many times as fast the engine is: the median of the rounds' ratios."""
    pairs = zip(rates[work, EngineRunner.name], rates[work, peer], strict=True)
    return round(median(mine / theirs for mine, theirs in pairs), 3)


def _absolute(rates: Rates, title: str) -> list[Bar]:
    """Everybody's median rate, as figures without a bar."""
    return [
        Bar(f"{title}{work and f', {work}'}: {name}", round(median(values), 1), "tokens/s", better="more")
        for (work, name), values in rates.items()
    ]


def short_prompts(bench: Bench) -> list[Bar]:
    """Eight prompts of 32 tokens, 128 new tokens each."""
    title = "8 requests, 32-token prompts, 128 new"
    rates = _compare(bench, lambda: {"": Work(bench.prompts(32), 128)}, bench.llama, bench.server, bench.bare)
    bars = [Bar(f"{title}, beside Llama one after another", _times(rates, "", "Llama"), "x", 2.2, "more")]
    if bench.server is not None:
        bars.append(Bar(f"{title}, beside llama-server", _times(rates, "", "llama-server"), "x", 1.0, "more"))
    return bars + _absolute(rates, title)


def unique_prompts(bench: Bench) -> list[Bar]:
    """Eight prompts of 200 tokens that share nothing, 32 new tokens each."""
    title = "8 requests, unique 200-token prompts, 32 new"
    rates = _compare(bench, lambda: {"": Work(bench.prompts(200), 32)}, bench.llama, bench.bare)
    bar = Bar(f"{title}, beside Llama one after another", _times(rates, "", "Llama"), "x", 1.15, "more")
    return [bar, *_absolute(rates, title)]


def shared_prefix(bench: Bench) -> list[Bar]:
    """Eight prompts that share 1,000 tokens: when nobody has seen them, again, and with other ends."""
    title = "8 requests sharing 1,000 tokens, 32 new"

    def make() -> dict[str, Work]:
        shared = bench.tokens(1000)
        cold = Work(bench.prompts(12, shared), 32, shared=1000)
        return {"cold": cold, "warm": cold, "warm, new ends": Work(bench.prompts(12, shared), 32, shared=1000)}

    rates = _compare(bench, make, bench.llama, bench.server, bench.bare)
    bars = [
        Bar(f"{title}, cold, beside Llama one after another", _times(rates, "cold", "Llama"), "x", 1.3, "more"),
        Bar(f"{title}, warm, beside Llama, warm", _times(rates, "warm", "Llama"), "x", 1.8, "more"),
        Bar(f"{title}, warm, new ends, beside Llama", _times(rates, "warm, new ends", "Llama"), "x", better="more"),
    ]
    if bench.server is not None:
        bars.append(Bar(f"{title}, cold, beside llama-server", _times(rates, "cold", "llama-server"), "x", 4, "more"))
    return bars + _absolute(rates, title)


def two_agents(bench: Bench) -> list[Bar]:
    """Two agents with system prompts of 800 tokens take turns: 16 turns, each 20 tokens to read and 32 to write.

    The history grows by made-up answers, the same for both: so nobody can reuse the keys of what it has just written.
    """
    ratios = []
    for number in range(bench.rounds):
        histories = [bench.tokens(800), bench.tokens(800)]
        turns = []
        for turn in range(16):
            prompt = histories[turn % 2] + bench.tokens(20)
            turns.append(Work((prompt,), 32))
            histories[turn % 2] = prompt + bench.tokens(32)
        spent = {}
        runners: list[Runner] = [bench.engine, bench.llama]
        for runner in runners if number % 2 == 0 else reversed(runners):
            runner.forget()
            spent[runner.name] = sum(runner.seconds(work) for work in turns)
        ratios.append(spent["Llama"] / spent["engine"])
    title = "2 agents, 800-token system prompts, taking turns, 16 turns of 32 new"
    return [Bar(f"{title}, beside Llama", round(median(ratios), 3), "x", 3, "more")]


def one_request(bench: Bench) -> list[Bar]:
    """One request alone, with a short and a long prompt: speed, and the first token when both stream."""
    bars = []
    # A single request takes a second: more rounds cost little, and the first token of a short prompt needs them.
    several = replace(bench, rounds=2 * bench.rounds)
    for length, new_tokens in ((32, 128), (400, 32)):
        title = f"1 request, {length}-token prompt"

        def make(length: int = length, new_tokens: int = new_tokens) -> dict[str, Work]:
            return {"": Work((bench.tokens(length),), new_tokens)}

        rates = _compare(several, make, bench.llama)
        bars.append(Bar(f"{title}, {new_tokens} new, beside Llama", _times(rates, "", "Llama"), "x", 0.97, "more"))
        bars += _absolute(rates, title)
        mine, theirs = _first_tokens(bench, length)
        bars.append(Bar(f"{title}, first token, beside Llama's", round(mine / theirs, 3), "x", 1.0))
        bars.append(Bar(f"{title}, first token: engine", round(mine * 1000, 2), "ms"))
        bars.append(Bar(f"{title}, first token: Llama", round(theirs * 1000, 2), "ms"))
    return bars


def _first_tokens(bench: Bench, length: int) -> tuple[float, float]:
    """Median seconds until the first streamed piece, of the engine and of `Llama`."""
    spent: dict[str, list[float]] = defaultdict(list)
    for number in range(5 * bench.rounds):
        prompt = bench.tokens(length)
        runners: list[EngineRunner | OwnProcess] = [bench.engine, bench.llama]
        for runner in runners if number % 2 == 0 else reversed(runners):
            runner.forget()
            time.sleep(0.05)
            spent[runner.name].append(runner.first_token(prompt))
    return median(spent[bench.engine.name]), median(spent[bench.llama.name])


def full_cache(bench: Bench) -> list[Bar]:
    """Eight short requests when the cache is full of earlier prompts, beside an empty cache."""
    work, ratios = Work(bench.prompts(32), 64), []
    for _ in range(bench.rounds):
        bench.engine.forget()
        empty = bench.engine.seconds(Work(bench.prompts(32), 64))
        for _ in range(bench.engine.engine.cache_tokens // (400 * SLOTS) + 1):
            bench.engine.seconds(Work(bench.prompts(400), 1))
        ratios.append(empty / bench.engine.seconds(work))
    title = "8 requests, cache full of other prompts, beside an empty one"
    return [Bar(title, round(median(ratios), 3), "x", better="more")]


def decode_step(bench: Bench) -> list[Bar]:
    """A step with eight sequences in the engine, all it does included, beside `llama_decode` and an argmax."""
    over = []
    for _ in range(bench.rounds):
        work = Work(bench.prompts(32), 160)
        mine, first = asyncio.run(_engine_step(bench.engine, work))
        bench.bare.forget()
        bench.bare.seconds(work)
        ends = bench.bare.steps[first:]  # the same lengths of context
        over.append(mine / ((ends[-1] - ends[0]) / (len(ends) - 1)))
    return [Bar("decode step, 8 sequences, over a bare llama_decode loop", round((median(over) - 1) * 100, 2), "%", 5)]


async def _engine_step(runner: EngineRunner, work: Work) -> tuple[float, int]:
    """Seconds of a step while all requests decode, and how many tokens each had when that began."""
    runner.forget()
    engine = runner.engine
    before = engine.stats()
    prefill = sum(len(prompt) for prompt in work.prompts)
    task = asyncio.ensure_future(runner.all_at_once(work))
    seen: list[tuple[float, int, int]] = []
    while not task.done():
        stats = engine.stats()
        if stats.prefill_tokens - before.prefill_tokens == prefill and stats.running == len(work.prompts):
            seen.append((time.perf_counter(), stats.steps, stats.decode_tokens - before.decode_tokens))
        await asyncio.sleep(_LOOK)
    await task
    # The first look at each step is soon after its end.
    (started, first, tokens), (ended, last, _) = seen[0], next(look for look in seen if look[1] == seen[-1][1])
    return (ended - started) / (last - first), tokens // len(work.prompts)


SPEED_ROWS: tuple[Callable[[Bench], list[Bar]], ...] = (
    short_prompts,
    unique_prompts,
    shared_prefix,
    two_agents,
    one_request,
    full_cache,
    decode_step,
)
