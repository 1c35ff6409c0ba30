"""Where cached answers lie: the contract of every answer store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

__all__ = ["AnswerStore", "Keys", "Page", "StoredValue", "Values"]


@dataclass(frozen=True)
class StoredValue:
    """A value as it was found, with what is known about its use before it was found."""

    value: bytes
    uses: int
    """How often it had been read with `get` before."""
    expires_at: float
    """When its time is over, in seconds since the epoch."""
    used_at: float
    """When it had last been read with `get`, or else set, in seconds since the epoch."""


# Named, because within a store `list` is the method.
Keys: TypeAlias = "list[str]"
Values: TypeAlias = "list[StoredValue | None]"
Page: TypeAlias = "list[tuple[str, StoredValue]]"


@runtime_checkable
class AnswerStore(Protocol):
    """Bytes under keys, each for a time. `tests/coordination/test_stores.py` is the suite that every store passes.

    Every method may be called from any event loop and any thread, any number of times at once, and blocks none of them.
    A store is bounded; what was least recently used goes first. Keys and sources may be any text.

    Raises:
        StorageError: From every method: the store cannot be reached, is damaged, full, or closed.
    """

    async def get(self, key: str) -> StoredValue | None:
        """The value under this key, or None where there is none or its time is over. Reading counts as a use."""
        ...

    async def get_many(self, keys: Sequence[str]) -> Values:
        """The values under these keys, in their order, at once; this counts no use."""
        ...

    async def set(self, key: str, value: bytes, ttl_seconds: float, *, sources: Sequence[str] = ()) -> None:
        """Put the value under this key, over an earlier one; its uses begin at 0 again.

        Args:
            key: The key.
            value: The value.
            ttl_seconds: How long it lives; 0 or less removes the key.
            sources: What it relies on: `citing` finds it by each of these.
        """
        ...

    async def extend(self, key: str, ttl_seconds: float) -> None:
        """Let the key live so long from now, where it is there; 0 or less removes it."""
        ...

    async def delete(self, *keys: str) -> None:
        """Remove these keys, where they are there."""
        ...

    async def clear(self, prefix: str = "") -> int:
        """Remove every entry whose key begins so, and its bytes where they are the store's own; say how many went.

        An empty prefix removes everything that this store holds, and nothing beside it.
        """
        ...

    async def count(self, prefix: str = "") -> int:
        """How many entries whose key begins so can still be read."""
        ...

    async def list(self, prefix: str = "", *, limit: int = 100, offset: int = 0) -> Page:
        """Keys that begin so with their values, the most recently used first; this counts no use."""
        ...

    async def citing(self, source: str) -> Keys:
        """Keys that were set with this source and can still be read."""
        ...

    async def close(self) -> None:
        """Give files, threads and connections back; closing twice is closing once."""
        ...
