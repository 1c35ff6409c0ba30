"""Several models share one budget: what is in use stays, the least recently used goes, what does not fit is refused."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.errors import InferenceError, MemoryBudgetError, ModelFileError
from freehold.inference import ChatLlama, Engine, GenerationRequest
from freehold.inference.model_pool import ModelPool
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path

ONE = 43 * 2**20
"""Bytes that hold the demonstration model once, and not twice."""
SHORT = GenerationRequest("Hello", max_tokens=4)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three models in files of their own."""
    return [Path(shutil.copy(model_path(DEMO_MODEL), tmp_path / f"{name}.gguf")) for name in "abc"]


@pytest.fixture
def pools() -> Iterator[list[ModelPool]]:
    """Pools that are closed at the end."""
    opened: list[ModelPool] = []
    yield opened
    for pool in opened:
        pool.close()


def pool_of(pools: list[ModelPool], budget: int) -> ModelPool:
    """A pool with a budget of so many bytes."""
    pools.append(ModelPool(budget))
    return pools[-1]


def taken(engine: Engine) -> bool:
    """Whether the engine's weights are loaded: only then has it a step to tell of."""
    return engine.stats().steps > 0


async def test_a_model_is_opened_once(pools: list[ModelPool], files: list[Path]) -> None:
    """The same file with the same options is the same engine; nothing is loaded before it is used."""
    pool = pool_of(pools, 6 * 2**30)
    engine = pool.engine(files[0], slots=2)
    assert pool.engine(files[0], slots=2) is engine
    assert pool.engine(files[0], slots=3) is not engine
    assert not pool.loaded()
    await engine.generate(SHORT)
    assert sum(pool.loaded().values()) < ONE


async def test_the_least_recently_used_leaves(pools: list[ModelPool], files: list[Path]) -> None:
    """Room for two: the third unloads the one whose last use is longest ago, and its handle goes on working."""
    pool = pool_of(pools, 2 * ONE)
    first, second, third = (pool.engine(path) for path in files)
    text = (await first.generate(SHORT)).text
    await second.generate(SHORT)
    await first.generate(SHORT)
    await third.generate(SHORT)
    assert (taken(first), taken(second), taken(third)) == (True, False, True)
    assert (await second.generate(SHORT)).text == text
    assert (taken(first), taken(second), taken(third)) == (False, True, True)


async def test_a_model_that_fits_nowhere_is_refused(pools: list[ModelPool], files: list[Path]) -> None:
    """The numbers are told, and another model stays where it is."""
    pool = pool_of(pools, ONE)
    small = pool.engine(files[0])
    await small.generate(SHORT)
    with pytest.raises(MemoryBudgetError, match=r"would take 0\.\d\d GiB and 0\.00 GiB are left") as refused:
        await pool.engine(files[1], cache_tokens=65536).generate(SHORT)
    assert refused.value.needed > refused.value.budget == ONE
    assert taken(small)


async def test_a_model_in_use_stays(pools: list[ModelPool], files: list[Path]) -> None:
    """While one generates, another that needs its room is refused by name; afterwards it gets the room."""
    pool = pool_of(pools, ONE)
    busy, other = pool.engine(files[0]), pool.engine(files[1])
    stream = busy.stream(GenerationRequest("Hello", max_tokens=400, logit_bias={2: float("-inf")}))
    await anext(stream)
    with pytest.raises(MemoryBudgetError, match=r"b\.gguf, beside a\.gguf in use,"):
        await other.generate(SHORT)
    rest = [piece async for piece in stream]
    assert rest[-1].completion_tokens == 400
    assert (await other.generate(SHORT)).completion_tokens == 4
    assert not taken(busy)


async def test_embeddings_share_the_budget(pools: list[ModelPool], files: list[Path]) -> None:
    """An embedding model leaves for a language model and comes back, with the same vectors."""
    pool = pool_of(pools, 110 * 2**20)
    embeddings, engine = pool.embeddings(model_path(EMBEDDING_MODEL), cache_size=0), pool.engine(files[0])
    vector = await embeddings.aembed_query("heron")
    await engine.generate(SHORT)
    assert list(pool.loaded()) == [files[0]]
    assert await embeddings.aembed_query("heron") == vector
    assert list(pool.loaded()) == [model_path(EMBEDDING_MODEL)]


async def test_a_failed_load_gives_its_room_back(pools: list[ModelPool], files: list[Path]) -> None:
    """A model that llama.cpp refuses does not keep a share of the budget from the others."""
    damaged = bytearray(files[0].read_bytes())
    at = damaged.index(b"blk.0.attn_norm.weight")
    damaged[at : at + 5] = b"xxx.0"
    files[0].write_bytes(damaged)
    pool = pool_of(pools, ONE)
    for _ in range(2):
        with pytest.raises(ModelFileError):
            await pool.engine(files[0]).generate(SHORT)
        assert (await pool.engine(files[1]).generate(SHORT)).completion_tokens == 4


async def test_a_chat_model_outlives_its_weights(pools: list[ModelPool], files: list[Path]) -> None:
    """A chat model built on a pooled engine answers after another model took its place."""
    pool = pool_of(pools, ONE)
    chat, other = (ChatLlama(engine=pool.engine(path), max_tokens=8) for path in files[:2])
    before = (await chat.ainvoke("Hello")).text
    assert (await other.ainvoke("Hello")).text == before
    assert (await chat.ainvoke("Hello")).text == before


@pytest.mark.parametrize("budget", [ONE, 2 * ONE])
async def test_many_at_once_end(pools: list[ModelPool], files: list[Path], budget: int) -> None:
    """Models that do not fit together, asked by many at once: each answers or is refused; nothing hangs or leaks."""
    pool = pool_of(pools, budget)
    engines = [pool.engine(path) for path in files]
    answers = refusals = 0

    async def turn(engine: Engine) -> None:
        nonlocal answers, refusals
        try:
            await engine.generate(SHORT)
            answers += 1
        except MemoryBudgetError:
            refusals += 1

    async with asyncio.timeout(60):
        for _ in range(8):
            await asyncio.gather(*(turn(engine) for engine in engines * 2))
            assert sum(pool.loaded().values()) <= budget
    assert answers + refusals == 8 * 6
    assert answers >= 8


def test_threads_that_load_at_once_end(pools: list[ModelPool], files: list[Path]) -> None:
    """Loading and unloading in threads, each in the other's way, comes to an end."""
    pool = pool_of(pools, ONE)
    engines = [pool.engine(path) for path in files]
    failed: list[BaseException] = []

    def load(engine: Engine) -> None:
        for _ in range(5):
            try:
                engine.count_tokens("Hello")
            except MemoryBudgetError:
                continue
            except BaseException as error:  # noqa: BLE001 - the test must hear of it
                failed.append(error)

    threads = [threading.Thread(target=load, args=(engine,), daemon=True) for engine in engines * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not failed
    assert sum(pool.loaded().values()) <= ONE


async def test_closed_is_closed(pools: list[ModelPool], files: list[Path]) -> None:
    """A closed pool closes its models, opens no other, and may be closed again."""
    pool = pool_of(pools, ONE)
    engine = pool.engine(files[0])
    await engine.generate(SHORT)
    pool.close()
    pool.close()
    with pytest.raises(InferenceError, match="closed"):
        await engine.generate(SHORT)
    with pytest.raises(InferenceError, match="closed"):
        pool.engine(files[1])
