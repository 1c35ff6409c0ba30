"""Flights within one process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from freehold.coordination import Flights
from freehold.coordination.flight import MOST_PIECES
from freehold.coordination.flights import Abandoned, Declined, Event, Following, Landed, Leading, Piece, leading
from freehold.errors import SettingsError, StorageError
from freehold.portal import run_in_background, run_sync


@pytest.fixture
async def flights() -> AsyncIterator[Flights]:
    """Flights of this process only, with a lease that no test waits for."""
    opened = Flights(lease_seconds=60)
    yield opened
    await opened.close()


async def lead(flights: Flights, key: str = "k") -> Leading:
    """The leader's seat."""
    seat = await flights.board(key)
    assert isinstance(seat, Leading)
    assert await seat.lead()
    return seat


async def follow(flights: Flights, key: str = "k") -> Following:
    """A follower's seat."""
    seat = await flights.board(key)
    assert isinstance(seat, Following)
    return seat


async def events(seat: Following) -> list[Event]:
    """Everything that a follower is told."""
    return [event async for event in seat]


async def test_one_answers_and_all_get_it(flights: Flights) -> None:
    """Protects from answering twice: who boards while one leads gets every piece and the result, however late."""
    seat = await lead(flights)
    early = asyncio.ensure_future(events(await follow(flights)))
    await asyncio.sleep(0)
    seat.emit("4")
    middle = await follow(flights)
    seat.emit("2")
    assert [await anext(middle), await anext(middle)] == [Piece("4"), Piece("2")]
    late = await follow(flights)
    await seat.land(b"42")
    everything = [Piece("4"), Piece("2"), Landed(b"42")]
    assert (await early, await events(late), await events(middle)) == (everything, everything, everything[2:])
    assert await events(late) == []
    assert isinstance(await flights.board("k"), Leading)


async def test_keys_do_not_meet(flights: Flights) -> None:
    """Protects one question from the answer to another."""
    one, other = await lead(flights, "one"), await lead(flights, "other")
    following = await follow(flights, "other")
    await one.land(b"1")
    await other.land(b"2")
    assert await events(following) == [Landed(b"2")]


async def test_a_declined_flight_lets_everybody_go(flights: Flights) -> None:
    """Protects followers of a refused or unfinished answer: each is told why at once, and the key is free."""
    seat = await lead(flights)
    following = [asyncio.ensure_future(events(await follow(flights))) for _ in range(10)]
    await asyncio.sleep(0)
    seat.decline("refused")
    assert await asyncio.gather(*following) == [[Declined("refused")]] * 10
    assert isinstance(await flights.board("k"), Leading)


async def ask(flights: Flights, seen: Counter[str]) -> bytes:
    """A run that boards until it has an answer; `seen` is also the store in which answers are kept."""
    while True:
        seat = await flights.board("k")
        if isinstance(seat, Leading):
            if await seat.lead():
                with seat.hold():
                    if seen["kept"]:  # another process landed between the look into the store and the lease
                        seat.decline("kept")
                        return b"answer"
                    seen["led"] += 1
                    await asyncio.sleep(0)
                    seat.emit("piece")
                seen["kept"] = 1
                await seat.land(b"answer")
                return b"answer"
            seat = seat.following()
        told = await events(seat)
        if isinstance(told[-1], Landed):
            assert told[:-1] == [Piece("piece")]
            return told[-1].result
        if seen["kept"]:
            return b"answer"


async def test_exactly_one_takes_over(flights: Flights) -> None:
    """Protects from a crowd behind a leader that failed: one of fifty answers, the others get its answer whole."""
    seat = await lead(flights)
    seat.emit("not to be seen behind the next leader's pieces")
    seen: Counter[str] = Counter()
    asking = [asyncio.ensure_future(ask(flights, seen)) for _ in range(50)]
    await asyncio.sleep(0.01)
    seat.abandon()
    assert await asyncio.gather(*asking) == [b"answer"] * 50
    assert seen["led"] == 1


async def test_an_exception_or_a_cancellation_abandons(flights: Flights) -> None:
    """Protects followers from a leader whose run failed or was cancelled, at whatever await."""
    seat = await lead(flights)
    following = await follow(flights)
    with pytest.raises(KeyError), seat.hold():
        raise KeyError
    assert await events(following) == [Abandoned()]

    async def work(seat: Leading) -> None:
        with seat.hold():
            await asyncio.sleep(60)

    seat = await lead(flights)
    following = await follow(flights)
    working = asyncio.ensure_future(work(seat))
    await asyncio.sleep(0)
    working.cancel()
    assert await events(following) == [Abandoned()]


async def test_what_nobody_holds_counts_as_abandoned() -> None:
    """Protects followers from a run that never comes back: behind boarding, and behind each hold."""
    flights = Flights(lease_seconds=0.5)
    await lead(flights)
    assert await events(await follow(flights)) == [Abandoned()]
    seat = await lead(flights)
    with seat.hold(), seat.hold():
        pass
    begun = time.monotonic()
    assert await events(await follow(flights)) == [Abandoned()]
    assert time.monotonic() - begun > 0.1
    assert leading(seat.token) is None
    await flights.close()


