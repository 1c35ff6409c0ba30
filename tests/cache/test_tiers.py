"""Memory, and behind it a store that outlasts the process and may be down."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from freehold import Context
from freehold.cache import CachedAnswer, ResponseCache, Situation
from freehold.cache.answer import Alias
from freehold.cache.evidence import Near
from freehold.cache.memory_tier import MemoryTier
from freehold.cache.tiers import Found, Tiers
from freehold.coordination import MemoryStore, SQLiteFile, SQLiteStore, StoredValue
from freehold.errors import StorageError

ANSWER = CachedAnswer("What?", "That.", sources={"a.md": "1"})
OTHER = CachedAnswer("What?", "This.")
ALIAS = Alias("o.1", (1.0, 0.5), 0.02, 0.97)


class Clock:
    """A clock that stands still until the test moves it."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Shaky(MemoryStore):
    """A store that fails while `down`, and counts what it is asked."""

    down = False
    gets = 0

    def _in_use(self):  # type: ignore[no-untyped-def]
        if self.down:
            raise StorageError("The disk is full.")
        return super()._in_use()

    async def get(self, key: str) -> StoredValue | None:
        self.gets += 1
        return await super().get(key)


@pytest.fixture
def clock() -> Clock:
    """The time of the store and of the tiers."""
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Shaky:
    """A store that can be taken down."""
    return Shaky(clock=clock)


@pytest.fixture
def tiers(store: Shaky, clock: Clock) -> Tiers:
    """Tiers that believe their memory for a minute."""
    return Tiers(store, MemoryTier(clock=clock), recheck_seconds=60.0, clock=clock)


@pytest.fixture
async def files(tmp_path: Path, clock: Clock) -> AsyncIterator[SQLiteStore]:
    """A store in a file."""
    opened = SQLiteStore(SQLiteFile(tmp_path / "cache.sqlite", clock=clock))
    yield opened
    await opened.close()


# --- reading and writing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [ANSWER, ALIAS], ids=["answer", "alias"])
async def test_what_is_written_is_recalled_read_and_survives(
    files: SQLiteStore, clock: Clock, tmp_path: Path, value: CachedAnswer | Alias
) -> None:
    """Protects entries of both kinds in memory, in the store, and after a restart."""
    tiers = Tiers(files, MemoryTier(clock=clock), clock=clock)
    assert tiers.recall("o.1") is None
    assert await tiers.read("o.1") is None
    assert await tiers.write("o.1", value, 600.0)
    assert tiers.recall("o.1") == Found(value, "memory")
    assert await tiers.read("o.1") == Found(value, "exact", 0, 600.0)
    clock.now += 100
    later = SQLiteStore(SQLiteFile(tmp_path / "cache.sqlite", clock=clock))
    restarted = Tiers(later, MemoryTier(clock=clock), clock=clock)
    assert restarted.recall("o.1") is None
    found = await restarted.read("o.1")
    assert found is not None
    assert (found.value, found.tier, found.expires_in) == (value, "exact", 500.0)
    assert restarted.recall("o.1") == Found(value, "memory")
    await later.close()


async def test_memory_is_believed_for_a_while(tiers: Tiers, store: Shaky, clock: Clock) -> None:
    """Protects what other processes write: it is seen when memory is old enough to be asked again, and not before."""
    await tiers.write("o.1", ANSWER, 600.0)
    await store.set("o.1", OTHER.encode(), 600.0)
    clock.now += 60
    assert tiers.recall("o.1") == Found(ANSWER, "memory")
    clock.now += 1
    assert tiers.recall("o.1") is None
    found = await tiers.read("o.1")
    assert found is not None
    assert found.value == OTHER
    assert tiers.recall("o.1") == Found(OTHER, "memory")
    assert store.gets == 1


async def test_memory_outlives_nothing(tiers: Tiers, store: Shaky, clock: Clock) -> None:
    """Protects a lifetime: an entry goes from memory when its time is over, though it would still be believed."""
    await tiers.write("o.1", ANSWER, 30.0)
    await store.set("o.2", ANSWER.encode(), 30.0)
    await tiers.read("o.2")
    clock.now += 30
    assert tiers.recall("o.1") is tiers.recall("o.2") is None
    assert await tiers.read("o.1") is await tiers.read("o.2") is None


