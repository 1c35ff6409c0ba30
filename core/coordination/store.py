"""Where cached answers lie: the contract of every answer store."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["AnswerStore"]


@runtime_checkable
class AnswerStore(Protocol):
    """Bytes under keys, each for a time. `tests/coordination/test_stores.py` is the suite that every store passes.

    Every method may be called from any event loop and any thread, any number of times at once, and blocks none of them.

    Raises:
        StorageError: From every method: the store cannot be reached, is damaged, full, or closed.
    """

    async def get(self, key: str) -> bytes | None:
        """The value under this key, or None where there is none or its time is over. Reading counts as a use."""
        ...

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Put the value under this key, over an earlier one; a `ttl_seconds` of 0 or less removes the key."""
        ...

    async def delete(self, key: str) -> None:
        """Remove this key, where it is there."""
        ...

    async def clear(self, prefix: str = "") -> int:
        """Remove every entry whose key begins so, and its bytes where they are the store's own; say how many went.

        An empty prefix removes everything that this store holds, and nothing beside it.
        """
        ...

    async def count(self) -> int:
        """How many entries can still be read."""
        ...

    async def close(self) -> None:
        """Give files, threads and connections back; closing twice is closing once."""
        ...
