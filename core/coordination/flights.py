"""One flight: what many ask at the same time is answered once."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from freehold.coordination.board import Board
from freehold.coordination.events import Abandoned, Declined, End, Event, Landed, Piece
from freehold.coordination.flight import Flight
from freehold.coordination.following import Following
from freehold.coordination.leading import Leading, Terms
from freehold.coordination.outcome import outcome
from freehold.coordination.publisher import Publisher
from freehold.coordination.reader import read_flight
from freehold.coordination.shared import closed
from freehold.errors import SettingsError
from freehold.portal import run_in_background

__all__ = ["Abandoned", "Declined", "Event", "Flights", "Following", "Landed", "Leading", "Piece", "leading"]

_log = logging.getLogger(__name__)

_LONGEST_LEASE_SECONDS = 60.0
_ON_BOARD = 0.9  # of the lease: the rest is for followers to notice that it has ended
_MOST_PAST = 1_000

_all: WeakSet[Flights] = WeakSet()
_all_lock = threading.Lock()


class Flights:
    """Who asks first leads, and whoever asks the same meanwhile follows: in this process, and over a board in others.

    Callers may be on any event loops and threads. The leader's lease is renewed, and its pieces are written, by tasks
    of nobody's on the background loop, so that no caller's cancellation ends them. Where the board fails, each process
    leads for itself; a Redis that is dead or slow costs its time-out once. A leading process that dies is taken over
    within the lease.

    Args:
        board: What processes tell each other by; None is this process only. Closed with this object.
        lease_seconds: How long a leader that says nothing is waited for.
        keep_seconds: How long the end of a flight can be read on the board.

    Raises:
        SettingsError: The lease is not above 0 and up to 60 seconds.

    Example:
        >>> import asyncio
        >>> async def ask(flights):
        ...     seat = await flights.board("What is 6 times 7?")
        ...     if isinstance(seat, Leading) and await seat.lead():
        ...         with seat.hold():
        ...             await asyncio.sleep(0.01)  # hard work
        ...             seat.emit("42")
        ...         await seat.land(b"42")
        ...         return "led"
        ...     return [event async for event in seat]
        >>> async def both():
        ...     flights = Flights()
        ...     return await asyncio.gather(ask(flights), ask(flights))
        >>> asyncio.run(both())
        ['led', [Piece(text='42'), Landed(result=b'42')]]
    """

    def __init__(self, board: Board | None = None, *, lease_seconds: float = 5.0, keep_seconds: float = 5.0) -> None:
        if not 0 < lease_seconds <= _LONGEST_LEASE_SECONDS:
            raise SettingsError(f"lease_seconds={lease_seconds} cannot be used: give more than 0 and at most 60.")
        self._board = board
        self._board_seconds = lease_seconds * _ON_BOARD
        self._keep_seconds = keep_seconds
        self._lock = threading.RLock()
        self._flights: dict[str, Flight] = {}
        self._seats: dict[str, tuple[Leading | None, Publisher | None]] = {}
        self._settling: dict[str, Future[Any]] = {}
        self._past: dict[str, str] = {}  # by key, the oldest first: the token that led the newest flight that ended
        self._tasks: set[Future[Any]] = set()
        self._closed = False
        self._terms = Terms(lease_seconds, self._start, self._settling.get, self._led, self._handed_over)
        with _all_lock:
            _all.add(self)

    async def board(self, key: str) -> Leading | Following:
        """Take a seat: the leader's where nobody in this process leads this key, else a follower's. No input or output.

        Raises:
            StorageError: The flights are closed.
        """
        with self._lock:
            if self._closed:
                raise closed("the flights")
            flight = self._flights.get(key)
            if flight is not None:
                return Following(flight)
            token, publisher = uuid.uuid4().hex, None
            flight = self._flights[key] = Flight(key, token, self._over)
            if self._board is not None:
                publisher = Publisher(self._board, flight, self._board_seconds, self._keep_seconds, self._start)
            seat = Leading(flight, publisher, self._terms)
            self._seats[token] = seat, publisher
            return seat

    @property
    def shared(self) -> bool:
        """Whether other processes may lead too, and have landed between a look for an answer and the lease."""
        return self._board is not None

    def leading(self, token: str) -> Leading | None:
        """The leader's seat with this token; None where it is over, or was never one of these flights."""
        seat, _ = self._seats.get(token, (None, None))
        return seat

    async def close(self) -> None:
        """Abandon every flight that this process leads, stop following others, and close the board."""
        with self._lock:
            self._closed = True
            flights = list(self._flights.values())
        for flight in flights:
            flight.finish(Abandoned())
        for task in list(self._tasks):
            with suppress(CancelledError):
                await outcome(task)
        if self._board is not None:
            await self._board.close()

    def _start(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        task = run_in_background(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("A task of the flights failed.", exc_info=error)

    def _over(self, flight: Flight, end: End) -> None:
        """A flight ends: the next one who boards its key leads."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
            seat, publisher = self._seats.pop(flight.token, (None, None))
            self._remember(flight.key, flight.token)
            if seat is not None:
                seat.dismiss()
            if publisher is not None and publisher.asked:
                settling = self._settling[flight.key] = self._start(publisher.finish(end))
                settling.add_done_callback(lambda done: self._settled(flight.key, done))

    def _remember(self, key: str, token: str) -> None:
        self._past.pop(key, None)
        self._past[key] = token
        if len(self._past) > _MOST_PAST:
            del self._past[next(iter(self._past))]

    def _settled(self, key: str, settling: Future[Any]) -> None:
        with self._lock:
            if self._settling.get(key) is settling:
                del self._settling[key]

    def _led(self, key: str, token: str, holder: str) -> bool:
        """Whether a leader leads where this token holds the lease: its own, or one that is known to be past.

        A lease of a leader that ended, or that could not be followed, tells nothing: it ends by itself.
        """
        with self._lock:
            return holder in (token, self._past.get(key, ""))

    def _handed_over(self, flight: Flight, token: str) -> None:
        with self._lock:
            self._seats.pop(flight.token, None)
        if flight.since(0) or self._board is None:
            flight.finish(Abandoned())  # its leader spoke before it had the lease: no other answer can follow that
            return
        flight.token = token
        self._start(read_flight(self._board, flight))


def leading(token: str) -> Leading | None:
    """The leader's seat with this token, of whichever `Flights` of this process; None where there is none."""
    with _all_lock:
        everywhere = list(_all)
    return next((seat for flights in everywhere if (seat := flights.leading(token)) is not None), None)