async def test_what_another_process_removed_is_gone(tiers: Tiers, store: Shaky) -> None:
    """Protects from an answer that lives on in memory after the store was asked and has it no more."""
    await tiers.write("o.1", ANSWER, 600.0)
    await store.delete("o.1")
    assert await tiers.read("o.1") is None
    assert tiers.recall("o.1") is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"{}",
        json.dumps({**json.loads(ANSWER.encode()), "version": 1}).encode(),
        json.dumps({**json.loads(ANSWER.encode()), "version": 3}).encode(),
        json.dumps({**json.loads(ANSWER.encode()), "answer": 7}).encode(),
    ],
)
async def test_another_version_is_missing(tiers: Tiers, store: Shaky, value: bytes) -> None:
    """Protects an upgrade, and from damage: what cannot be read counts as missing, in memory too, and is no failure."""
    await tiers.write("o.1", ANSWER, 600.0)
    await store.set("o.1", value, 600.0)
    assert await tiers.read("o.1") is None
    assert tiers.recall("o.1") is None
    assert await tiers.peek(["o.1"]) == [None]
    assert tiers.failures == 0


async def test_reading_counts_uses(tiers: Tiers) -> None:
    """Protects what a lifetime grows by."""
    await tiers.write("o.1", ANSWER, 600.0)
    uses = [found.uses for _ in range(3) if (found := await tiers.read("o.1"))]
    await tiers.peek(["o.1"])
    found = await tiers.read("o.1")
    assert (uses, found is not None and found.uses) == ([0, 1, 2], 3)


async def test_peeking_reads_many_at_once(tiers: Tiers, store: Shaky) -> None:
    """Protects storing an answer from a round trip for each entry that it looks at."""
    await tiers.write("o.1", ANSWER, 600.0)
    await store.set("o.2", ALIAS.encode(), 600.0)
    assert await tiers.peek(["o.1", "none", "o.2", "o.1"]) == [ANSWER, None, ALIAS, ANSWER]
    assert await tiers.peek([]) == []
    assert store.gets == 0


async def test_dropping_and_extending(tiers: Tiers, store: Shaky, clock: Clock) -> None:
    """Protects both tiers from keeping what was dropped, and an entry that is used from its first end."""
    await tiers.write("o.1", ANSWER, 100.0)
    await tiers.write("o.2", OTHER, 100.0)
    await tiers.extend("o.2", 1000.0)
    await tiers.drop("o.1", "none")
    assert tiers.recall("o.1") is await store.get("o.1") is None
    clock.now += 500
    found = await tiers.read("o.2")
    assert found is not None
    assert (found.value, found.expires_in) == (OTHER, 500.0)


async def test_sources_lead_to_what_cites_them(tiers: Tiers, store: Shaky) -> None:
    """Protects answers from staying when their documents go."""
    await tiers.write("o.1", ANSWER, 100.0, iter(["a.md", "b.md"]))
    assert await store.citing("b.md") == ["o.1"]


# --- a store that is down ---------------------------------------------------------------------------------------------


