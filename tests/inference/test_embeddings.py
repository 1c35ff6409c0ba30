"""Embeddings on real llama.cpp: the same vectors, for many callers at once."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from llama_cpp import Llama

from freehold.errors import InferenceError, ModelFileError, UserError
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
