"""What a follower of a flight is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from freehold.coordination.text import decode, encode

__all__ = ["Abandoned", "Declined", "End", "Event", "Landed", "Piece", "pack", "unpack"]


@dataclass(frozen=True)
class Piece:
    """A piece of the answer, as the leader emitted it."""

    text: str


@dataclass(frozen=True)
class Landed:
    """The leader is done: this is what all share."""

    result: bytes


@dataclass(frozen=True)
class Declined:
    """The leader's run ended with nothing to share: every follower goes ahead on its own, and waits for nobody."""

    reason: str


@dataclass(frozen=True)
class Abandoned:
    """The leader failed, was cancelled or died: board again; one then leads, the others follow from the beginning."""


End: TypeAlias = Landed | Declined | Abandoned
Event: TypeAlias = Piece | End


def pack(end: End) -> bytes:
    """An end as bytes, for a board.

    Example:
        >>> unpack(pack(Landed(b"42")))
        Landed(result=b'42')
    """
    match end:
        case Landed(result):
            return b"L" + result
        case Declined(reason):
            return b"D" + encode(reason)
        case Abandoned():
            return b"A"


def unpack(data: bytes) -> End:
    """The end that `pack` was given; what is of another version counts as abandoned."""
    match data[:1]:
        case b"L":
            return Landed(data[1:])
        case b"D":
            return Declined(decode(data[1:]))
        case _:
            return Abandoned()
