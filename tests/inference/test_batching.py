"""Many requests together, on real llama.cpp: what each gets is what it would get alone."""

from __future__ import annotations

import asyncio
import ctypes
import random
from collections.abc import Iterator

import llama_cpp
import pytest
from llama_cpp import Llama

from freehold.errors import DeadlineError, InferenceError, UserError
from freehold.inference import Engine, GenerationRequest, GenerationResult
from freehold.models import DEMO_MODEL, model_path

DEMO = model_path(DEMO_MODEL)
FACTS = (
    ("What does the heron eat?", "The heron is a wading bird that eats fish."),
    ("What is Rust?", "Rust is a systems programming language that guarantees memory safety."),
    ("Where is the key kept?", "The spare key is kept under the third flower pot."),
    ("When does the library open?", "The library opens at nine in the morning on weekdays."),
    ("How deep is the lake?", "The lake is forty metres deep at its centre."),
    ("Who wrote the report?", "The annual report was written by the treasurer of the club."),
    ("What does git stash do?", "The command git stash records the state of the working directory."),
    ("Which port does the server use?", "By default the server listens on port 5432."),
)


def question(number: int, passages: int = 3) -> list[dict[str, str]]:
    """A question with passages, in the form that the shipped model knows."""
    chosen = [FACTS[(number + step) % len(FACTS)][1] for step in range(passages)]
    lines = "\n".join(f"[{at}] {text}" for at, text in enumerate(chosen, 1))
    return [
        {"role": "system", "content": f"Answer from the context and cite it.\nContext:\n{lines}"},
        {"role": "user", "content": FACTS[number % len(FACTS)][0]},
    ]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine for the tests that leave it as it was."""
    engine = Engine(DEMO)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def prompts(engine: Engine) -> list[str]:
    """Questions with one to five passages."""
    return [engine.render(question(number, 1 + number % 5)) for number in range(24)]


@pytest.fixture(scope="module")
def expected(prompts: list[str]) -> list[str]:
    """What `llama_cpp.Llama` answers, one after another."""
    plain = Llama(str(DEMO), n_ctx=1024, n_threads=1, n_threads_batch=1, verbose=False)
    texts = [plain.create_completion(text, max_tokens=48, temperature=0.0)["choices"][0]["text"] for text in prompts]
    plain.close()
    return texts


@pytest.mark.parametrize("lookup", [True, False])
async def test_alone_equals_llama(engine: Engine, prompts: list[str], expected: list[str], lookup: bool) -> None:
    """One request after another gives what `Llama` gives, token by token, with drafts and without."""
    engine.clear_cache()
    for prompt, text in zip(prompts, expected, strict=True):
        result = await engine.generate(GenerationRequest(prompt, max_tokens=48, lookup=lookup))
        assert result.text == text
        assert lookup or result.drafted_tokens == 0


@pytest.mark.parametrize("lookup", [True, False])
async def test_a_crowd_equals_llama(engine: Engine, prompts: list[str], expected: list[str], lookup: bool) -> None:
    """All at once, three times, from an empty cache and from a full one, gives the same."""
    engine.clear_cache()
    for _ in range(3):
        requests = [GenerationRequest(prompt, max_tokens=48, lookup=lookup) for prompt in prompts]
        results = await asyncio.gather(*map(engine.generate, requests))
        assert [result.text for result in results] == expected
    assert engine.stats().running == engine.stats().waiting == 0


async def test_quotations_are_drafted(prompts: list[str], expected: list[str]) -> None:
    """An answer that quotes its context takes fewer steps than it has tokens, from the prompt alone."""
    engine = Engine(DEMO)
    results = [await engine.generate(GenerationRequest(prompt, max_tokens=48)) for prompt in prompts[:8]]
    assert [result.text for result in results] == expected[:8]
    assert sum(result.accepted_tokens for result in results) > 0.2 * sum(r.completion_tokens for r in results)
    stats = engine.stats()
    assert stats.accepted_tokens == sum(result.accepted_tokens for result in results)
    assert stats.decode_tokens == sum(result.completion_tokens for result in results)
    engine.close()


async def test_a_shared_beginning_is_computed_once(engine: Engine) -> None:
    """Eight requests that arrive together with one long beginning read it once, and again not at all."""
    engine.clear_cache()
    beginning = engine.tokenize("The lake is forty metres deep at its centre. " * 40)
    tails = [engine.tokenize(f" Question {number}: {FACTS[number][0]}") for number in range(8)]
    requests = [GenerationRequest((*beginning, *tail), max_tokens=4) for tail in tails]
    before = engine.stats()
    results = await asyncio.gather(*map(engine.generate, requests))
    read = engine.stats().prefill_tokens - before.prefill_tokens
    assert len(beginning) + sum(map(len, tails)) - 8 * 4 <= read <= len(beginning) + sum(map(len, tails))
    assert sorted(result.reused_tokens >= len(beginning) for result in results) == [False] + [True] * 7
    again = await asyncio.gather(*map(engine.generate, requests))
    assert [result.text for result in again] == [result.text for result in results]
    assert all(result.reused_tokens == result.prompt_tokens - 1 for result in again)


async def test_the_next_turn_reads_only_what_is_new(engine: Engine) -> None:
    """A conversation's next turn reuses the last one's prompt and answer."""
    engine.clear_cache()
    chat = question(3)
    first = await engine.generate(GenerationRequest(engine.render(chat), max_tokens=48))
    chat += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "And when does it close?"}]
    second = await engine.generate(GenerationRequest(engine.render(chat), max_tokens=8))
    assert second.reused_tokens >= first.prompt_tokens + first.completion_tokens - 2
    assert second.reused_tokens < second.prompt_tokens


async def test_a_full_cache_pauses_and_loses_nothing(prompts: list[str], expected: list[str]) -> None:
    """Where the cache is too small for all, requests pause and go on, and each answer is whole."""
    engine = Engine(DEMO, context_length=384, cache_tokens=400, slots=8)
    requests = [GenerationRequest(prompt, max_tokens=48, lookup=False) for prompt in prompts]
    results = await asyncio.gather(*map(engine.generate, requests))
    assert [result.text for result in results] == expected
    long = [GenerationRequest(prompt, max_tokens=120, logit_bias={2: -100.0, 0: -100.0}) for prompt in prompts[:8:3]]
    alone = [(await engine.generate(request)).text for request in long]
    together = await asyncio.gather(*map(engine.generate, long))
    assert [result.text for result in together] == alone
    assert all(result.completion_tokens == 120 for result in together)
    assert 0 < engine.stats().preemptions < 40
    assert engine.stats().kv_used == 0
    engine.close()


async def test_priority_goes_first(prompts: list[str]) -> None:
    """With one slot, what waits is taken by priority, and by arrival within it."""
    engine = Engine(DEMO, slots=1)
    order: list[int] = []

    async def ask(number: int, priority: int) -> None:
        await engine.generate(GenerationRequest(prompts[0], max_tokens=2, priority=priority))
        order.append(number)

    stream = engine.stream(GenerationRequest(prompts[1], max_tokens=400, logit_bias={2: -100.0, 0: -100.0}))
    await anext(stream)
    tasks = []
    for number, priority in enumerate((0, 5, 0, 9)):
        tasks.append(asyncio.create_task(ask(number, priority)))
        while engine.waiting <= number:  # noqa: ASYNC110 - the engine offers no event for it
            await asyncio.sleep(0.001)
    await stream.aclose()
    await asyncio.gather(*tasks)
    assert order == [3, 1, 0, 2]
    engine.close()


async def test_deadline(engine: Engine, prompts: list[str]) -> None:
    """A deadline ends a request that runs, with what it has said, and one that waits."""
    slow = GenerationRequest(prompts[0], max_tokens=800, logit_bias={2: -100.0, 0: -100.0}, deadline=0.02, lookup=False)
    with pytest.raises(DeadlineError, match=r"0\.02 s passed") as caught:
        await engine.generate(slow)
    assert isinstance(caught.value.text, str)
    blocked = Engine(DEMO, slots=1)
    stream = blocked.stream(GenerationRequest(prompts[1], max_tokens=900, logit_bias={2: -100.0, 0: -100.0}))
    await anext(stream)
    with pytest.raises(DeadlineError, match="nothing was generated"):
        await blocked.generate(GenerationRequest(prompts[0], deadline=0.001))
    await stream.aclose()
    blocked.close()


async def test_a_failed_step_fails_what_runs_and_nothing_else(prompts: list[str], expected: list[str]) -> None:
    """When llama.cpp fails a step, running requests hear of it, waiting ones are answered, and the engine goes on."""
    engine = Engine(DEMO, slots=2)
    await engine.generate(GenerationRequest(prompts[0], max_tokens=2))
    worker = engine._worker
    assert worker is not None
    streams = [
        engine.stream(GenerationRequest(prompts[n], max_tokens=800, logit_bias={2: -99.0, 0: -99.0})) for n in (0, 1)
    ]
    for stream in streams:
        await anext(stream)
    waiting = asyncio.create_task(engine.generate(GenerationRequest(prompts[2], max_tokens=48)))
    while engine.waiting != 1:  # noqa: ASYNC110 - the engine offers no event for it
        await asyncio.sleep(0.001)
    abort = llama_cpp.ggml_abort_callback(lambda _: True)  # llama.cpp itself gives up the step
    llama_cpp.llama_set_abort_callback(worker._decoder._context, abort, ctypes.c_void_p(0))
    for stream in streams:
        with pytest.raises(InferenceError, match="status 2"):
            async for _ in stream:
                pass
    assert (await waiting).text == expected[2]
    results = await asyncio.gather(*(engine.generate(GenerationRequest(p, max_tokens=48)) for p in prompts[:4]))
    assert [result.text for result in results] == expected[:4]
    engine.close()


async def test_cancelling_at_random_loses_nothing(prompts: list[str], expected: list[str]) -> None:
    """With a third of the requests cancelled at random moments, the others get their whole answers."""
    engine = Engine(DEMO)
    draw = random.Random(4)
    for _ in range(3):
        tasks = [asyncio.create_task(engine.generate(GenerationRequest(p, max_tokens=48))) for p in prompts]
        doomed = draw.sample(range(len(tasks)), len(tasks) // 3)
        for at in doomed:
            await asyncio.sleep(draw.random() * 0.01)
            tasks[at].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for at, result in enumerate(results):
            if isinstance(result, GenerationResult):
                assert result.text == expected[at]
            else:
                assert isinstance(result, asyncio.CancelledError)
                assert at in doomed
    await engine.generate(GenerationRequest(prompts[0], max_tokens=1))
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.kv_used) == (0, 0, 0)
    engine.clear_cache()
    await engine.generate(GenerationRequest(prompts[0], max_tokens=1))
    assert engine.stats().kv_cached <= len(engine.tokenize(prompts[0])) + 1
    engine.close()


async def test_a_stream_does_not_wait_for_a_long_prompt() -> None:
    """While a long prompt is read, a running stream goes on between its chunks."""
    engine = Engine(DEMO, context_length=4096, cache_tokens=8192)
    filler = engine.tokenize("The lake is forty metres deep at its centre. " * 300)[:3500]
    stream = engine.stream(GenerationRequest("The", max_tokens=500, logit_bias={2: -99.0, 0: -99.0}, lookup=False))
    await anext(stream)
    reading = asyncio.create_task(engine.generate(GenerationRequest(tuple(filler), max_tokens=1)))
    between = 0
    async for _ in stream:
        if reading.done():
            break
        between += engine.stats().running == 2
    assert between >= 3
    await stream.aclose()
    await reading
    engine.close()


async def test_logprobs(engine: Engine, prompts: list[str]) -> None:
    """Log-probabilities are the model's own, beside the likeliest tokens, in chunks and in the result."""
    result = await engine.generate(GenerationRequest(prompts[0], max_tokens=8, logprobs=3))
    assert len(result.logprobs) == result.completion_tokens
    assert b"".join(entry.piece for entry in result.logprobs).decode() == result.text
    for entry in result.logprobs:
        values = [value for _, _, value in entry.top]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert entry.logprob == values[0] <= 0
    chunks = [c async for c in engine.stream(GenerationRequest(prompts[0], max_tokens=8, logprobs=3))]
    flat = [entry.token for chunk in chunks for entry in chunk.logprobs]
    assert flat == [entry.token for entry in result.logprobs]


