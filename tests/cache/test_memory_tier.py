"""The first tier: what this process read or wrote last."""

from __future__ import annotations

import threading
from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from freehold.cache import CachedAnswer
from freehold.cache.answer import Alias
from freehold.cache.memory_tier import MemoryTier
from freehold.errors import SettingsError

OVERHEAD = 2000
KEYS = st.sampled_from(["a.1", "a.2", "b.1", "b.2", "", "a."])
TTL = st.sampled_from([-1.0, 0.0, 1.0, 10.0, 1e9])
SIZES = st.sampled_from([0, 100, 3000, 9000])


class Clock:
    """A clock that stands still until the test moves it."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class TierMachine(RuleBasedStateMachine):
    """The tier beside a dictionary that does what it should, in the plainest way."""

    max_entries = 3
    max_bytes = 12_000

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.tier = MemoryTier(max_entries=self.max_entries, max_bytes=self.max_bytes, clock=self.clock)
        self.model: OrderedDict[str, tuple[str, float, float, int]] = OrderedDict()
        self.number = 0

    @rule(key=KEYS, ttl=TTL, size=SIZES)
    def put(self, key: str, ttl: float, size: int) -> None:
        self.number += 1
        self.tier.put(key, CachedAnswer(key, str(self.number)), ttl_seconds=ttl, size=size)
        self.model.pop(key, None)
        taken = size + OVERHEAD
        if ttl <= 0 or taken > self.max_bytes:
            return
        self.model[key] = str(self.number), self.clock.now + ttl, self.clock.now, taken
        while len(self.model) > self.max_entries or sum(entry[3] for entry in self.model.values()) > self.max_bytes:
            self.model.popitem(last=False)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        found = self.tier.get(key)
        if key in self.model and self.model[key][1] <= self.clock.now:
            del self.model[key]
        if key not in self.model:
            assert found is None
            return
        self.model.move_to_end(key)
        assert found is not None
        assert isinstance(found.value, CachedAnswer)
        assert (found.value.answer, found.expires_at, found.read_at, found.bytes) == self.model[key]

    @rule(keys=st.lists(KEYS, max_size=3))
    def drop(self, keys: list[str]) -> None:
        self.tier.drop(*keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(prefix=st.sampled_from(["", "a.", "a", "b.1", "c"]))
    def clear(self, prefix: str) -> None:
        self.tier.clear(prefix)
        for key in [key for key in self.model if key.startswith(prefix)]:
            del self.model[key]

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def holds_what_it_should(self) -> None:
        assert len(self.tier) == len(self.model)


class TestTier(TierMachine.TestCase):  # type: ignore[name-defined,misc]
    """Whatever is put, read, dropped and waited for, the tier holds what the plain dictionary holds."""

    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_both_kinds_of_entries_are_kept() -> None:
    """Protects the names of answers that serve other questions: they are as fast as answers."""
    tier, alias = MemoryTier(), Alias("a.1", (1.0,), 0.02, 0.97)
    tier.put("a.2", alias, ttl_seconds=60, size=10)
    found = tier.get("a.2")
    assert found is not None
    assert found.value is alias


@pytest.mark.parametrize("bounds", [{"max_entries": 0}, {"max_bytes": 0}])
def test_a_tier_of_nothing_keeps_nothing(bounds: dict[str, int]) -> None:
    """Protects who wants no answers in the process' memory."""
    tier = MemoryTier(**bounds)
    tier.put("a.1", CachedAnswer("What?", "That."), ttl_seconds=60, size=10)
    assert (tier.get("a.1"), len(tier)) == (None, 0)


@pytest.mark.parametrize("bounds", [{"max_entries": -1}, {"max_bytes": -1}])
def test_bounds_below_nothing_are_refused(bounds: dict[str, int]) -> None:
    """Protects from a bound that can never be kept."""
    with pytest.raises(SettingsError, match="give 0 or more"):
        MemoryTier(**bounds)


def test_what_would_take_everything_pushes_nothing_out() -> None:
    """Protects other answers from one that is too large to be kept; what it was to replace is gone all the same."""
    tier = MemoryTier(max_bytes=10_000)
    tier.put("a.1", CachedAnswer("What?", "That."), ttl_seconds=60, size=10)
    tier.put("a.2", CachedAnswer("What?", "That."), ttl_seconds=60, size=10)
    tier.put("a.2", CachedAnswer("What?", "Much more."), ttl_seconds=60, size=20_000)
    assert tier.get("a.1") is not None
    assert tier.get("a.2") is None


def test_several_threads_share_a_tier() -> None:
    """Protects the bounds from callers on several threads."""
    tier = MemoryTier(max_entries=10)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(300):
                key = f"{number % 2}.{step % 15}"
                tier.put(key, CachedAnswer("What?", key), ttl_seconds=60, size=10)
                found = tier.get(key)
                assert found is None or (isinstance(found.value, CachedAnswer) and found.value.answer == key)
                if step % 50 == 0:
                    tier.clear(f"{number % 2}.")
                tier.drop(key)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failures, len(tier)) == ([], 0)
    tier.put("a.1", CachedAnswer("What?", "That."), ttl_seconds=60, size=10)
    assert len(tier) == 1
