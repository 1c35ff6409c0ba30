"""Every store against a dictionary that does the same, over random calls in any order."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from freehold.coordination import (
    AnswerStore,
    EncryptedStore,
    MemoryStore,
    RedisConnection,
    RedisStore,
    SQLiteFile,
    SQLiteStore,
)
from tests.coordination.conftest import PATIENT, Clock

KEYS = st.sampled_from(["a.1", "a.2", "a.3", "b.1", "b.2", "*", "\ud800"])
SOURCES = st.sampled_from(["x.md", "y.md", "\udcff"])
PREFIXES = st.sampled_from(["", "a.", "b.", "*", "c"])
MOST = 4


@dataclass
class Entry:
    """What the model knows of a key."""

    value: bytes
    ends: float
    sources: frozenset[str]
    uses: int = 0


@dataclass
class Model:
    """The dictionary, the least recently used first."""

    now: float = 0.0
    entries: dict[str, Entry] = field(default_factory=dict)

    def alive(self, prefix: str = "") -> dict[str, Entry]:
        """What can be read."""
        return {key: one for key, one in self.entries.items() if one.ends > self.now and key.startswith(prefix)}

    def use(self, key: str) -> Entry | None:
        """Read a key; it is now the newest."""
        if key not in self.alive():
            return None
        self.entries[key] = self.entries.pop(key)
        return self.entries[key]

    def set(self, key: str, value: bytes, ttl: float, sources: frozenset[str]) -> None:
        """Write a key; expired ones go, and then the oldest."""
        self.entries.pop(key, None)
        if ttl > 0:
            self.entries = {**self.alive(), key: Entry(value, self.now + ttl, sources)}
            while len(self.entries) > MOST:
                del self.entries[next(iter(self.entries))]


class StoreMachine(RuleBasedStateMachine):
    """One store and its model."""

    has_clock: ClassVar[bool] = True
    compared: ClassVar[int] = 0
    """Values that were."""

    def open(self, clock: Clock) -> AnswerStore:
        """The store under test, of at most `MOST` entries."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.model = Model(self.clock.now)
        self.store = self.open(self.clock)

    def run(self, call: Any) -> Any:
        """Await a call."""
        return self.loop.run_until_complete(call)

    def teardown(self) -> None:
        """Close everything."""
        self.run(self.store.clear())
        self.run(self.store.close())
        self.loop.close()

    @rule(key=KEYS, value=st.binary(max_size=3), ttl=st.sampled_from([-1, 0, 10, 20, 1000]), sources=st.sets(SOURCES))
    def set(self, key: str, value: bytes, ttl: float, sources: set[str]) -> None:
        """Write over what is there, or remove it."""
        ttl = ttl if self.has_clock or ttl <= 0 else 1000
        self.run(self.store.set(key, value, ttl, sources=sorted(sources)))
        self.model.set(key, value, ttl, frozenset(sources))

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        """A use."""
        found, expected = self.run(self.store.get(key)), self.model.use(key)
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert (found.value, found.uses) == (expected.value, expected.uses)
            assert found.expires_at == pytest.approx(expected.ends) or not self.has_clock
            expected.uses += 1

    @rule(keys=st.lists(KEYS, max_size=4))
    def get_many(self, keys: list[str]) -> None:
        """No use."""
        alive = self.model.alive()
        expected = [(alive[key].value, alive[key].uses) if key in alive else None for key in keys]
        assert [found and (found.value, found.uses) for found in self.run(self.store.get_many(keys))] == expected

    @rule(key=KEYS, ttl=st.sampled_from([0, 15, 2000]))
    def extend(self, key: str, ttl: float) -> None:
        """Another end."""
        ttl = ttl if self.has_clock or ttl <= 0 else 1000
        self.run(self.store.extend(key, ttl))
        if key in self.model.alive():
            self.model.entries[key].ends = self.model.now + ttl
        if ttl <= 0:
            self.model.entries.pop(key, None)

    @rule(keys=st.lists(KEYS, max_size=3))
    def delete(self, keys: list[str]) -> None:
        """Some, which may not be there."""
        self.run(self.store.delete(*keys))
        for key in keys:
            self.model.entries.pop(key, None)

    @rule(prefix=PREFIXES)
    def clear(self, prefix: str) -> None:
        """All that begin so."""
        gone = self.model.alive(prefix)
        assert self.run(self.store.clear(prefix)) == len(gone)
        self.model.entries = {key: one for key, one in self.model.entries.items() if not key.startswith(prefix)}

    @rule(prefix=PREFIXES, limit=st.integers(0, 3), offset=st.integers(0, 3))
    def page(self, prefix: str, limit: int, offset: int) -> None:
        """A page of the list."""
        newest = [*self.model.alive(prefix)][::-1][offset : offset + limit]
        assert [key for key, _ in self.run(self.store.list(prefix, limit=limit, offset=offset))] == newest

    @precondition(lambda self: self.has_clock)
    @rule(seconds=st.sampled_from([1, 10, 100]))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.clock.now += seconds
        self.model.now += seconds

    @invariant()
    def agrees(self) -> None:
        """The whole of it, without a use."""
        alive = self.model.alive()
        found = self.run(self.store.list())
        expected = [(key, one.value, one.uses) for key, one in reversed(alive.items())]
        assert [(key, one.value, one.uses) for key, one in found] == expected
        type(self).compared += len(expected)
        assert self.run(self.store.count("a.")) == len(self.model.alive("a."))
        for source in ("x.md", "\udcff"):
            cited = sorted(key for key, one in alive.items() if source in one.sources)
            assert sorted(self.run(self.store.citing(source))) == cited


class MemoryMachine(StoreMachine):
    """In memory."""

    def open(self, clock: Clock) -> AnswerStore:
        """A new one."""
        return MemoryStore(max_entries=MOST, clock=clock)


class SQLiteMachine(StoreMachine):
    """In a file, which is closed and opened again in between."""

    def open(self, clock: Clock) -> AnswerStore:
        """A new file."""
        self.folder = tempfile.TemporaryDirectory()
        self.file = SQLiteFile(Path(self.folder.name) / "answers.sqlite3", clock=clock)
        return SQLiteStore(self.file, max_entries=MOST)

    @rule()
    def reopen(self) -> None:
        """Another object on the same file."""
        self.run(self.store.close())
        self.store = SQLiteStore(self.file, max_entries=MOST)

    def teardown(self) -> None:
        """Delete the file."""
        super().teardown()
        self.folder.cleanup()


class EncryptedMachine(StoreMachine):
    """Encrypted in memory."""

    def open(self, clock: Clock) -> AnswerStore:
        """A new one."""
        return EncryptedStore(MemoryStore(max_entries=MOST, clock=clock), bytes(32))


class RedisMachine(StoreMachine):
    """In a real Redis, whose clock is its own."""

    has_clock = False
    url: ClassVar[str]

    def open(self, clock: Clock) -> AnswerStore:
        """Its own prefix, emptied at the end."""
        return RedisStore(RedisConnection(self.url, "model:", timeout_seconds=PATIENT), max_entries=MOST)


@pytest.mark.parametrize("steps", [15, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("machine", [MemoryMachine, SQLiteMachine, EncryptedMachine, RedisMachine])
def test_the_store_behaves_like_its_model(machine: type[StoreMachine], steps: int, redis_url: str) -> None:
    """Protects uses, ends, sources, order and eviction in any order of calls."""
    RedisMachine.url = redis_url
    examples = (1 if machine in (SQLiteMachine, RedisMachine) else 3) * steps
    machine.compared = 0
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))
    assert machine.compared > 0