async def test_unload_and_load_again(prompts: list[str], expected: list[str]) -> None:
    """An idle engine frees its weights, refuses while a request runs, and the next request loads it again."""
    loads: list[None] = []
    engine = Engine(DEMO, before_load=lambda: loads.append(None))
    assert engine.unload()
    assert (await engine.generate(GenerationRequest(prompts[0], max_tokens=48))).text == expected[0]
    stream = engine.stream(GenerationRequest(prompts[1], max_tokens=800, logit_bias={2: -99.0, 0: -99.0}))
    await anext(stream)
    assert not engine.unload()
    assert not engine.idle
    await stream.aclose()
    await engine.generate(GenerationRequest(prompts[0], max_tokens=1))
    assert engine.unload()
    assert engine.idle
    assert (await engine.generate(GenerationRequest(prompts[0], max_tokens=48))).text == expected[0]
    assert len(loads) == 2
    engine.close()


async def test_a_burst_on_an_idle_engine_uses_its_slots(prompts: list[str], expected: list[str]) -> None:
    """The queue's bound counts those who wait beside the slots, also before the first step has begun."""
    engine = Engine(DEMO, slots=8, queue_size=2)
    engine.load()
    results = await asyncio.gather(*(engine.generate(GenerationRequest(p, max_tokens=48)) for p in prompts[:10]))
    assert [result.text for result in results] == expected[:10]
    engine.close()


