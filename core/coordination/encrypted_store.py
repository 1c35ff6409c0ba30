"""An answer store whose values only the owner of a key can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from freehold.coordination.sealing import Seal
from freehold.coordination.store import AnswerStore, Keys, Page, StoredValue, Values

__all__ = ["EncryptedStore"]

_BATCH = 100


class EncryptedStore:
    """Values in any other store, encrypted with AES-256-GCM under the name of their key. See `AnswerStore` and `Seal`.

    A value that was changed, or moved under another key, cannot be read. What cannot be read (another encryption key,
    another version, damaged) counts as missing and is never an error; `count` and `clear` count it, because it takes
    room and can be erased. Keys, sizes and times are not hidden, nor are sources in a `MemoryStore`. With a new
    encryption key, what was kept under the old one is simply missing.

    Args:
        store: Where the values lie; closed with this store.
        key: 32 bytes, or these as base64 text, with `+/` or `-_`.

    Raises:
        SettingsError: The key cannot be used.

    Example:
        >>> import os
        >>> from freehold.coordination import MemoryStore
        >>> from freehold.portal import run_sync
        >>> inner = MemoryStore()
        >>> store = EncryptedStore(inner, os.urandom(32))
        >>> run_sync(store.set("key", b"value", ttl_seconds=60))
        >>> run_sync(store.get("key")).value, b"value" in run_sync(inner.get("key")).value
        (b'value', False)
    """

    def __init__(self, store: AnswerStore, key: bytes | str) -> None:
        self._store = store
        self._seal = Seal(key)

    async def get(self, key: str) -> StoredValue | None:
        """The value under this key, or None where there is none that can be read."""
        return self._decrypted(key, await self._store.get(key))

    async def get_many(self, keys: Sequence[str]) -> Values:
        """The values under these keys, in their order; this counts no use."""
        found = await self._store.get_many(keys)
        return [self._decrypted(key, stored) for key, stored in zip(keys, found, strict=True)]

    async def set(self, key: str, value: bytes, ttl_seconds: float, *, sources: Sequence[str] = ()) -> None:
        """Encrypt the value and put it under this key; a `ttl_seconds` of 0 or less removes the key."""
        await self._store.set(key, self._seal.close(value, key), ttl_seconds, sources=sources)

    async def extend(self, key: str, ttl_seconds: float) -> None:
        """Let the key live so long from now, where it is there; 0 or less removes it."""
        await self._store.extend(key, ttl_seconds)

    async def delete(self, *keys: str) -> None:
        """Remove these keys, where they are there."""
        await self._store.delete(*keys)

    async def clear(self, prefix: str = "") -> int:
        """Remove every entry whose key begins so, readable or not; say how many went."""
        return await self._store.clear(prefix)

    async def count(self, prefix: str = "") -> int:
        """How many entries there are whose key begins so, readable or not."""
        return await self._store.count(prefix)

    async def list(self, prefix: str = "", *, limit: int = 100, offset: int = 0) -> Page:
        """Keys that begin so with the values that can be read, the most recently used first; this counts no use."""
        readable: Page = []
        start, size = 0, max(_BATCH, offset + limit)  # a store may walk to each batch from its beginning
        while len(readable) < offset + limit:
            batch = await self._store.list(prefix, limit=size, offset=start)
            for key, stored in batch:
                value = self._decrypted(key, stored)
                if value is not None:
                    readable.append((key, value))
            if len(batch) < size:
                break
            start += size
        return readable[offset : offset + limit]

    async def citing(self, source: str) -> Keys:
        """Keys that were set with this source and are still there."""
        return await self._store.citing(source)

    async def close(self) -> None:
        """Close the store that holds the values."""
        await self._store.close()

    def _decrypted(self, key: str, stored: StoredValue | None) -> StoredValue | None:
        value = None if stored is None else self._seal.open(stored.value, key)
        return None if stored is None or value is None else replace(stored, value=value)
