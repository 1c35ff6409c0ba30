"""One flight in this process: what its leader has said so far, and who waits for more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from freehold.coordination.events import End, Event, Piece

__all__ = ["Flight"]

MOST_PIECES = 8_192
MOST_CHARACTERS = 2**20


class Flight:
    """Pieces in order and then one end, for any number of followers on any event loops.

    Args:
        key: What is being answered.
        token: Names its leader in this process.
        ended: Called once, before anybody is told of the end.
    """

    def __init__(self, key: str, token: str, ended: Callable[[Flight, End], None]) -> None:
        self.key = key
        self.token = token
        """Names whoever leads it, here or in another process."""
        self.end: End | None = None
        self._ended = ended
        self._over = False
        self._lock = threading.Lock()
        self._pieces: list[str] = []
        self._characters = 0
        # One event for all followers on a loop: a piece wakes each loop once, and a follower that goes disturbs nobody.
        self._waiting: dict[asyncio.AbstractEventLoop, asyncio.Event] = {}

    def add(self, piece: str) -> bool:
        """Give a piece to the followers; False where there is no room for it, or the flight has ended."""
        with self._lock:
            full = len(self._pieces) >= MOST_PIECES or self._characters + len(piece) > MOST_CHARACTERS
            if full or self._over:
                return False
            self._pieces.append(piece)
            self._characters += len(piece)
        self._wake()
        return True

    def finish(self, end: End) -> bool:
        """End it; False where it has ended before, and nothing changes."""
        with self._lock:
            if self._over:
                return False
            self._over = True
        try:
            self._ended(self, end)  # before the followers learn of it: who boards again then finds another flight
        finally:
            with self._lock:
                self.end = end
            self._wake()
        return True

    def since(self, position: int) -> list[str]:
        """The pieces behind so many."""
        with self._lock:
            return self._pieces[position:]

    def next(self, position: int) -> Event | asyncio.Event:
        """What comes behind so many pieces; where nothing has come yet, what tells the running loop of the next."""
        with self._lock:
            if position < len(self._pieces):
                return Piece(self._pieces[position])
            if self.end is not None:
                return self.end
            return self._waiting.setdefault(asyncio.get_running_loop(), asyncio.Event())

    def _wake(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for loop, event in waiting.items():
            with suppress(RuntimeError):  # a loop that is closed has no followers any more
                loop.call_soon_threadsafe(event.set)