async def test_closing_while_requests_are_tokenised(prompts: list[str]) -> None:
    """Who still waits to be tokenised hears `InferenceError`, not that the task was cancelled."""
    engine = Engine(DEMO)
    tasks = [asyncio.create_task(engine.generate(GenerationRequest(prompt))) for prompt in prompts]
    await asyncio.sleep(0)
    await asyncio.to_thread(engine.close)
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, InferenceError)


async def test_refused_loading_reaches_the_caller(prompts: list[str]) -> None:
    """What `before_load` raises refuses the request, and nothing is loaded."""

    def refuse() -> None:
        raise UserError("no room")

    engine = Engine(DEMO, before_load=refuse)
    with pytest.raises(UserError, match="no room"):
        await engine.generate(GenerationRequest(prompts[0], max_tokens=1))
    engine.close()


@pytest.mark.parametrize("bad", [{"slots": 0}, {"slots": 65}, {"cache_tokens": 100}, {"queue_size": 0}])
def test_bad_engine_values(bad: dict[str, int]) -> None:
    """Values that make no engine are refused by name."""
    with pytest.raises(UserError, match=next(iter(bad))):
        Engine(DEMO, **bad)  # type: ignore[arg-type]


async def test_tokens_outside_the_vocabulary(engine: Engine) -> None:
    """A token that the model does not have is refused; llama.cpp would read past its tables."""
    with pytest.raises(UserError, match="4096"):
        await engine.generate(GenerationRequest((5, 4096)))
