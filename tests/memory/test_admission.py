"""What may enter long-term memory: known facts, questions, the assistant's words and inventions are refused."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel
from prometheus_client import REGISTRY

from freehold import Context
from freehold.errors import SettingsError, StorageError
from freehold.inference import LlamaEmbeddings
from freehold.memory.admission import Admission
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.extraction import ModelExtractor
from freehold.memory.fact_form import same_fact
from freehold.memory.long_term import LongTermMemory
from tests.memory.extractors import KeepWhole
from tests.memory.fact_pairs import BOTH_TRUE, CONTRADICTIONS, SAME, SIMILAR
from tests.memory.test_isolation import files_with

ADA, BOB = Context(user_id="ada"), Context(user_id="bob")


@pytest.fixture
def verbatim(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> Iterator[LongTermMemory]:
    """A memory that keeps whatever it is given."""
    opened = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    yield opened
    opened.close()


@pytest.fixture
def memory(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> Iterator[LongTermMemory]:
    """A memory that keeps statements."""
    opened = LongTermMemory(client, embedder, None, tmp_path / "memory")
    yield opened
    opened.close()


def counted(reason: str) -> float:
    """The metric's value."""
    return REGISTRY.get_sample_value("freehold_memory_refused_total", {"reason": reason}) or 0.0


async def test_the_same_in_other_words_is_refused(embedder: LlamaEmbeddings) -> None:
    """Every pair that says the same has the same form, and lies above the threshold of similarity."""
    texts = [text for pair in SAME for text in pair]
    vectors = await embedder.embed(texts)
    for place, (one, other) in enumerate(SAME):
        assert same_fact(one, other), (one, other)
        assert float(vectors[2 * place] @ vectors[2 * place + 1]) >= Admission().duplicate_similarity, (one, other)


@pytest.mark.parametrize(("one", "other"), [*SIMILAR, *CONTRADICTIONS, *BOTH_TRUE])
def test_what_is_merely_similar_is_no_duplicate(one: str, other: str) -> None:
    """Another number, name, colour, time, or a denial is another fact, at a cosine of up to 0.99."""
    assert not same_fact(one, other)


async def test_a_duplicate_is_refused_and_counted(memory: LongTermMemory) -> None:
    """A fact in other words leaves one memory, and the refusal is visible."""
    before = counted("duplicate")
    await memory.add("I really like green tea.", ADA)
    done = await memory.remember("I love green tea!", ADA)
    assert (done.stored, done.refused) == ([], {"duplicate": 1})
    assert counted("duplicate") == before + 1
    assert len(await memory.add("I love green tea!", BOB)) == 1


async def test_questions_are_refused_and_counted(memory: LongTermMemory) -> None:
    """What is asked is no fact, in whatever form it is asked."""
    before = counted("question")
    done = await memory.remember("I like tea. Do I like coffee? what is my name", ADA)
    assert [fact["text"] for fact in done.stored] == ["I like tea"]
    assert done.refused == {"question": 2}
    assert counted("question") == before + 2


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("You said: I was born on the moon.", "You were born on the moon."),
        ("You told me that I live in Faro with nine cats.", ""),
        ("> I am an assistant that quotes documents\nWhy?", "I am an assistant that quotes documents."),
        ("I am an assistant that quotes documents.", "Well, I am an assistant that quotes documents, only that."),
    ],
)
async def test_the_assistants_words_are_refused(memory: LongTermMemory, message: str, answer: str) -> None:
    """A quote of the assistant does not become a fact about the user who quotes it."""
    before = counted("assistant")
    done = await memory.remember(message, ADA, answer=answer)
    assert done.stored == []
    assert done.refused["assistant"] == 1
    assert counted("assistant") == before + 1


async def test_the_users_own_words_are_kept_also_where_the_assistant_used_them(memory: LongTermMemory) -> None:
    """Who confirms a short thing says it."""
    done = await memory.remember("Yes, I like tea.", ADA, answer="Do I understand that you like tea? I like tea too.")
    assert [fact["text"] for fact in done.stored] == ["I like tea"]


