"""Keeping a cache in order: what its owner sees, and what goes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace

from freehold import metrics
from freehold.cache.answer import CachedAnswer, decode
from freehold.cache.entries import Entry
from freehold.cache.lookups import Lookups, Parts
from freehold.cache.situation import Situation, digest
from freehold.context import Context
from freehold.coordination.ledger import Ledger
from freehold.errors import CacheEntryError

__all__ = ["Upkeep"]

_CHANGES, _CHANGES_VERSION = "changes.", 1
_CHANGES_SECONDS = 90 * 24 * 3600.0
_PAGE = 200


class Upkeep:
    """The part of `ResponseCache` that lists, inspects, erases and quarantines."""

    _parts: Parts
    _lookups: Lookups
    _ledger: Ledger | None

    async def drop(self, *keys: str) -> None:
        """Remove the entries under these keys, and their questions."""
        await self._lookups.drop(*keys)

    async def drop_sources(self, sources: Iterable[str]) -> int:
        """Documents changed or went: erase every answer that cites one of them; say how many.

        Raises:
            StorageError: The store cannot be read; then each answer is checked before it is served.
        """
        dropped = 0
        for source in sources:
            keys = await self._parts.tiers.store.citing(digest(source))
            if keys:
                await self.drop(*keys)
                await self._note_change(source)
                dropped += len(keys)
        if dropped:
            metrics.cache_stale().inc(dropped)
            await self._parts.tally.add(stale=dropped)
        return dropped

    async def forget(self, context: Context) -> int:
        """Erase every answer and every question of a user, whichever agent asked; say how many answers went.

        Answers that a whole tenant shares do not say whose question they were written for; all of the tenant's go. A
        call that was interrupted is completed by the next one.

        Raises:
            StorageError: Something could not be erased: unlike a lookup, its owner must know.
        """
        own = Situation(model="", tenant=context.tenant, user_id=context.user_id).owner
        everybodys = Situation(model="", tenant=context.tenant, user_id="").owner
        tiers, erased = self._parts.tiers, 0
        try:
            if self._parts.index is not None:
                await self._parts.index.forget(own, everybodys)
        finally:
            for owner in (own, everybodys):
                tiers.memory.clear(f"{owner}.")
                erased += await tiers.store.clear(f"{owner}.")
                tiers.memory.clear(f"{owner}.")  # who asked meanwhile had it read anew
        return erased

    async def clear(self) -> int:
        """Remove every answer, and what was counted and learned; say how many answers went.

        Raises:
            StorageError: The cache could not be cleared: unlike a lookup, its owner must know.
        """
        self._parts.tiers.memory.clear()
        if self._parts.index is not None:
            await self._parts.index.clear()
        self._parts.tally.clear()
        await self._parts.strategy.clear()
        # The store before the ledger: in one file with it, each writes the whole file anew.
        erased = await self._parts.tiers.store.clear()
        if self._ledger is not None:
            await self._ledger.clear()
        self._parts.tiers.memory.clear()  # who asked meanwhile had it read anew
        return erased

    async def count(self) -> int:
        """How many entries are kept: answers, and questions that were served another one's.

        Raises:
            StorageError: The cache cannot be read.
        """
        store = self._parts.tiers.store
        return await store.count() - await store.count(_CHANGES)

    async def entries(self, *, limit: int = 100, offset: int = 0) -> list[Entry]:
        """Answers that are kept, the most recently used first.

        Raises:
            StorageError: The cache cannot be read.
        """
        found: list[Entry] = []
        start, size = 0, max(_PAGE, offset + limit)  # a store may walk to each page from its beginning
        while len(found) < offset + limit:
            page = await self._parts.tiers.store.list(limit=size, offset=start)
            for key, stored in page:
                value = decode(stored.value)
                if isinstance(value, CachedAnswer):
                    found.append(Entry.of(key, stored, value))
            start += size
            if len(page) < size:
                break
        return found[offset : offset + limit]

    async def entry(self, name: str) -> Entry:
        """The entry of this key or id.

        Raises:
            CacheEntryError: There is none, or several have ids that begin so.
            StorageError: The cache cannot be read.
        """
        key = await self._key(name)
        (stored,) = await self._parts.tiers.store.get_many([key])
        value = decode(stored.value) if stored is not None else None
        if stored is None or not isinstance(value, CachedAnswer):
            raise CacheEntryError(f"The cache holds no answer {name!r}; `freehold cache list` shows those there are.")
        comparisons, same = await self._parts.strategy.compared(key)
        return replace(Entry.of(key, stored, value), comparisons=comparisons, same=same)

    async def _stayed(self, sources: Iterable[str]) -> float | None:
        """Seconds that the document which changes most last stayed the same; None where none changed twice."""
        keys = [_CHANGES + digest(source) for source in sources]
        if not keys:
            return None
        try:
            notes = await self._parts.tiers.store.get_many(keys)
        except Exception:  # noqa: BLE001 - the tiers say so when the answer is written
            return None
        stayed = [_change(note.value).get("stayed") for note in notes if note is not None]
        return min((seconds for seconds in stayed if seconds is not None), default=None)

    async def _quarantine(self, key: str, *, wrong: bool, doubted: bool = False) -> bool:
        tiers = self._parts.tiers
        (stored,) = await tiers.store.get_many([key])
        value = decode(stored.value) if stored is not None else None
        if stored is None or not isinstance(value, CachedAnswer):
            tiers.memory.drop(key)
            return False
        marked = replace(value, quarantined=wrong, doubted=wrong and doubted)
        left = stored.expires_at - time.time()
        tiers.memory.put(key, marked, ttl_seconds=left, size=len(stored.value))
        await tiers.store.set(key, marked.encode(), left, sources=[*map(digest, value.sources)])
        return True

    async def _key(self, name: str) -> str:
        """The key of an entry that is named by its key or by the beginning of its id."""
        if "." in name:
            return name
        matching = [
            one.key for one in await self.entries(limit=10**6) if name and one.key.rpartition(".")[2].startswith(name)
        ]
        if len(matching) != 1:
            problem = f"{len(matching)} answers have ids that begin with" if matching else "The cache holds no answer"
            raise CacheEntryError(f"{problem} {name!r}; `freehold cache list` shows those there are.")
        return matching[0]

    async def _note_change(self, source: str) -> None:
        """Remember when a document that answers cite changed, and how long it had stayed the same."""
        key, now = _CHANGES + digest(source), time.time()
        (before,) = await self._parts.tiers.store.get_many([key])
        at = _change(before.value).get("at") if before is not None else None
        note = {"version": _CHANGES_VERSION, "at": now, "stayed": now - at if at is not None else None}
        await self._parts.tiers.store.set(key, json.dumps(note).encode(), _CHANGES_SECONDS)


def _change(note: bytes) -> dict[str, float | None]:
    """What a note of a change says; nothing where it is damaged, or of another version."""
    try:
        found = json.loads(note)
        if found.pop("version") != _CHANGES_VERSION:
            return {}
        return {name: float(value) if value is not None else None for name, value in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
