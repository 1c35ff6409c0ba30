"""A follower's seat."""

from __future__ import annotations

import asyncio
from typing import Self

from freehold.coordination.events import Event, Piece
from freehold.coordination.flight import Flight

__all__ = ["Following"]


class Following:
    """All pieces of a flight from its beginning on, and then one end: `Landed`, `Declined` or `Abandoned`.

    Iterate over it once, on any event loop. Going away in the middle disturbs nobody.
    """

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._position = 0
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._over:
            raise StopAsyncIteration
        while isinstance(found := self._flight.next(self._position), asyncio.Event):
            await found.wait()
        if isinstance(found, Piece):
            self._position += 1
        else:
            self._over = True
        return found
