"""Results that are worked out once: kept in a store, and shared with whoever asks for the same meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from freehold import metrics
from freehold.cache.results.seldom import SeldomWarning
from freehold.coordination import AnswerStore, Flights
from freehold.coordination.flights import Abandoned, Declined, Following, Landed, Leading, Piece
from freehold.errors import StorageError

__all__ = ["Call", "Got", "Made", "SharedResults"]

R = TypeVar("R")

_log = logging.getLogger(__name__)

_working: ContextVar[frozenset[str]] = ContextVar("freehold_working", default=frozenset())
"""What is being worked out around here: asked for the same again inside of it, a call would wait for itself."""


@dataclass(frozen=True)
class Made(Generic[R]):
    """A result that was worked out just now."""

    result: R
    data: bytes | None
    """What is kept of it and given to the others; None where it is this call's own."""
    reason: str = ""
    """Why it is this call's own."""


@dataclass(frozen=True)
class Got(Generic[R]):
    """A result, and where it came from."""

    result: R
    how: Literal["made", "hit", "followed"]


@dataclass(frozen=True)
class Call(Generic[R]):
    """What is asked for, and how to work it out."""

    key: str
    make: Callable[[Callable[[str], None]], Awaitable[Made[R]]]
    """Works it out; what it emits goes to those who follow."""
    read: Callable[[bytes], R | None]
    """Reads what was kept; None where it cannot be read."""
    ttl_seconds: float
    source: str
    """The name under which everything of its kind is found."""
    hear: Callable[[str], Awaitable[None]] | None = None
    """Is given what the one emits whom this call follows."""
    own: tuple[type[BaseException], ...] = ()
    """Errors after which all who follow go on by themselves at once; after any other one of them takes over."""


class SharedResults:
    """Gives a result from the store, from a call that works it out at the moment, or works it out.

    A store that is down is a miss, and a warning of each kind is logged once a minute. A call that is cancelled or
    fails hands over to one of those who follow it; after an error of `Call.own`, which every run would meet, all go on
    by themselves. An error is its own caller's alone.

    Args:
        store: Where results lie.
        flights: Brings equal calls together; None is flights of this object's own.
        tier: The tier in `freehold_cache_lookups_total`.

    Example:
        >>> from freehold.coordination import MemoryStore
        >>> from freehold.portal import run_sync
        >>> async def make(emit):
        ...     return Made("42", b"42")
        >>> results = SharedResults(MemoryStore(), None, tier="node")
        >>> call = Call("6 * 7", make, bytes.decode, ttl_seconds=60, source="sums")
        >>> [run_sync(results.get(call)).how for _ in range(2)]
        ['made', 'hit']
    """

    def __init__(self, store: AnswerStore, flights: Flights | None, *, tier: str) -> None:
        self.store = store
        self._flights = Flights() if flights is None else flights
        self._tier = tier
        self._warn = SeldomWarning(_log)

    async def get(self, call: Call[R]) -> Got[R]:
        """The result, from wherever it comes.

        Raises:
            Exception: What working it out raised.
        """
        found, outcome = await self._read(call)
        while found is None:
            seat = await self._board(call.key)
            if isinstance(seat, Leading):
                if await seat.lead():
                    return await self._lead(seat, call, outcome)
                seat = seat.following()
            ended = await self._follow(seat, call) if seat is not None else None
            if isinstance(ended, Landed) and (result := call.read(ended.result)) is not None:
                self._count("followed")
                return Got(result, "followed")
            if not isinstance(ended, Abandoned):
                return await self._alone(call, outcome)
            found, outcome = await self._read(call)
        self._count("hit")
        return Got(found[1], "hit")

    async def clear(self, source: str) -> int:
        """Remove everything of a kind; say how much it was.

        Raises:
            StorageError: The store cannot be reached.
        """
        keys = await self.store.citing(source)
        if keys:
            await self.store.delete(*keys)
        return len(keys)

    async def _read(self, call: Call[R]) -> tuple[tuple[bytes, R] | None, Literal["miss", "error"]]:
        try:
            stored = await self.store.get(call.key)
        except Exception as error:  # noqa: BLE001 - a store that is down is a miss
            self._warn("The cache does not answer, and what was asked of it is worked out: %s", error)
            return None, "error"
        result = call.read(stored.value) if stored is not None else None
        return (None if stored is None or result is None else (stored.value, result)), "miss"

    async def _board(self, key: str) -> Leading | Following | None:
        """A seat; None where nobody can be followed."""
        if key in _working.get():
            return None
        try:
            return await self._flights.board(key)
        except StorageError as error:
            self._warn("The flights are closed, so each call works for itself: %s", error)
            return None

    async def _lead(self, seat: Leading, call: Call[R], outcome: str) -> Got[R]:
        with seat.hold():
            # Whoever led before may have landed since; a store that has just failed is not asked again.
            found = None if outcome == "error" else (await self._read(call))[0]
            if found is not None:
                await seat.land(found[0])
                self._count("hit")
                return Got(found[1], "hit")
            self._count(outcome)
            around = _working.set(_working.get() | {call.key})
            try:
                made = await call.make(seat.emit)
            except call.own:
                seat.decline("It failed, and the others go on by themselves.")
                raise
            finally:
                _working.reset(around)
            if made.data is None:
                seat.decline(made.reason)
            else:
                await self._keep(call, made.data)
                await seat.land(made.data)
        return Got(made.result, "made")

    async def _follow(self, seat: Following, call: Call[R]) -> Landed | Declined | Abandoned:
        async for event in seat:
            if not isinstance(event, Piece):
                return event
            if call.hear is not None:
                await call.hear(event.text)
        return Abandoned()

    async def _alone(self, call: Call[R], outcome: str) -> Got[R]:
        self._count(outcome)
        made = await call.make(lambda _: None)
        if made.data is not None:
            await self._keep(call, made.data)
        return Got(made.result, "made")

    async def _keep(self, call: Call[R], data: bytes) -> None:
        try:
            await self.store.set(call.key, data, call.ttl_seconds, sources=(call.source,))
        except Exception as error:  # noqa: BLE001 - a result is not lost because it cannot be kept
            self._warn("A result cannot be kept: %s", error)

    def _count(self, outcome: str) -> None:
        metrics.cache_lookups().labels(self._tier, outcome).inc()