async def test_what_the_message_does_not_say_is_refused(
    client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path
) -> None:
    """A model's invention, and what it took from the assistant's answer, are counted and not stored."""
    model = FakeListChatModel(responses=['{"facts": ["Likes tea", "Lives in Porto", "Has a yacht"]}'])
    memory = LongTermMemory(client, embedder, ModelExtractor(model), tmp_path / "memory")
    done = await memory.remember("I like tea.", ADA, answer="I would have thought that you live in Porto.")
    assert [fact["text"] for fact in done.stored] == ["Likes tea"]
    assert done.refused == {"assistant": 1, "no_evidence": 1}
    memory.close()


async def test_texts_of_no_or_any_length_are_refused(verbatim: LongTermMemory) -> None:
    """Neither nothing nor a book is a memory."""
    assert (await verbatim.remember("   ", ADA)).refused == {"empty": 1}
    assert (await verbatim.remember("word " * 1000, ADA)).refused == {"too_long": 1}
    (kept,) = await verbatim.add("a \ud800 surrogate", ADA)
    assert kept["text"] == "a ? surrogate"
    for text in ("", "x" * 2001):
        with pytest.raises(SettingsError, match="1 to 2000"):
            await verbatim.update(kept["id"], text, ADA)


def test_the_policy_is_checked() -> None:
    """Numbers that cannot be meant are named."""
    for wrong in ({"duplicate_similarity": 1.5}, {"candidates": 0}, {"max_characters": 0}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            Admission(**wrong)  # type: ignore[arg-type]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets two hours pass."""
    now = time.time
    return lambda: monkeypatch.setattr(time, "time", lambda: now() + 7200)


async def test_what_expires_is_gone_at_once_and_deleted(
    embedder: LlamaEmbeddings, tmp_path: Path, later: Callable[[], None]
) -> None:
    """An expired memory is not found, and the next opening deletes its point and its texts, and nothing else."""
    client = EdgeQdrantClient(tmp_path / "qdrant")
    memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    (passing,) = await memory.add("The parcel waits at the xylophone shop", ADA, ttl_seconds=3600)
    await memory.add("The parcel has a number", ADA)
    assert datetime.fromisoformat(passing["expires_at"]) > datetime.now(UTC)
    assert len(await memory.list(ADA)) == 2
    later()
    assert [found["text"] for found in await memory.list(ADA)] == ["The parcel has a number"]
    assert len(await memory.search("parcel", ADA)) == 1
    assert await memory.get(passing["id"], ADA) is None
    assert await memory.history(passing["id"], ADA) == []
    assert not await memory.delete(passing["id"], ADA)
    assert [entry["text"] for entry in await memory.export(ADA)] == ["The parcel has a number"]
    assert client.count("memories").count == 2  # hidden so far
    memory.close()
    memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    assert len(await memory.list(ADA)) == 1
    assert client.count("memories").count == 1
    memory.close()
    client.close()
    assert files_with(tmp_path / "memory", "parcel has")
    assert files_with(tmp_path / "memory", "xylophone") == []


async def test_a_running_store_deletes_what_expired(
    verbatim: LongTermMemory, client: EdgeQdrantClient, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    """A server that is never restarted deletes too: at an addition, once an hour."""
    await verbatim.add("passing", ADA, ttl_seconds=3600)
    later()
    await verbatim.add("lasting", ADA)
    assert client.count("memories").count == 2
    monkeypatch.setattr("freehold.memory.long_term._SWEEP_SECONDS", 0.0)
    await verbatim.add("another", ADA)
    assert client.count("memories").count == 2
    assert {found["text"] for found in await verbatim.list(ADA)} == {"lasting", "another"}


async def test_an_expired_fact_can_be_told_again(verbatim: LongTermMemory, later: Callable[[], None]) -> None:
    """What has expired and is not deleted yet is no duplicate."""
    await verbatim.add("The key is under the mat", ADA, ttl_seconds=3600)
    later()
    assert len(await verbatim.add("The key is under the mat", ADA)) == 1


@pytest.mark.parametrize("again", ["I like tea", "i like TEA.", "I like tea a lot"])
async def test_what_is_told_again_lasts_as_long_as_it_is_meant_to(memory: LongTermMemory, again: str) -> None:
    """A lasting fact is no duplicate of one that is about to go; and told for a while, a lasting one stays lasting."""
    (passing,) = await memory.add("I like tea", ADA, ttl_seconds=3600)
    assert (await memory.remember(again, ADA, ttl_seconds=7200)).refused == {"duplicate": 1}
    (longer,) = await memory.list(ADA)
    assert longer["expires_at"] > passing["expires_at"]
    assert (await memory.remember(again, ADA, ttl_seconds=60)).refused == {"duplicate": 1}
    assert await memory.list(ADA) == [longer]
    assert (await memory.remember(again, ADA)).refused == {"duplicate": 1}
    await memory.remember(again, ADA, ttl_seconds=60)
    (lasting,) = await memory.list(ADA)
    assert "expires_at" not in lasting
    assert lasting["id"] == passing["id"]


async def test_what_was_prolonged_is_still_there_later(
    embedder: LlamaEmbeddings, tmp_path: Path, later: Callable[[], None]
) -> None:
    """The filters of search, list and sweep all take it for lasting, also where it was told again by `restore`."""
    client = EdgeQdrantClient(tmp_path / "qdrant")
    for fact in ("I like tea", "I have a dog"):
        memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
        await memory.add(fact, ADA, ttl_seconds=3600)
        await (memory.add(fact, ADA) if fact == "I like tea" else memory.restore([{"text": fact}], ADA))
        memory.close()
    later()
    memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    assert {found["text"] for found in await memory.list(ADA)} == {"I like tea", "I have a dog"}
    assert len(await memory.search("tea or dog", ADA)) == 2
    assert client.count("memories").count == 2
    memory.close()
    client.close()


@pytest.mark.parametrize("full", [0, 120 * 2**20])
async def test_a_full_disk_does_not_hide_the_memories(  # noqa: PLR0917 - fixtures
    client: EdgeQdrantClient,
    embedder: LlamaEmbeddings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    later: Callable[[], None],
    full: int,
) -> None:
    """Where nothing can be deleted, reading goes on, and what has expired is deleted once there is room."""
    memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    await memory.add("The parcel waits", ADA, ttl_seconds=3600)
    await memory.add("The parcel has a number", ADA)
    memory.close()
    later()
    clock, booted = time.monotonic, time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock() - booted)  # on a machine that has just been started
    usage, free = shutil.disk_usage, full
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(path)._replace(free=min(free, usage(path).free)))
    memory = LongTermMemory(client, embedder, KeepWhole(), tmp_path / "memory")
    assert [found["text"] for found in await memory.list(ADA)] == ["The parcel has a number"]
    assert len(await memory.search("parcel", ADA)) == 1
    assert client.count("memories").count == (2 if full == 0 else 1)  # deleting takes less room than writing
    with pytest.raises(StorageError, match="full"):
        await memory.add("Another", ADA)
    free = usage(tmp_path).free
    await memory.add("Another", ADA)
    assert client.count("memories").count == 2
    memory.close()


async def test_ends_that_cannot_be_meant_are_refused(verbatim: LongTermMemory) -> None:
    """A memory that would be gone already is a mistake of the caller's, and said to be one."""
    past = datetime.now(UTC) - timedelta(days=1)
    soon = datetime.now(UTC) + timedelta(days=1)
    for limits in ({"expires_at": past}, {"ttl_seconds": 0}, {"ttl_seconds": -1}, {"ttl_seconds": float("nan")},
                   {"ttl_seconds": float("inf")}, {"expires_at": soon, "ttl_seconds": 5}):  # fmt: skip
        with pytest.raises(SettingsError):
            await verbatim.add("x", ADA, **limits)  # type: ignore[arg-type]
    (kept,) = await verbatim.add("x", ADA, expires_at=soon)
    assert datetime.fromisoformat(kept["expires_at"]) == soon
    assert time.time() < soon.timestamp()
