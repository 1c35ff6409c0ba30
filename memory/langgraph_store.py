"""LangGraph's store on Qdrant: what an agent remembers across threads, found by key, by field and by meaning."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from langgraph.store.base import BaseStore, IndexConfig, Op, Result, TTLConfig, ensure_embeddings

from freehold.errors import FreeholdError, StorageError, UserError
from freehold.memory.store_plan import Batch, clean, read_batch
from freehold.memory.store_sweeper import Sweeper

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from qdrant_client import QdrantClient

__all__ = ["QdrantStore"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_SWEEP_SECONDS = 60.0
_SWEEP_MINUTES = 5.0


class QdrantStore(BaseStore):
    """A `BaseStore` whose items are points of one Qdrant collection: embedded, or on a server.

    It answers as LangGraph's `InMemoryStore` does, operation by operation and in the same order, and keeps what it is
    given. Within a batch every read sees the state before it, of several puts of a key the last one counts, and what
    is put is stored in one request. All texts of a batch are embedded in one call. An item with several indexed texts
    scores as its best one (cosine similarity). docs/store.md lists where the two differ.

    Items may expire: `ttl` in minutes, as in LangGraph's SQLite and PostgreSQL stores. Safe to use from several threads
    and event loops; the `a...` methods never block the loop.

    Args:
        client: An `EdgeQdrantClient`, or a client of a Qdrant server. It is shared, and stays open on `close`.
        index: What is found by meaning: `embed`, `fields` (default `["$"]`, the whole value) and `dims`, which may be
            left out where `embed` has a `dimension`. None: nothing is embedded, and a `query` is ignored.
        ttl: `default_ttl`, `refresh_on_read` (default True), `sweep_interval_minutes`, which starts a thread, and
            `omit_expired`, which here is True unless you say otherwise: what has expired is not found any more.
        collection: Name of the collection, made where it is missing.

    Raises:
        UserError: `index` or `ttl` cannot be used; from every method, a value is not JSON or a filter is wrong.
        StorageError: The collection was made with another index; from every method, the store failed or is closed.

    Example:
        >>> from freehold.memory import EdgeQdrantClient
        >>> client = EdgeQdrantClient(tmp_path / "qdrant")
        >>> store = QdrantStore(client)
        >>> store.put(("users", "ada"), "tea", {"likes": "green tea"})
        >>> store.get(("users", "ada"), "tea").value
        {'likes': 'green tea'}
        >>> store.close()
        >>> client.close()
    """

    supports_ttl = True

    def __init__(
        self,
        client: QdrantClient,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        collection: str = "store",
    ) -> None:
        from freehold.memory.store_collection import ItemCollection

        self.collection = collection
        self.index_config = index.copy() if index else None
        self.ttl_config = ttl.copy() if ttl else None
        self.embeddings: Embeddings | None = None
        self._fields: list[str] | None = None
        self._dimension: int | None = None
        if self.index_config is not None:
            self.embeddings, self._dimension = _embedder(self.index_config)
            self._fields = list(self.index_config.get("fields") or ["$"])
        omit = True if ttl is None else ttl.get("omit_expired", True)
        self._closed = False
        self._items = self._guarded(lambda: ItemCollection(client, collection, self._dimension, omit_expired=omit))
        # Nobody waits for a disk in the same process; a server may take its time.
        workers = 1 if hasattr(client, "folder") else 4
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="freehold-store")
        self._sweeper = Sweeper(self.sweep_ttl)
        self._swept_at = float("-inf")
        self._sweep_if_possible()
        if ttl is not None and ttl.get("sweep_interval_minutes"):
            self.start_ttl_sweeper()

    # --- operations --------------------------------------------------------------------------------------------------

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do a batch of operations: all reads, then all writes. See `BaseStore`."""
        batch = self._read(ops)
        texts, queries = batch.texts(), batch.queries()
        embeddings = self.embeddings
        if embeddings is None:
            return self._guarded(lambda: self._do(batch, {}, {}))
        rows = embeddings.embed_documents(texts) if texts else []
        asked = [embeddings.embed_query(clean(query)) for query in queries]
        found, wanted = self._vectors(texts, rows), self._vectors(queries, asked)
        return self._guarded(lambda: self._do(batch, found, wanted))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do a batch of operations: all reads, then all writes. See `BaseStore`."""
        batch = self._read(ops)
        texts, queries = batch.texts(), batch.queries()
        embeddings = self.embeddings
        found: dict[str, list[float]] = {}
        wanted: dict[str, list[float]] = {}
        if embeddings is not None:
            found = self._vectors(texts, await embeddings.aembed_documents(texts) if texts else [])
            asked = await asyncio.gather(*(embeddings.aembed_query(clean(query)) for query in queries))
            wanted = self._vectors(queries, asked)
        try:
            future = self._executor.submit(self._guarded, lambda: self._do(batch, found, wanted))
        except RuntimeError as error:  # the executor takes nothing more
            raise self._is_closed() from error
        return await asyncio.wrap_future(future)

    def _read(self, ops: Iterable[Op]) -> Batch:
        if self._closed:
            raise self._is_closed()
        return read_batch(ops, self._fields)

    def _vectors(self, texts: Sequence[str], rows: Sequence[Sequence[float]]) -> dict[str, list[float]]:
        """The vector of each text, checked: the engine would take one that is not a number, and never find it."""
        import numpy as np

        vectors = [np.asarray(row, dtype=np.float32) for row in rows]
        if len(rows) != len(texts):
            raise StorageError(
                f"The embedding model gave {len(rows)} vectors for {len(texts)} texts; nothing was done."
            )
        for row in vectors:
            if len(row) != self._dimension:
                raise UserError(
                    f"The index has dims={self._dimension} and its `embed` gave {len(row)}; correct `dims`."
                )
            if not np.isfinite(row).all():
                raise StorageError("The embedding model gave a vector with NaN or infinity; nothing was done.")
        return {text: row.tolist() for text, row in zip(texts, vectors, strict=True)}

    def _do(
        self, batch: Batch, vectors: Mapping[str, Sequence[float]], queries: Mapping[str, Sequence[float]]
    ) -> list[Result]:
        results: list[Result] = [None] * batch.size
        items = self._items
        for (place, _), item in zip(batch.gets, items.get([op for _, op in batch.gets]), strict=True):
            results[place] = item
        for place, search in batch.searches:
            results[place] = items.search(search, queries.get(search.query or ""))
        for place, listing in batch.listings:
            results[place] = items.namespaces(listing)
        if batch.puts:
            items.write(batch, vectors)
            if time.monotonic() - self._swept_at > _SWEEP_SECONDS:
                self._sweep_if_possible()
        return results

    def _guarded(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise self._is_closed()
        try:
            return work()
        except FreeholdError:
            raise
        except Exception as error:
            # Qdrant's engine, its client and a server each have errors of their own, with no base in common.
            raise StorageError(f"The store {self.collection!r} failed: {error}.") from error

    def _is_closed(self) -> StorageError:
        return StorageError(f"The store {self.collection!r} is closed; open it again.")

    # --- upkeep ------------------------------------------------------------------------------------------------------

    def _sweep(self) -> int:
        self._swept_at = time.monotonic()
        return self._items.sweep()

    def _sweep_if_possible(self) -> None:
        """Sweep beside something else, which must not fail where only this does, as on a full disk."""
        try:
            self._guarded(self._sweep)
        except StorageError as error:
            _log.warning("What has expired could not be swept; it is tried again: %s", error)

    def sweep_ttl(self) -> int:
        """Delete the items that have expired, and say how many. Opening does this too, and a write once a minute."""
        return self._guarded(self._sweep)

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> Future[None]:
        """Sweep at intervals in a thread, which `sweep_interval_minutes` in `ttl` has done already.

        Args:
            sweep_interval_minutes: By default that of `ttl`, else 5.

        Returns:
            A future that ends with the thread; to cancel it is to stop the thread.
        """
        if self._closed:
            raise self._is_closed()
        configured = (self.ttl_config or {}).get("sweep_interval_minutes")
        return self._sweeper.start(60 * float(sweep_interval_minutes or configured or _SWEEP_MINUTES))

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop sweeping at intervals; whether the thread has ended within so many seconds."""
        return self._sweeper.stop(timeout)

    def close(self) -> None:
        """Wait for what is under way; the client and the embeddings belong to the caller. May be called again."""
        self._closed = True
        self._sweeper.stop()
        self._executor.shutdown()


def _embedder(index: IndexConfig) -> tuple[Embeddings, int]:
    """The embeddings of an index, and the length of their vectors."""
    if index.get("embed") is None:
        raise UserError("The store's `index` has no `embed`: give embeddings, or leave `index` out.")
    embeddings = ensure_embeddings(index["embed"])
    dims = index.get("dims") or getattr(embeddings, "dimension", None)
    if not isinstance(dims, int) or dims < 1:
        raise UserError(f"The store's `index` has dims={dims!r}: give the length of the vectors of its `embed`.")
    return embeddings, dims
