"""What a leader's process tells the others: it holds the lease, writes the pieces, and the end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from enum import Enum
from typing import Any

from freehold.coordination.board import Board
from freehold.coordination.events import Declined, End, Landed, pack
from freehold.coordination.flight import Flight
from freehold.errors import StorageError

__all__ = ["Publisher"]

_log = logging.getLogger(__name__)

_BATCH_SECONDS = 0.01
_MOST_BYTES = 4 * 2**20  # of the last event: a result is encoded text of at most `MOST_CHARACTERS`


class _Lease(Enum):
    NONE = "was not asked for"
    HELD = "is held"
    UNKNOWN = "the board failed; when it is back, renewing tells"
    LOST = "another process has it, or it was let go of"


class Publisher:
    """Writes one flight to the board. Everything but `wake` runs on the background loop.

    A board that fails stops nothing: the flight goes on in this process, and what could not be written is written when
    the board is back and the lease still, or again, ours.
    """

    def __init__(
        self,
        board: Board,
        flight: Flight,
        lease_seconds: float,
        keep_seconds: float,
        start: Callable[[Coroutine[Any, Any, Any]], Future[Any]],
    ) -> None:
        self._board = board
        self._flight = flight
        self._token = flight.token
        self._lease_seconds = lease_seconds
        self._keep_seconds = keep_seconds
        self._start = start
        self._lease = _Lease.NONE
        self.asked = False
        """Whether the board was, or is being, asked for the lease: else it knows nothing of this flight."""
        self._sent = 0  # pieces that the board has
        self._turn = asyncio.Lock()  # one call to the board at a time, in order
        self._lock = threading.Lock()
        self._busy = False

    def lead(self) -> Future[str]:
        """Take the lease; the token that leads. Where the board is down, this process leads for itself."""
        self.asked = True  # from here on: whatever ends the flight lets go of the lease
        return self._start(self._lead())

    async def _lead(self) -> str:
        async with self._turn:
            try:
                holder = await self._board.lead(self._flight.key, self._token, self._lease_seconds)
            except StorageError as error:
                _log.debug("The board failed; this process answers for itself: %s", error)
                self._lease, holder = _Lease.UNKNOWN, self._token
            else:
                self._lease = _Lease.HELD if holder == self._token else _Lease.LOST
        self.wake()
        return holder

    async def renew(self) -> None:
        """Hold the lease for another while; where it is lost, the flight goes on in this process alone."""
        async with self._turn:
            if self._lease in (_Lease.NONE, _Lease.LOST):
                return
            key, token, seconds = self._flight.key, self._token, self._lease_seconds
            try:
                if await self._board.renew(key, token, seconds):
                    self._lease = _Lease.HELD
                elif await self._board.lead(key, token, seconds) == token:
                    # It had ended, or the board was emptied, and nobody took it. What was written may be gone.
                    self._lease, self._sent = _Lease.HELD, 0
                else:
                    self._lease = _Lease.LOST
            except StorageError as error:
                _log.debug("The board failed; the lease is renewed when it is back: %s", error)
                self._lease = _Lease.UNKNOWN
        self.wake()

    async def finish(self, end: End) -> None:
        """Write what is left and the end, and let go of the lease."""
        async with self._turn:
            if self._lease in (_Lease.HELD, _Lease.UNKNOWN):
                event = pack(end)
                if len(event) > _MOST_BYTES:
                    event = pack(Declined(f"The result has {len(event)} bytes, too many to share."))
                try:
                    if isinstance(end, Landed):
                        await self._send()
                    await self._board.finish(self._flight.key, self._token, event, self._keep_seconds)
                except StorageError as error:
                    _log.debug("The board failed; other processes will see the lease end: %s", error)
            self._lease = _Lease.LOST

    def wake(self) -> None:
        """There may be pieces to write; from any thread, and does not wait."""
        with self._lock:
            if self._busy or not self._has_work():
                return
            self._busy = True
        self._start(self._write())

    def _has_work(self) -> bool:
        return self._lease is _Lease.HELD and self._flight.end is None and bool(self._flight.since(self._sent))

    async def _write(self) -> None:
        """Write the first piece at once, and then what has come together in the meantime."""
        while True:
            async with self._turn:
                if self._has_work():
                    try:
                        await self._send()
                    except StorageError as error:
                        _log.debug("The board failed; what was said is written when it is back: %s", error)
                        self._lease = _Lease.UNKNOWN
            await asyncio.sleep(_BATCH_SECONDS)
            with self._lock:
                if not self._has_work():
                    self._busy = False
                    return

    async def _send(self) -> None:
        pieces = self._flight.since(self._sent)
        if pieces:
            await self._board.append(self._flight.key, self._token, self._sent, pieces)
            self._sent += len(pieces)
