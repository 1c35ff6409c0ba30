"""A board whose pieces and ends only the owner of a key can read."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from freehold.coordination.board import Board, Entry, Finished, Pieces, Vacant
from freehold.coordination.sealing import Seal

__all__ = ["EncryptedBoard"]


class EncryptedBoard:
    """What flights write to any other board, encrypted. See `Board`, and `EncryptedStore` for how.

    Only processes with the same key share flights: the leases of others are others. What cannot be read counts as a
    leader that died.

    Args:
        board: Where it lies; closed with this board.
        key: 32 bytes, or these as base64 text.

    Raises:
        SettingsError: The key cannot be used.

    Example:
        >>> from freehold.coordination import SQLiteBoard
        >>> board = EncryptedBoard(SQLiteBoard(tmp_path / "cache.sqlite"), bytes(range(32)))
    """

    def __init__(self, board: Board, key: bytes | str) -> None:
        self._board = board
        self._seal = Seal(key)

    async def lead(self, key: str, token: str, lease_seconds: float) -> str:
        """Take the lease where it is free; the token that holds it now."""
        return await self._board.lead(self._inner(key), token, lease_seconds)

    async def renew(self, key: str, token: str, lease_seconds: float) -> bool:
        """Hold the lease so long from now; False where this token does not hold it any more."""
        return await self._board.renew(self._inner(key), token, lease_seconds)

    async def append(self, key: str, token: str, first: int, pieces: Sequence[str]) -> None:
        """Write pieces of the answer, of which so many came before."""
        sealed = self._seal.close(json.dumps(list(pieces)).encode(), f"{token} {first} {key}")
        await self._board.append(self._inner(key), token, first, [base64.b64encode(sealed).decode()])

    async def finish(self, key: str, token: str, event: bytes, keep_seconds: float) -> None:
        """Write the last event and, at once with it, let go of the lease where this token holds it."""
        sealed = self._seal.close(event, f"{token} end {key}")
        await self._board.finish(self._inner(key), token, sealed, keep_seconds)

    async def follow(self, key: str, token: str, after: str, wait_seconds: float) -> tuple[list[Entry], str]:
        """What this token wrote since a position, and the position behind it."""
        entries, position = await self._board.follow(self._inner(key), token, after, wait_seconds)
        return [self._read(key, token, entry) for entry in entries], position

    async def close(self) -> None:
        """Close the board that holds it."""
        await self._board.close()

    def _inner(self, key: str) -> str:
        return f"{self._seal.name} {key}"

    def _read(self, key: str, token: str, entry: Entry) -> Entry:
        match entry:
            case Pieces(first, (text,)):
                pieces = self._seal.open(_bytes(text), f"{token} {first} {key}")
                return Vacant() if pieces is None else Pieces(first, tuple(json.loads(pieces)))
            case Finished(sealed):
                event = self._seal.open(sealed, f"{token} end {key}")
                return Vacant() if event is None else Finished(event)
            case _:
                return Vacant()


def _bytes(text: str) -> bytes:
    """What was written as base64; nothing where it was not."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
