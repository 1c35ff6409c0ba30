"""Embeddings on real llama.cpp: the same vectors, for many callers at once."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from llama_cpp import Llama

from freehold.errors import InferenceError, MemoryBudgetError, ModelFileError, UserError
from freehold.inference import LlamaEmbeddings

MINILM = Path(str(files("freehold.models"))) / "all-minilm-l6-v2.Q8_0.gguf"


@pytest.fixture(scope="module")
def embeddings() -> Iterator[LlamaEmbeddings]:
    """One model for the tests that leave it as it was."""
    embeddings = LlamaEmbeddings(MINILM)
    yield embeddings
    embeddings.close()


def random_texts(count: int) -> list[str]:
    """Repeatable texts of many lengths and scripts, an empty one among them."""
    chooser = random.Random(5)
    alphabet = "abcdefghij   klmnop.,\n\u00e9\u6f22\U0001f642<|>"
    return ["".join(chooser.choices(alphabet, k=chooser.randint(0, 120))) for _ in range(count)]


def assert_true(value: bool) -> None:
    """An assertion that fits into a lambda."""
    assert value


def test_rows_equal_llama_cpp(embeddings: LlamaEmbeddings) -> None:
    """A text's vector is what `llama_cpp.Llama` gives it alone, whatever shares its batch."""
    plain = Llama(str(MINILM), embedding=True, n_ctx=512, n_threads=1, n_threads_batch=1, verbose=False)
    texts = random_texts(30)
    rows = np.array(embeddings.embed_documents(texts))
    expected = np.array([plain.embed(text, normalize=True) for text in texts])
    plain.close()
    assert rows.shape == (30, embeddings.dimension) == (30, 384)
    assert (rows * expected).sum(axis=1).min() > 0.999
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_meaning(embeddings: LlamaEmbeddings) -> None:
    """Sentences of one meaning lie closer than sentences of two."""
    a, b, c = embeddings.embed_documents(
        ["How do I reset my password?", "I forgot my login, what now?", "Herons eat fish."]
    )
    assert np.dot(a, b) > np.dot(a, c) + 0.2


def test_empty_and_long(embeddings: LlamaEmbeddings) -> None:
    """Nothing, blanks and a megabyte all have a vector of length 1, the same one each time."""
    texts = ["", "   ", "word " * 200_000]
    rows = embeddings.embed_documents(texts)
    assert np.allclose(np.linalg.norm(np.array(rows), axis=1), 1, atol=1e-5)
    fresh = LlamaEmbeddings(MINILM, cache_size=0)
    assert np.allclose(rows, fresh.embed_documents(texts), atol=1e-4)
    fresh.close()
    assert embeddings.embed_documents([]) == []


async def test_sync_async_and_array_agree(embeddings: LlamaEmbeddings) -> None:
    """All five ways in give one vector."""
    row = await embeddings.aembed_query("one text")
    array = await embeddings.embed(["one text", "other", "one text"])
    assert array.dtype == np.float32
    assert array.shape == (3, 384)
    assert np.array_equal(array[0], array[2])
    assert row == array[0].tolist()
    assert (await embeddings.aembed_documents(["one text"]))[0] == row
    assert await asyncio.to_thread(embeddings.embed_query, "one text") == row
    assert (await asyncio.to_thread(embeddings.embed_documents, ["one text"]))[0] == row


