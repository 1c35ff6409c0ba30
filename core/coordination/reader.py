"""The one reader of a flight that another process leads."""

from __future__ import annotations

import logging

from freehold.coordination.board import Board, Finished, Pieces, Vacant
from freehold.coordination.events import Abandoned, unpack
from freehold.coordination.flight import Flight
from freehold.errors import StorageError

__all__ = ["read_flight"]

_log = logging.getLogger(__name__)

_WAIT_SECONDS = 0.05  # a board that hangs is noticed after this and its time-out


async def read_flight(board: Board, flight: Flight) -> None:
    """Give this process' followers what the process that leads it writes to the board, until it ends.

    A lease that is over without an end, a board that fails, and pieces that are missing end it as abandoned.
    """
    position, got = "", 0
    try:
        while flight.end is None:
            entries, position = await board.follow(flight.key, flight.token, position, _WAIT_SECONDS)
            for entry in entries:
                match entry:
                    case Pieces(first, texts) if first <= got:
                        for text in texts[got - first :]:
                            flight.add(text)
                        got = max(got, first + len(texts))
                    case Finished(event):
                        flight.finish(unpack(event))
                    case Pieces() | Vacant():
                        return
    except StorageError as error:
        _log.debug("The board failed; who follows here goes on by itself: %s", error)
    finally:
        flight.finish(Abandoned())