async def test_memory_serves_while_the_store_is_down(
    tiers: Tiers, store: Shaky, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects users from a store that fails: what memory has is served also past its time to look again, to its end.

    What memory has not is missing, and each failure is counted and told.
    """
    await tiers.write("o.1", ANSWER, 600.0)
    store.down = True
    clock.now += 300
    assert tiers.recall("o.1") is None
    with caplog.at_level(logging.WARNING):
        assert await tiers.read("o.1") == Found(ANSWER, "memory")
        assert await tiers.read("o.2") is None
    assert tiers.failures == 2
    assert "could not read an entry: The disk is full." in caplog.text
    assert await tiers.peek(["o.1", "o.2"]) == [ANSWER, None]
    clock.now += 300
    assert await tiers.read("o.1") is None
    assert tiers.failures == 4


async def test_writes_while_the_store_is_down_are_kept_in_memory(tiers: Tiers, store: Shaky, clock: Clock) -> None:
    """Protects the next who asks the same in this process; whoever wrote is told that the store has it not."""
    store.down = True
    assert await tiers.write("o.1", ANSWER, 600.0) is False
    assert tiers.recall("o.1") == Found(ANSWER, "memory")
    await tiers.extend("o.1", 1000.0)
    assert tiers.failures == 2
    store.down = False
    clock.now += 61
    assert await tiers.read("o.1") is None


async def test_drops_while_the_store_is_down_hold_in_memory(tiers: Tiers, store: Shaky) -> None:
    """Protects this process from an answer that it dropped, at least until the store is back."""
    await tiers.write("o.1", ANSWER, 600.0)
    store.down = True
    await tiers.drop("o.1")
    assert tiers.recall("o.1") is None
    assert await tiers.read("o.1") is None
    assert tiers.failures == 2


async def test_a_closed_file_is_a_store_that_is_down(files: SQLiteStore, clock: Clock) -> None:
    """Protects requests that come while a workspace closes."""
    tiers = Tiers(files, MemoryTier(clock=clock), clock=clock)
    await tiers.write("o.1", ANSWER, 600.0)
    await files.close()
    assert await tiers.read("o.1") == Found(ANSWER, "memory")
    assert await tiers.read("o.2") is None
    assert await tiers.write("o.2", ANSWER, 600.0) is False
    assert tiers.failures == 3


async def test_nothing_but_the_store_is_excused(tiers: Tiers, store: Shaky) -> None:
    """Protects cancellation: a run that is cancelled while the store is asked ends, and is no failure of the store."""
    asked = asyncio.Event()

    async def hang(key: str) -> StoredValue | None:
        asked.set()
        await asyncio.sleep(3600)
        return None

    store.get = hang  # type: ignore[method-assign]
    reading = asyncio.create_task(tiers.read("o.1"))
    await asked.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert tiers.failures == 0


# --- erasing ----------------------------------------------------------------------------------------------------------


class Asking:
    """An index of questions that takes its time to forget, while which the same question is asked again."""

    def __init__(self) -> None:
        self.meanwhile = lambda: asyncio.sleep(0)

    async def add(self, key: str, question: str, scope: str, **_: object) -> None:
        """Nothing is kept."""

    async def nearest(self, question: str, scope: str, limit: int = 1) -> list[Near]:
        return []

    async def extend(self, key: str, ttl_seconds: float) -> None:
        """Nothing is kept."""

    async def remove(self, *keys: str) -> None:
        """Nothing is kept."""

    async def forget(self, *owners: str) -> None:
        await self.meanwhile()

    async def clear(self) -> None:
        await self.meanwhile()

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("how", ["forget", "clear"])
async def test_what_is_erased_does_not_stay_in_memory(how: str) -> None:
    """Protects who is forgotten: an answer that is asked for meanwhile must not be back in memory behind it."""
    store, index, here = MemoryStore(), Asking(), Situation(model="m", user_id="ada")
    await ResponseCache(store, None).store("What?", here, ANSWER)
    restarted, outcomes = ResponseCache(store, index), []

    async def ask() -> None:
        outcomes.append((await restarted.lookup("What?", here)).outcome)

    index.meanwhile = ask  # type: ignore[assignment]
    erased = await (restarted.forget(Context(user_id="ada")) if how == "forget" else restarted.clear())
    assert (erased, outcomes[0]) == (1, "hit")
    assert (await restarted.lookup("What?", here)).outcome == "miss"
    await restarted.aclose()


class Late(MemoryStore):
    """A store whose answer to `get` is on its way while something else happens."""

    between: Sequence[object] = ()

    async def get(self, key: str) -> StoredValue | None:
        found = await super().get(key)
        between, self.between = self.between, ()
        for work in between:
            await work  # type: ignore[misc]
        return found


@pytest.mark.parametrize("change", ["drop", "write"])
async def test_a_read_under_way_does_not_undo_a_change(change: str) -> None:
    """Protects a quarantine and an erasure: what the store had before is not put back into memory behind them."""
    store = Late()
    tiers = Tiers(store, MemoryTier())
    await tiers.write("o.1", ANSWER, 600.0)
    store.between = [tiers.drop("o.1") if change == "drop" else tiers.write("o.1", OTHER, 600.0)]
    await tiers.read("o.1")
    assert tiers.recall("o.1") == (None if change == "drop" else Found(OTHER, "memory"))
