"""Rows of the inference benchmark on what is not plain decoding: drafts, the event loop, schemas, cancelling."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from benchmarks.inference_rows import Bench
from benchmarks.inference_runners import CONTEXT, SLOTS
from benchmarks.inference_schemas import random_schema
from benchmarks.report import Bar
from freehold.errors import FreeholdError
from freehold.inference import Engine, GenerationRequest, GenerationResult
from freehold.models import DEMO_MODEL, model_path

__all__ = ["cancelling", "event_loop", "quoting", "structured_outputs"]

_PASSAGES = (
    "The lighthouse keeper writes the height of the tide, the direction of the wind and the name of every passing "
    "ship into the green ledger before the lamp is lit.",
    "Bees are fed with sugar water from the first frost until the willows flower, because the heather behind the "
    "orchard gives them nothing in a dry autumn.",
    "The archive lends its maps for three days only, and whoever returns a folded map pays for the pressing and waits "
    "a month before the next loan.",
    "A violin string is changed in the evening and played an hour the next morning, so that it holds its pitch when "
    "the concert begins at noon.",
)
_QUESTIONS = (
    "What does the lighthouse keeper write into the green ledger?",
    "Why are bees fed with sugar water after the first frost?",
    "For how long does the archive lend its maps?",
    "When is a violin string changed before a concert?",
)
_SYSTEM = "Answer from the context and cite it.\nContext:\n" + "\n".join(
    f"[{number}] {passage}" for number, passage in enumerate(_PASSAGES, 1)
)


def _prompts(engine: Engine) -> list[str]:
    return [
        engine.render([{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}])
        for question in _QUESTIONS
    ]


def quoting(bench: Bench) -> list[Bar]:
    """Answers that quote their context, one at a time, with drafts by lookup and without."""

    def demonstration(*, lookup: bool) -> list[GenerationResult]:
        # A new engine each time: what an earlier request has taught it must not help.
        with closing(Engine(model_path(DEMO_MODEL))) as engine:
            requests = [GenerationRequest(prompt, max_tokens=96, lookup=lookup) for prompt in _prompts(engine)]
            return asyncio.run(_one_after_another(engine, requests))

    def random_weights(*, lookup: bool) -> list[GenerationResult]:
        bench.engine.forget()
        request = GenerationRequest(prompt, max_tokens=64, lookup=lookup)
        return asyncio.run(_one_after_another(bench.engine.engine, [request]))

    prompt = bench.tokens(400)
    bench.engine.engine.unload()  # two models in one process slow each other down, see own_process.py
    decode, whole, same = _lookup_gain(demonstration, 5 * bench.rounds)
    results = demonstration(lookup=True)
    count = sum(result.completion_tokens for result in results)
    tokens_a_step = round(count / (count - sum(result.accepted_tokens for result in results)), 2)
    random_decode, random_whole, random_same = _lookup_gain(random_weights, bench.rounds)
    title = "quoting answers, lookup on beside off"
    return [
        Bar(f"{title}, decode tokens/s, demonstration model", decode, "x", 1.5, "more"),
        Bar(f"{title}, whole request, demonstration model", whole, "x", better="more"),
        Bar("quoting answers, lookup on, demonstration model", tokens_a_step, "tokens/step", better="more"),
        Bar(f"{title}, share of equal texts, demonstration model", same, "", 1, "more"),
        Bar(f"{title}, decode tokens/s, random model (it does not quote)", random_decode, "x", better="more"),
        Bar(f"{title}, whole request, random model", random_whole, "x", better="more"),
        Bar(f"{title}, share of equal texts, random model", random_same, "", better="more"),
    ]


async def _one_after_another(engine: Engine, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
    return [await engine.generate(request) for request in requests]


def _lookup_gain(run: Callable[..., list[GenerationResult]], rounds: int) -> tuple[float, float, float]:
    """Medians of the gain in decode tokens per second and in whole requests; the share of equal texts."""
    decode, whole, same = [], [], []
    for number in range(rounds):
        order = (True, False) if number % 2 == 0 else (False, True)
        results = {lookup: run(lookup=lookup) for lookup in order}
        rate = {
            lookup: sum(r.completion_tokens for r in done) / sum(r.seconds - r.prefill_seconds for r in done)
            for lookup, done in results.items()
        }
        decode.append(rate[True] / rate[False])
        whole.append(sum(r.seconds for r in results[False]) / sum(r.seconds for r in results[True]))
        same += [mine.text == theirs.text for mine, theirs in zip(results[True], results[False], strict=True)]
    return round(median(decode), 3), round(median(whole), 3), round(sum(same) / len(same), 3)


def event_loop(bench: Bench) -> list[Bar]:
    """How late a task on the event loop wakes from sleeping a millisecond, while eight streams run on the same loop."""

    async def late() -> list[float]:
        async def consume(prompt: tuple[int, ...]) -> None:
            async for _ in bench.engine.engine.stream(GenerationRequest(prompt, max_tokens=128)):
                pass

        streams = [asyncio.ensure_future(consume(prompt)) for prompt in bench.prompts(200)]
        delays = []
        while not all(stream.done() for stream in streams):
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            delays.append((time.perf_counter() - started - 0.001) * 1000)
        await asyncio.gather(*streams)
        return sorted(delays)

    bench.engine.forget()
    delays = asyncio.run(late())
    return [
        Bar("event loop's delay while 8 streams run, p99", round(delays[int(len(delays) * 0.99)], 3), "ms", 10),
        Bar("event loop's delay while 8 streams run, longest", round(delays[-1], 3), "ms"),
    ]


def structured_outputs(tiny: Path, *, outputs: int) -> list[Bar]:
    """Answers forced by 50 random schemas out of random weights, eight at a time: how many are valid."""
    schemas = [random_schema(seed) for seed in range(50)]

    async def all_outputs(engine: Engine) -> list[str]:
        slots = asyncio.Semaphore(SLOTS)

        async def one(number: int) -> str:
            request = GenerationRequest(
                "Give JSON: ",
                max_tokens=256,
                temperature=1.0,
                seed=number,
                json_schema=schemas[number % len(schemas)],
            )
            async with slots:
                try:
                    return (await engine.generate(request)).text
                except FreeholdError as error:
                    return str(error)  # not valid, and said so below

        return await asyncio.gather(*(one(number) for number in range(outputs)))

    started = time.perf_counter()
    with closing(Engine(tiny, context_length=CONTEXT, slots=SLOTS)) as engine:
        texts = asyncio.run(all_outputs(engine))
    spent = time.perf_counter() - started
    valid = 0
    for number, text in enumerate(texts):
        seed = number % len(schemas)
        problem = _problem(text, schemas[seed])
        valid += problem is None
        if problem is not None:
            print(f"output {number}, random_schema({seed}): {problem}: {text[:200]!r}", file=sys.stderr)
    return [
        Bar(f"{outputs:,} structured outputs under 50 random schemas, random weights", valid, "valid", outputs, "more"),
        Bar("structured outputs, 8 at a time, smallest model", round(outputs / spent, 1), "outputs/s", better="more"),
    ]


def _problem(text: str, schema: Mapping[str, Any]) -> str | None:
    """Why a text is not valid, or None."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return str(error)
    errors = list(Draft202012Validator(schema).iter_errors(value))
    return errors[0].message if errors else None


