"""The leader's seat."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from freehold.coordination.events import Abandoned, Declined, End, Landed
from freehold.coordination.flight import Flight
from freehold.coordination.following import Following
from freehold.coordination.outcome import outcome
from freehold.coordination.publisher import Publisher

__all__ = ["Leading", "Terms"]


@dataclass(frozen=True)
class Terms:
    """What the leaders of one `Flights` have in common."""

    lease_seconds: float
    start: Callable[[Coroutine[Any, Any, Any]], Future[Any]]
    """Start a task of nobody's on the background loop."""
    settling: Callable[[str], Future[Any] | None]
    """What still writes the end of the newest flight of a key to the board."""
    led: Callable[[str, str, str], bool]
    """Whether a key's leader with one token leads, where another token, or the same, holds the lease."""
    handed_over: Callable[[Flight, str], None]
    """The holder of another token leads; the flight follows it from now on."""


class Leading:
    """The seat of whoever answers: take the lease, hold it while you work, emit pieces, and land, decline or abandon.

    `Flights.board` makes it. All of it may be used from any thread and event loop. It is over with the first of `land`,
    `decline` and `abandon`; what comes later changes nothing.
    """

    def __init__(self, flight: Flight, publisher: Publisher | None, terms: Terms) -> None:
        self.key = flight.key
        """What is being answered."""
        self.token = flight.token
        """Its name, as plain text that may lie in a run's state: `leading(token)` finds the seat."""
        self._flight = flight
        self._publisher = publisher
        self._terms = terms
        self._earlier = terms.settling(flight.key)
        self._lock = threading.Lock()
        self._leads = True
        self._holds = 0
        self._deadline = time.monotonic() + terms.lease_seconds
        self._watching: Future[Any] | None = None
        self._watching = terms.start(self._watch())

    async def lead(self) -> bool:
        """Take the lease across processes; True also where there is no board, or it is down.

        False: another process leads. From now on the followers in this process follow that one, and so does the caller,
        by `following()`. Whoever may have landed since the caller looked for an answer has put it where it belongs
        before: look there once more when this gives True.
        """
        try:
            if self._publisher is None:
                holder = self.token
            else:
                if self._earlier is not None:
                    await outcome(self._earlier)  # else the lease looks taken by the leader before
                holder = await outcome(self._publisher.lead())
        except BaseException:
            self.abandon()
            raise
        if self._terms.led(self.key, self.token, holder):
            return self._flight.end != Abandoned()
        with self._lock:
            handing_over, self._leads = self._leads, False
        if handing_over:
            self.dismiss()
            self._terms.handed_over(self._flight, holder)
        return False

    def following(self) -> Following:
        """A follower's seat on the same flight."""
        return Following(self._flight)

    def emit(self, piece: str) -> None:
        """Give a piece of the answer to every follower; it does not wait."""
        if not self._leads:
            return
        if self._flight.add(piece):
            if self._publisher is not None:
                self._publisher.wake()
        else:
            self._end(Declined("The answer is too long to share."))

    async def land(self, result: bytes) -> None:
        """Give the result to every follower and let go of the lease."""
        self._end(Landed(result))
        settling = self._terms.settling(self.key)
        if settling is not None:
            await outcome(settling)

    def decline(self, reason: str) -> None:
        """End without something to share: every follower goes ahead on its own at once, and none waits for another."""
        self._end(Declined(reason))

    def abandon(self) -> None:
        """Give up: exactly one follower, over all processes, takes over."""
        self._end(Abandoned())

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lease while a node of the run works, as often and as nested as you like.

        Leaving by an exception or a cancellation abandons. Leaving otherwise starts the clock: a seat that is not held
        again, landed or declined within the lease counts as abandoned. The clock also starts with boarding.
        """
        with self._lock:
            self._holds += 1
        try:
            yield
        except BaseException:
            self.abandon()
            raise
        finally:
            with self._lock:
                self._holds -= 1
                self._deadline = time.monotonic() + self._terms.lease_seconds

    def dismiss(self) -> None:
        """Stop looking after the lease: the flight has ended, or is another's."""
        if self._watching is not None:
            self._watching.cancel()

    def _end(self, end: End) -> None:
        if self._leads:
            self._flight.finish(end)

    def _left(self) -> float | None:
        """Seconds until it counts as abandoned; None while it is held."""
        with self._lock:
            return None if self._holds else max(0.0, self._deadline - time.monotonic())

    async def _watch(self) -> None:
        """Renew the lease every third of it, and abandon what nobody holds."""
        third = self._terms.lease_seconds / 3
        while self._flight.end is None:
            left = self._left()
            await asyncio.sleep(third if left is None else min(third, left))
            if self._left() == 0:
                self.abandon()
            elif self._publisher is not None:
                # As a task of its own: whoever ends the flight stops the watch, but no renewal in the middle.
                await outcome(self._terms.start(self._publisher.renew()))