async def test_what_somebody_holds_does_not() -> None:
    """Protects a long answer: as long as one of several nodes works, and between two, the flight is the leader's."""
    flights = Flights(lease_seconds=0.5)
    seat = await lead(flights)
    following = asyncio.ensure_future(events(await follow(flights)))
    with seat.hold():
        with seat.hold():
            await asyncio.sleep(0.7)
        await asyncio.sleep(0.7)
    await asyncio.sleep(0.01)
    with seat.hold():
        await asyncio.sleep(0.1)
    await seat.land(b"42")
    assert await following == [Landed(b"42")]
    await flights.close()


async def test_what_comes_after_the_end_changes_nothing(flights: Flights) -> None:
    """Protects followers from a run that fails behind its answer, and the next leader from the one before."""
    seat = await lead(flights)
    following = await follow(flights)
    await seat.land(b"42")
    other = await lead(flights)
    with pytest.raises(KeyError), seat.hold():
        raise KeyError
    seat.emit("late")
    seat.decline("late")
    await seat.land(b"late")
    assert await events(following) == [Landed(b"42")]
    follower = await follow(flights)
    await other.land(b"43")
    assert await events(follower) == [Landed(b"43")]


async def test_a_cancelled_follower_disturbs_nobody(flights: Flights) -> None:
    """Protects the leader and the other followers from one that goes away while it waits."""
    seat = await lead(flights)
    going, staying = [asyncio.ensure_future(events(await follow(flights))) for _ in range(2)]
    await asyncio.sleep(0)
    going.cancel()
    await asyncio.sleep(0)
    seat.emit("4")
    await seat.land(b"42")
    assert await staying == [Piece("4"), Landed(b"42")]


async def test_any_loop_and_thread(flights: Flights) -> None:
    """Protects `invoke` beside `ainvoke`: leader, pieces and followers on loops and threads of their own."""
    pieces = [str(number) for number in range(500)]
    told: list[list[Event]] = []
    boarded, go = threading.Event(), threading.Event()

    async def leader() -> None:
        seat = await lead(flights)
        boarded.set()
        await asyncio.to_thread(go.wait)
        with seat.hold():
            await asyncio.to_thread(lambda: [(seat.emit(piece), time.sleep(0)) for piece in pieces])
        await seat.land(b"42")

    landing = run_in_background(leader())
    await asyncio.to_thread(boarded.wait)
    seats = [await follow(flights) for _ in range(5)]
    threads = [threading.Thread(target=lambda seat=seat: told.append(asyncio.run(events(seat)))) for seat in seats[1:]]
    for thread in threads:
        thread.start()
    here = asyncio.ensure_future(events(seats[0]))
    go.set()
    told.append(await here)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await asyncio.wrap_future(landing)
    assert told == [[*map(Piece, pieces), Landed(b"42")]] * 5


def test_synchronous_callers_lead_and_follow() -> None:
    """Protects callers in threads without an event loop of their own."""
    flights = Flights()
    seat = run_sync(flights.board("k"))
    assert isinstance(seat, Leading)
    assert run_sync(seat.lead())
    following = run_sync(flights.board("k"))
    assert isinstance(following, Following)
    run_sync(seat.land(b"42"))
    assert run_sync(events(following)) == [Landed(b"42")]
    run_sync(flights.close())


async def test_a_token_finds_its_seat(flights: Flights) -> None:
    """Protects runs that carry the token in their state, which is plain JSON, also where several caches are open."""
    other = Flights()
    seat = await lead(flights)
    assert leading(seat.token) is seat
    there = await lead(other)
    assert leading(there.token) is there
    assert (seat.key, len(seat.token)) == ("k", 32)
    assert leading("unknown") is None
    seat.decline("over")
    assert leading(seat.token) is None
    await other.close()


async def test_too_long_an_answer_is_not_shared(flights: Flights) -> None:
    """Protects memory: beyond the bound followers go ahead on their own, and the leader goes on undisturbed."""
    for piece, number in (("a", MOST_PIECES + 1), ("a" * 2**17, 9)):
        seat = await lead(flights)
        following = await follow(flights)
        for _ in range(number):
            seat.emit(piece)
        told = await events(following)
        assert told[-1] == Declined("The answer is too long to share.")
        assert len(told) == number
        await seat.land(b"42")


async def test_closing_tells_everybody(flights: Flights) -> None:
    """Protects from waiting for ever on flights that are closed; closing twice is closing once."""
    await lead(flights)
    following = asyncio.ensure_future(events(await follow(flights)))
    await asyncio.sleep(0)
    await flights.close()
    await flights.close()
    assert await following == [Abandoned()]
    with pytest.raises(StorageError, match="closed"):
        await flights.board("k")


@pytest.mark.parametrize("seconds", [0, -1, 61, float("nan")])
def test_a_lease_that_makes_no_sense_is_refused(seconds: float) -> None:
    """Protects from a leader that is dead at once, or is waited for too long."""
    with pytest.raises(SettingsError, match="lease_seconds"):
        Flights(lease_seconds=seconds)