def cancelling(*, rounds: int) -> list[Bar]:
    """64 requests on 8 slots, a third taken back at random moments; what is left must be whole and right."""
    chance = random.Random(12)
    lost, resident = 0, []
    with closing(Engine(model_path(DEMO_MODEL), slots=SLOTS)) as engine:
        requests = [
            GenerationRequest(prompt, max_tokens=length) for prompt in _prompts(engine) for length in (8, 24, 48, 96)
        ]
        alone = [result.text for result in asyncio.run(_one_after_another(engine, requests))]
        for _ in range(rounds):
            lost += asyncio.run(_round(engine, requests, alone, chance))
            gc.collect()
            resident.append(psutil.Process().memory_info().rss)
        for _ in range(1000):  # a cancelled request leaves within one step
            stats = engine.stats()
            if not stats.running and not stats.waiting and not stats.kv_used:
                break
            time.sleep(0.001)
    title = "64 requests on 8 slots, a third cancelled"
    early = min(4, rounds // 2)
    growth = round((resident[-1] - resident[early]) / 1e6, 2)
    return [
        Bar(f"{title}, {rounds} rounds: lost or wrong", lost, "answers", 0),
        Bar(f"{title}: growth of resident memory, round {early + 1} to {rounds}", growth, "MB", 8),
        Bar(f"{title}: cells of the cache in use at the end", stats.kv_used, "cells", 0),
        Bar(f"{title}: requests in the engine at the end", stats.running + stats.waiting, "requests", 0),
    ]


async def _round(
    engine: Engine, requests: Sequence[GenerationRequest], alone: Sequence[str], chance: random.Random
) -> int:
    """How many answers that nobody cancelled are missing, or differ from the answer alone."""
    order = [number % len(requests) for number in range(64)]
    chance.shuffle(order)
    tasks = [asyncio.ensure_future(engine.generate(replace(requests[number]))) for number in order]
    loop = asyncio.get_running_loop()
    cancelled = set(chance.sample(range(64), 64 // 3))
    for number in cancelled:
        loop.call_later(chance.random() * 0.5, tasks[number].cancel)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return sum(
        not isinstance(result, GenerationResult) or result.text != alone[order[number]]
        for number, result in enumerate(results)
        if number not in cancelled
    )
