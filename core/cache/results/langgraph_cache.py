"""LangGraph's node cache on an answer store."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TypeVar

from langgraph.cache.base import BaseCache, FullKey, Namespace
from langgraph.checkpoint.serde.base import SerializerProtocol

from freehold import metrics
from freehold.cache.results.packed import pack, unpack
from freehold.cache.results.seldom import SeldomWarning
from freehold.coordination import AnswerStore
from freehold.errors import SettingsError
from freehold.portal import run_sync

__all__ = ["LangGraphCache"]

ValueT = TypeVar("ValueT")

_log = logging.getLogger(__name__)

# A synchronous graph that runs on the background loop keeps that loop, for which its cache would wait for ever.
_MOST_SECONDS = 2.0


class LangGraphCache(BaseCache[ValueT]):
    """What nodes with a `CachePolicy` wrote, kept in any `AnswerStore`: `graph.compile(cache=LangGraphCache(store))`.

    A run looks for all of a step's nodes in one round trip, and its event loop is never blocked; a synchronous graph
    waits on the background loop. Nothing that happens here ends a run: a store that is down, slow or cannot be waited
    for, and a value that another version wrote, are misses, and what cannot be serialised is not kept. Lookups are
    counted in `freehold_cache_lookups_total` under the tier `langgraph`, and a warning of each kind is logged once a
    minute.

    LangGraph decides what is looked for, and when: equal tasks of one step are not run once, and events that a node
    streams are lost on a hit. `freehold.nodes.cached` has neither limit. The key that LangGraph makes of an input holds
    random message ids: give `chat_policy()`.

    Args:
        store: Where the values lie; closed by whoever opened it.
        ttl_seconds: How long a value lives whose policy names no time.
        prefix: In front of every key in the store: another one finds nothing of what was kept before.
        serde: Makes bytes of values; None is LangGraph's `JsonPlusSerializer`.

    Raises:
        SettingsError: `ttl_seconds` is not above 0, or the prefix is empty.

    Example:
        >>> from freehold.coordination import MemoryStore
        >>> cache = LangGraphCache(MemoryStore())
        >>> cache.set({(("nodes",), "key"): ("In the shed.", 60)})
        >>> cache.get([(("nodes",), "key"), (("nodes",), "another")])
        {(('nodes',), 'key'): 'In the shed.'}
    """

    def __init__(
        self,
        store: AnswerStore,
        *,
        ttl_seconds: float = 86_400.0,
        prefix: str = "langgraph:",
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde)
        if not ttl_seconds > 0:
            raise SettingsError(f"ttl_seconds={ttl_seconds} cannot be used: give more than 0.")
        if not prefix:
            raise SettingsError("prefix='' cannot be used: clearing this cache would then empty the whole store.")
        self.store = store
        self.ttl_seconds = ttl_seconds
        self.prefix = prefix
        self._warn = SeldomWarning(_log)

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        """The values that are there, under their keys."""
        if not keys:
            return {}
        names = [self._name(*key) for key in keys]
        try:
            # Reading one counts as a use, which keeps it; the store has no way to count the uses of many.
            found = [await self.store.get(names[0])] if len(names) == 1 else await self.store.get_many(names)
        except Exception as error:  # noqa: BLE001 - a store that is down is a miss
            self._warn("The node cache does not answer, and the nodes run: %s", error)
            metrics.cache_lookups().labels("langgraph", "error").inc(len(keys))
            return {}
        values: dict[FullKey, ValueT] = {}
        for key, stored in zip(keys, found, strict=True):
            value = unpack(self.serde, stored.value) if stored is not None else None
            metrics.cache_lookups().labels("langgraph", "hit" if value else "miss").inc()
            if value:
                values[key] = value[0]
        return values

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        """Keep the values, each for its own time, or for this cache's."""
        try:
            packed = {
                self._name(*key): (pack(self.serde, value), self.ttl_seconds if ttl is None else float(ttl))
                for key, (value, ttl) in pairs.items()
            }
            await asyncio.gather(*(self.store.set(name, data, ttl) for name, (data, ttl) in packed.items()))
        except Exception as error:  # noqa: BLE001 - a run does not end because its result cannot be kept
            self._warn("What a node wrote is not kept: %s", error)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Remove what lies in these namespaces, or everything that this cache keeps.

        Raises:
            StorageError: The store cannot be reached.
        """
        prefixes = [self.prefix] if namespaces is None else [self._name(namespace, "") for namespace in namespaces]
        for prefix in prefixes:
            await self.store.clear(prefix)

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        """As `aget`, for synchronous graphs."""
        try:
            return run_sync(self.aget(keys), _MOST_SECONDS)
        except (RuntimeError, TimeoutError) as error:
            self._warn("The node cache cannot be asked here, and the nodes run: %s", error or "it took too long")
            metrics.cache_lookups().labels("langgraph", "error").inc(len(keys))
            return {}

    def set(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        """As `aset`, for synchronous graphs."""
        try:
            run_sync(self.aset(pairs), _MOST_SECONDS)
        except (RuntimeError, TimeoutError) as error:
            self._warn("What a node wrote is not kept: %s", error or "it took too long")

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """As `aclear`, for synchronous callers."""
        run_sync(self.aclear(namespaces))

    def _name(self, namespace: Namespace, key: str) -> str:
        """The key in the store. As JSON no namespace begins like another, so each can be cleared by itself."""
        return f"{self.prefix}{json.dumps(namespace, separators=(',', ':'))}{key}"