def test_hundred_queries_from_two_loops() -> None:
    """A hundred concurrent queries on two event loops each get their own vector."""
    embeddings = LlamaEmbeddings(MINILM, cache_size=0)
    results: dict[int, list[list[float]]] = {}

    async def many(offset: int) -> list[list[float]]:
        return await asyncio.gather(*(embeddings.aembed_query(f"query {offset + i}") for i in range(50)))

    def use(offset: int) -> None:
        results[offset] = asyncio.run(many(offset))

    threads = [threading.Thread(target=use, args=(offset,)) for offset in (0, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = np.array(embeddings.embed_documents([f"query {i}" for i in range(100)]))
    assert ((np.array(results[0] + results[50]) * expected).sum(axis=1) > 0.999).all()
    embeddings.close()


async def test_cache_forgets_the_oldest() -> None:
    """The cache stays within its size."""
    embeddings = LlamaEmbeddings(MINILM, cache_size=3)
    await embeddings.aembed_documents([f"text {i}" for i in range(5)])
    assert len(embeddings._cache) == 3
    first = await embeddings.aembed_query("text 4")
    assert await embeddings.aembed_query("text 4") == first
    embeddings.close()


async def test_query_passes_a_large_request() -> None:
    """A question does not wait until a whole document is embedded."""
    embeddings = LlamaEmbeddings(MINILM, cache_size=0)
    await embeddings.aembed_query("load")
    order: list[str] = []

    async def note(name: str, texts: list[str]) -> None:
        await embeddings.embed(texts)
        order.append(name)

    document = asyncio.create_task(note("document", [f"sentence {i}" for i in range(160)]))
    await asyncio.sleep(0)
    await asyncio.gather(note("query", ["question"]), document)
    assert order == ["query", "document"]
    embeddings.close()


async def test_cancelled_caller(embeddings: LlamaEmbeddings) -> None:
    """A caller that goes away harms nobody else."""
    task = asyncio.create_task(embeddings.embed([f"cancelled {i}" for i in range(64)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await embeddings.aembed_query("after")) == 384


def tokens_read(embeddings: LlamaEmbeddings) -> int:
    """Tokens that llama.cpp computed since the model was loaded."""
    assert embeddings._worker is not None
    counts = llama_cpp.llama_perf_context(embeddings._worker._context)
    return int(counts.n_p_eval)


def test_one_question_is_computed_once() -> None:
    """Callers that ask for one text at the same time, on two event loops, share one computation."""
    loading = threading.Event()
    embeddings = LlamaEmbeddings(MINILM, before_load=lambda: assert_true(loading.wait(30)))
    question = "What does a heron eat?"
    rows: list[list[float]] = []

    async def many() -> list[list[float]]:
        return await asyncio.gather(*(embeddings.aembed_query(question) for _ in range(20)))

    threads = [threading.Thread(target=lambda: rows.extend(asyncio.run(many()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    while embeddings._worker is None or len(embeddings._worker._urgent) < 32:
        time.sleep(0.001)  # up to eight are at work, and wait for the model; the others wait behind them
    loading.set()
    for thread in threads:
        thread.join()
    assert len(rows) == 40
    assert all(row == rows[0] for row in rows)
    alone = tokens_read(embeddings)
    assert embeddings.embed_query(question) == rows[0]
    assert tokens_read(embeddings) == alone < 2 * len(question.split()) + 2
    embeddings.close()


async def test_unload_and_load_again() -> None:
    """Weights can go while nobody needs them, and come back by themselves with the same vectors."""
    loads: list[int] = []
    embeddings = LlamaEmbeddings(MINILM, cache_size=0, before_load=lambda: loads.append(1))
    assert embeddings.unload()
    assert loads == []
    for count in (1, 2, 3):
        row = await embeddings.aembed_query("text")
        assert embeddings.idle
        assert len(loads) == count
        assert await embeddings.aembed_query("text") == row
        assert len(loads) == count
        assert await asyncio.to_thread(embeddings.unload)
        assert embeddings._worker is not None
        assert embeddings._worker._model is None
        assert embeddings.unload()
    embeddings.close()
    assert embeddings.unload()


async def test_busy_models_are_not_unloaded() -> None:
    """A model at work says so and keeps its weights, and callers that race with unloading all get their vector."""
    loading = threading.Event()
    embeddings = LlamaEmbeddings(MINILM, cache_size=0, before_load=lambda: assert_true(loading.wait(30)))
    assert embeddings.idle
    task = asyncio.create_task(embeddings.aembed_query("text"))
    await asyncio.sleep(0.05)
    assert not embeddings.idle
    assert not embeddings.unload()
    loading.set()
    expected = np.array(await task)
    ended = threading.Event()
    unloaded: list[bool] = []

    def unload() -> None:
        while not ended.is_set():
            unloaded.append(embeddings.unload())
            time.sleep(0.005)

    thread = threading.Thread(target=unload)
    thread.start()
    for _ in range(20):
        rows = await asyncio.gather(*(embeddings.aembed_query("text") for _ in range(3)))
        assert (np.array(rows) @ expected > 0.999).all()
        await asyncio.sleep(0.005)
    ended.set()
    thread.join()
    assert any(unloaded)
    embeddings.close()


async def test_refused_loading_reaches_the_callers() -> None:
    """What forbids loading is told to every caller as it is, and the next one may have more luck."""
    errors: list[Exception] = [MemoryBudgetError("m", 3, 2, 1), ValueError("odd")]

    def refuse() -> None:
        if errors:
            raise errors.pop(0)

    embeddings = LlamaEmbeddings(MINILM, before_load=refuse)
    with pytest.raises(MemoryBudgetError):
        await embeddings.aembed_query("text")
    with pytest.raises(InferenceError, match="odd"):
        await embeddings.aembed_query("text")
    assert embeddings.idle
    assert len(await embeddings.aembed_query("text")) == 384
    embeddings.close()


async def test_close_while_loading() -> None:
    """Closing in the midst of a slow load answers what is at work, and fails what waits."""
    began = threading.Event()

    def load_slowly() -> None:
        began.set()
        while embeddings._worker is None or not embeddings._worker._closed:
            time.sleep(0.001)

    embeddings = LlamaEmbeddings(MINILM, before_load=load_slowly)
    first = asyncio.create_task(embeddings.aembed_query("first"))
    assert await asyncio.to_thread(began.wait, 30)
    second = asyncio.create_task(embeddings.aembed_query("second"))
    await asyncio.sleep(0)
    await asyncio.to_thread(embeddings.close)
    assert len(await first) == 384
    with pytest.raises(InferenceError, match="closed"):
        await second
    assert embeddings.unload()


async def test_close() -> None:
    """Closing fails what waits, hangs nothing, and may be repeated."""
    embeddings = LlamaEmbeddings(MINILM)
    task = asyncio.create_task(embeddings.embed([f"text {i}" for i in range(200)]))
    await asyncio.sleep(0)
    await asyncio.to_thread(embeddings.close)
    with pytest.raises(InferenceError, match="closed"):
        await task
    embeddings.close()
    with pytest.raises(InferenceError, match="closed"):
        await embeddings.aembed_query("x")


def test_bad_files_and_values(tmp_path: Path) -> None:
    """A bad file is refused when the object is made; a model id names the file's content."""
    with pytest.raises(ModelFileError):
        LlamaEmbeddings(tmp_path / "gone.gguf")
    with pytest.raises(UserError):
        LlamaEmbeddings(MINILM, cache_size=-1)
    with pytest.raises(UserError, match="list"):
        LlamaEmbeddings(MINILM).embed_documents("text")  # type: ignore[arg-type]
    assert len(LlamaEmbeddings(MINILM).model_id) == 16
