"""Flights over random stories: boarding, emitting, landing, failing and going away, in one process and over a board."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from freehold.coordination import Flights, RedisBoard, RedisConnection, SQLiteBoard
from freehold.coordination.flights import Abandoned, Declined, Event, Following, Landed, Leading, Piece, leading
from tests.coordination.conftest import PATIENT

KEYS = st.sampled_from(["a", "b"])
PATIENCE = 30.0  # seconds until a follower that hears nothing counts as forgotten


@dataclass
class Story:
    """What must be true of a flight that is under way."""

    seat: Leading
    process: int
    pieces: list[str] = field(default_factory=list)
    watching: list[asyncio.Task[list[Event]]] = field(default_factory=list)
    """Followers; the first of each other process stays to the end."""
    processes: set[int] = field(default_factory=set)


class FlightsMachine(RuleBasedStateMachine):
    """One process."""

    processes: ClassVar[int] = 1
    ended: ClassVar[int] = 0
    """Stories that were compared."""

    def open(self) -> list[Flights]:
        """One for each process."""
        return [Flights(lease_seconds=60)]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.flights = self.open()
        self.stories: dict[str, Story] = {}

    def run(self, call: Any) -> Any:
        """Await a call, and let everybody take a step."""

        async def step() -> Any:
            result = await call
            await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(step())

    def teardown(self) -> None:
        """Everything ends, and so does every follower."""
        for key in list(self.stories):
            self.end(key, Abandoned(), self.stories[key].seat.abandon)
        for flights in self.flights:
            self.run(flights.close())
        self.loop.close()

    def watch(self, story: Story, seat: Following) -> None:
        """A follower that listens to the end."""

        async def listen() -> list[Event]:
            return [event async for event in seat]

        story.watching.append(self.loop.create_task(listen()))

    @rule(key=KEYS, process=st.integers(0, 1))
    def board(self, key: str, process: int) -> None:
        """Nobody leads twice; whoever comes while one leads follows."""
        process %= self.processes
        seat = self.run(self.flights[process].board(key))
        story = self.stories.get(key)
        if story is None:
            assert isinstance(seat, Leading)
            assert self.run(seat.lead())
            assert leading(seat.token) is seat
            self.stories[key] = Story(seat, process, processes={process})
        elif process in story.processes:
            assert isinstance(seat, Following)
            self.watch(story, seat)
        else:
            assert isinstance(seat, Leading)
            assert not self.run(seat.lead())
            assert leading(seat.token) is None
            story.processes.add(process)
            self.watch(story, seat.following())
            story.watching.insert(0, story.watching.pop())

    @rule(key=KEYS, pieces=st.lists(st.text(max_size=3), min_size=1, max_size=5))
    def emit(self, key: str, pieces: list[str]) -> None:
        """Pieces, if somebody leads."""
        if key in self.stories:
            for piece in pieces:
                self.stories[key].seat.emit(piece)
            self.stories[key].pieces += pieces
            self.run(asyncio.sleep(0))

    @rule(key=KEYS, which=st.integers(0, 5))
    def go_away(self, key: str, which: int) -> None:
        """A follower is cancelled."""
        story = self.stories.get(key)
        if story is not None:
            kept = len(story.processes) - 1
            going = story.watching[kept:][which : which + 1]
            for task in going:
                task.cancel()
                story.watching.remove(task)
                self.run(asyncio.wait([task]))

    @rule(key=KEYS, how=st.sampled_from(["land", "decline", "abandon", "fail", "hold and land"]))
    def finish(self, key: str, how: str) -> None:
        """The leader comes to an end, of whatever kind."""
        story = self.stories.get(key)
        if story is None:
            return
        seat = story.seat

        def fail() -> None:
            with pytest.raises(KeyError), seat.hold():
                raise KeyError

        def hold_and_land() -> None:
            with seat.hold():
                self.run(asyncio.sleep(0))
            self.run(seat.land(b"result"))

        ends: dict[str, tuple[Event, Any]] = {
            "land": (Landed(b"result"), lambda: self.run(seat.land(b"result"))),
            "decline": (Declined("reason"), lambda: seat.decline("reason")),
            "abandon": (Abandoned(), seat.abandon),
            "fail": (Abandoned(), fail),
            "hold and land": (Landed(b"result"), hold_and_land),
        }
        self.end(key, *ends[how])

    def end(self, key: str, end: Event, act: Any) -> None:
        """Every follower gets all pieces in order and this end; where it is no answer, the pieces may break off."""
        story = self.stories.pop(key)
        type(self).ended += 1
        act()
        assert leading(story.seat.token) is None
        expected = [*map(Piece, story.pieces), end]
        if story.watching:
            done, waiting = self.run(asyncio.wait(story.watching, timeout=PATIENCE))
            assert not waiting
            for task in done:
                told = task.result()
                assert told[-1] == end
                assert told[:-1] == expected[: len(told) - 1]
                assert told == expected or not isinstance(end, Landed)
        settled = self.run(self.flights[story.process].board(key))
        assert isinstance(settled, Leading)
        assert self.run(settled.lead())  # what the end still had to tell the board is told
        settled.decline("only looking")
        again = self.run(self.flights[story.process].board(key))
        assert self.run(again.lead())
        self.run(again.land(b""))


class SQLiteFlightsMachine(FlightsMachine):
    """Two processes over a file."""

    processes = 2

    def open(self) -> list[Flights]:
        """Each with a board of its own on the same file."""
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "board.sqlite3"
        return [Flights(SQLiteBoard(path), lease_seconds=60) for _ in range(2)]

    def teardown(self) -> None:
        """Delete the file."""
        super().teardown()
        self.folder.cleanup()


class RedisFlightsMachine(FlightsMachine):
    """Two processes over a real Redis."""

    processes = 2
    url: ClassVar[str]

    def open(self) -> list[Flights]:
        """Each with a connection of its own."""
        connections = [RedisConnection(self.url, "flights:", timeout_seconds=PATIENT) for _ in range(2)]
        return [Flights(RedisBoard(connection), lease_seconds=60) for connection in connections]


@pytest.mark.parametrize("steps", [20, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("machine", [FlightsMachine, SQLiteFlightsMachine, RedisFlightsMachine])
def test_every_story_ends_well(machine: type[FlightsMachine], steps: int, redis_url: str) -> None:
    """Protects from two leaders of a key, followers that wait for ever, and pieces out of order or missing."""
    RedisFlightsMachine.url = redis_url
    examples = (3 if machine.processes == 1 else 1) * steps
    machine.ended = 0
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))
    assert machine.ended > 0
