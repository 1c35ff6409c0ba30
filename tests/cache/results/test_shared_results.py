"""Results that are worked out once, and the warnings about them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from freehold import Context
from freehold.cache.results.scope import scope_prefix
from freehold.cache.results.seldom import SeldomWarning
from freehold.cache.results.shared_results import Call, Got, Made, SharedResults
from freehold.coordination import Flights, MemoryStore, StoredValue
from freehold.errors import ScopeError, SettingsError, StorageError, UserError


class Sums:
    """Works a sum out, and counts how often."""

    def __init__(self, *, keep: bool = True, fail: type[Exception] | None = None) -> None:
        self.ran = 0
        self.at_once = 0
        self.most_at_once = 0
        self.open = asyncio.Event()
        self.heard: list[str] = []
        self._keep = keep
        self._fail = fail

    async def make(self, emit: Callable[[str], None]) -> Made[str]:
        """Work it out."""
        self.ran += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        emit("4")
        await self.open.wait()
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if self._fail is not None:
            raise self._fail("no")
        emit("2")
        return Made("42", b"42" if self._keep else None, "It is this call's own.")

    async def hear(self, piece: str) -> None:
        """Listen."""
        self.heard.append(piece)

    def call(self, read: Callable[[bytes], str | None] = bytes.decode) -> Call[str]:
        """Ask for it."""
        return Call("6 * 7", self.make, read, 60, "sums", hear=self.hear, own=(UserError,))


async def _asked(
    results: SharedResults, sums: Sums, times: int, read: Callable[[bytes], str | None] = bytes.decode
) -> list[asyncio.Task[Got[str]]]:
    running = [asyncio.create_task(results.get(sums.call(read))) for _ in range(times)]
    await asyncio.sleep(0.05)
    sums.open.set()
    await asyncio.wait(running)
    return running


async def test_one_works_and_the_others_hear_it() -> None:
    """Followers get every piece and the result; the next one who asks finds it kept."""
    results, sums = SharedResults(MemoryStore(), None, tier="node"), Sums()
    running = await _asked(results, sums, 3)
    assert [task.result().how for task in running] == ["made", "followed", "followed"]
    assert sorted(sums.heard) == ["2", "2", "4", "4"]
    assert (await results.get(sums.call())).how == "hit"
    assert sums.ran == 1


async def test_what_landed_between_a_look_and_a_seat_is_not_worked_out_again() -> None:
    """A caller whose look at the store is slow finds nothing, and nobody to follow any more: it looks once more."""

    class Slow(MemoryStore):
        looks = 0
        held = asyncio.Event()

        async def get(self, key: str) -> StoredValue | None:
            self.looks += 1
            found = await super().get(key)
            if self.looks == 1:
                await self.held.wait()
            return found

    store, sums = Slow(), Sums()
    sums.open.set()
    results = SharedResults(store, None, tier="node")
    slow = asyncio.create_task(results.get(sums.call()))
    await asyncio.sleep(0)
    assert (await results.get(sums.call())).how == "made"
    store.held.set()
    assert (await slow).how == "hit"
    assert sums.ran == 1


async def test_what_is_one_calls_own_is_worked_out_by_each() -> None:
    """Where there is nothing to share, nobody waits for a second one, and nothing is kept."""
    store = MemoryStore()
    sums = Sums(keep=False)
    running = await _asked(SharedResults(store, None, tier="node"), sums, 3)
    assert [task.result().how for task in running] == ["made"] * 3
    assert sums.ran == 3
    assert await store.count() == 0


@pytest.mark.parametrize(("error", "alone"), [(UserError, True), (KeyError, False)])
async def test_errors_are_each_callers_own(error: type[Exception], alone: bool) -> None:
    """Everybody gets an error of a run of its own: all at once where the error would come again, else one by one."""
    sums = Sums(fail=error)
    running = await _asked(SharedResults(MemoryStore(), None, tier="node"), sums, 3)
    assert {type(task.exception()) for task in running} == {error}
    assert sums.ran == 3
    assert sums.most_at_once == (2 if alone else 1)


async def test_a_store_that_has_just_failed_is_not_asked_again() -> None:
    """A store that hangs costs its time-out once before the work begins, and not once more with the leader's seat."""

    class Broken(MemoryStore):
        looks = 0

        async def get(self, key: str) -> StoredValue | None:
            self.looks += 1
            raise StorageError("It does not answer.")

    store, sums = Broken(), Sums()
    sums.open.set()
    assert (await SharedResults(store, None, tier="node").get(sums.call())).how == "made"
    assert (store.looks, sums.ran) == (1, 1)


async def test_closed_flights_and_unreadable_results_cost_only_the_sharing() -> None:
    """A workspace that is closing, and a process of another version, leave everybody to work alone."""
    flights = Flights()
    await flights.close()
    for results, read in (
        (SharedResults(MemoryStore(), flights, tier="node"), bytes.decode),
        (SharedResults(MemoryStore(), None, tier="node"), lambda _: None),
    ):
        sums = Sums()
        running = await _asked(results, sums, 3, read)
        assert [task.result().result for task in running] == ["42"] * 3
        assert sums.ran == 3


def test_a_warning_is_said_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """A store that is down for an hour makes sixty lines and not a million, which say how many are missing."""
    now = 0.0
    warning = SeldomWarning(logging.getLogger("seldom"), 60.0, lambda: now)
    for second in range(121):
        now = float(second)
        warning("It is down: %s", "refused")
    assert [record.getMessage() for record in caplog.records] == [
        "It is down: refused",
        "It is down: refused (59 more such warnings were left out.)",
        "It is down: refused (59 more such warnings were left out.)",
    ]


def test_one_warning_does_not_silence_another(caplog: pytest.LogCaptureFixture) -> None:
    """Who is told that a store is down must still hear that a result cannot be kept; each counts its own."""
    now = 0.0
    warning = SeldomWarning(logging.getLogger("seldom"), 60.0, lambda: now)
    for message in ("It is down: %s", "It is full: %s", "It is down: %s"):
        warning(message, "no")
    now = 60.0
    warning("It is full: %s", "no")
    warning("It is down: %s", "no")
    assert [record.getMessage() for record in caplog.records] == [
        "It is down: no",
        "It is full: no",
        "It is full: no",
        "It is down: no (1 more such warnings were left out.)",
    ]


def test_scopes_never_meet() -> None:
    """A user, a tenant and everybody have prefixes of their own, whatever their ids are."""
    ada, other = Context(user_id="ada"), Context(user_id="ada", tenant="other")
    prefixes = [scope_prefix(scope, context) for scope in ("user", "tenant", "all") for context in (ada, other)]  # type: ignore[arg-type]
    assert len(set(prefixes)) == 5
    assert prefixes[4] == prefixes[5]
    assert scope_prefix("user", None) == scope_prefix("user", Context()) == scope_prefix("user", {"user_id": "default"})
    with pytest.raises(ScopeError, match="user_id"):
        scope_prefix("user", {"tenant": "x"})
    assert issubclass(ScopeError, UserError)
    assert issubclass(SettingsError, UserError)
