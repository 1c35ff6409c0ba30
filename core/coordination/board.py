"""Where processes tell each other what they are answering: the contract of every board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

__all__ = ["Board", "Entry", "Finished", "Pieces", "Vacant"]

PIECES_SECONDS = 300
"""How long a board keeps the pieces of a leader that says nothing more."""


@dataclass(frozen=True)
class Pieces:
    """Pieces of the answer, in order."""

    first: int
    """How many came before them: a leader that is not sure whether a write arrived writes it again."""
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """The last event, as the leader gave it."""

    event: bytes


@dataclass(frozen=True)
class Vacant:
    """The lease is over, or somebody else's, and the leader has not finished: it died, or lost touch."""


Entry: TypeAlias = Pieces | Finished | Vacant


@runtime_checkable
class Board(Protocol):
    """Leases by key, each with what its holder wrote. A holder is known by a token that nobody else has.

    At most one token holds the lease of a key at a time. What a holder writes lies under its token, so that one that
    lost its lease cannot disturb the next. Everything goes by itself after a time.
    Every method may be called from any event loop and any thread, any number of times at once, and blocks none of them.
    `tests/coordination/test_boards.py` is the suite that every board passes.

    Raises:
        StorageError: From every method: the board cannot be reached, is damaged, full, or closed.
    """

    async def lead(self, key: str, token: str, lease_seconds: float) -> str:
        """Take the lease where it is free; the token that holds it now."""
        ...

    async def renew(self, key: str, token: str, lease_seconds: float) -> bool:
        """Hold the lease so long from now; False where this token does not hold it any more."""
        ...

    async def append(self, key: str, token: str, first: int, pieces: Sequence[str]) -> None:
        """Write pieces of the answer, of which so many came before."""
        ...

    async def finish(self, key: str, token: str, event: bytes, keep_seconds: float) -> None:
        """Write the last event and, at once with it, let go of the lease where this token holds it."""
        ...

    async def follow(self, key: str, token: str, after: str, wait_seconds: float) -> tuple[list[Entry], str]:
        """What this token wrote since a position, and the position behind it.

        Args:
            key: The key.
            token: Whose lease and writing.
            after: What an earlier call gave; "" is the beginning.
            wait_seconds: How long to wait for something; then the list is empty.
        """
        ...

    async def close(self) -> None:
        """Give files, threads and connections back; closing twice is closing once."""
        ...
