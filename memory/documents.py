"""Documents as passages in Qdrant: hybrid search, one version for all of them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from freehold.errors import DocumentError, StorageError
from freehold.memory.chunking import passage_id
from freehold.memory.document_collection import is_server, noted, noted_payloads, prepare_collection
from freehold.memory.document_search import DocumentSearch, of_sources
from freehold.memory.document_table import DocumentTable, StoredDocument
from freehold.memory.indexed_text import indexed_text
from freehold.state import Passage
from freehold.token_estimate import estimate_tokens
from freehold.vector_store import flush, storage_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qdrant_client import QdrantClient

__all__ = ["Documents", "Embedder"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_BATCH = 256
_AVERAGE_WORDS = 50.0
_REFRESH_SECONDS = 10.0
_READERS = 16
"""Searches that wait for a server at the same time."""


class Embedder(Protocol):
    """Turns texts into vectors.

    Where it has a `model_id`, a `header.context_length` or `count_tokens` too, as `LlamaEmbeddings` has, an ingest
    uses them.
    """

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row for each text."""
        ...


class Documents(DocumentSearch):
    """Passages of documents in a Qdrant collection, found by meaning and by words at once.

    A passage is a point with a dense vector of its heading and text and a BM25 vector of the same. Search fuses both
    rankings; a passage's `score` is its cosine similarity to the query, so that a threshold means the same for every
    query. Methods may be awaited on any event loop.

    Args:
        client: Any Qdrant: embedded or a server.
        embedder: Gives the dense vectors; its dimension is the collection's.
        collection: Name of the collection, made where it is missing.
        language: Of stop words and word endings in BM25.
        on_change: Awaited with a document's source when it was written again, and whenever one is to be removed, before
            the call that did it returns; what it raises is logged.

    Raises:
        StorageError: The store failed, this object is closed, or the collection was made with another embedding
            model's dimension.
    """

    def __init__(
        self,
        client: QdrantClient,
        embedder: Embedder,
        collection: str = "documents",
        *,
        language: str = "english",
        on_change: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        from qdrant_edge import Bm25, Bm25Config

        self.collection = collection
        self._client = client
        self._embedder = embedder
        self._bm25 = Bm25(Bm25Config(avg_len=_AVERAGE_WORDS, language=language))
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="freehold-documents")
        self._readers = self._executor
        if is_server(client):  # embedded Qdrant uses all cores for one search, and has no round trip to wait for
            self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="freehold-documents-reader")
        self._lock = threading.Lock()
        self._table = DocumentTable()
        self._writing: dict[str, object] = {}  # who began last to write a document
        # Nobody else writes to an embedded store; on a server another process may.
        self._shared = not hasattr(client, "folder")
        self._read_at = 0.0
        self._reading = False  # a refresh waits for the executor or is under way
        self._closed = False
        self._on_change = on_change
        with storage_errors(collection):
            prepare_collection(client, collection, embedder.dimension)
            self._refresh()

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(f"The documents in {self.collection!r} are closed; open the workspace again.")

    async def _run(self, call: Callable[[], T]) -> T:
        return await self._on(self._executor, call)

    async def _read(self, call: Callable[[], T]) -> T:
        return await self._on(self._readers, call)

    async def _on(self, executor: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        def guarded() -> T:
            with storage_errors(self.collection):
                return call()

        with self._lock:
            self._check_open()
            future = executor.submit(guarded)
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._refresh_soon()

    # --- what there is -----------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Read from the store which documents there are, and whether all their passages are.

        On the executor's thread only: a write between the reading and the end of this would be forgotten.
        """
        found = DocumentTable.counted(noted_payloads(self._client, self.collection))
        with self._lock:
            self._table = found
            self._read_at = time.monotonic()

    def version(self) -> str:
        """Digest of which documents there are and what they hold; it changes when any of them does. For cache keys.

        Read from memory: it never waits for the store. What this process writes is in it at once. Other processes may
        write to a server; where documents there are in use it is read again in the background, at most every ten
        seconds, and the calls after that see what changed.
        """
        self._refresh_soon()
        with self._lock:
            return self._table.version

    def digest(self, source: str) -> str | None:
        """Digest of a document's content; None where there is none, empty where it is being written.

        Read from memory, as `version` is.
        """
        self._refresh_soon()
        with self._lock:
            known = self._table.get(source)
        return known.digest if known is not None else None

    def _refresh_soon(self) -> None:
        """On a server, let the executor read again what there is, where the last reading is old."""
        with self._lock:
            old = time.monotonic() - self._read_at > _REFRESH_SECONDS
            if not self._shared or not old or self._reading or self._closed:
                return
            self._reading = True
            self._executor.submit(self._refresh_in_background)

    def _refresh_in_background(self) -> None:
        try:
            self._refresh()
        except Exception as error:  # noqa: BLE001 - nobody waits for it; a client has errors of many kinds
            _log.warning("Which documents there are could not be read; it is tried again: %s", error)
        finally:
            with self._lock:
                self._read_at = time.monotonic()
                self._reading = False

    def count(self) -> int:
        """How many passages there are; asks the store."""
        self._check_open()
        with storage_errors(self.collection):
            return self._client.count(self.collection).count

    async def sources(self) -> dict[str, str]:
        """Every document and its digest; the digest is empty where a write was cut short. A server is asked anew."""
        return {source: document.digest for source, document in (await self.stored()).items()}

    async def stored(self) -> dict[str, StoredDocument]:
        """Every document with its digest and its stamp. A server is asked anew."""
        return await self._run(self._read_stored)

    def _read_stored(self) -> dict[str, StoredDocument]:
        if self._shared:
            self._refresh()
        with self._lock:
            return dict(self._table.items())

    # --- writing -----------------------------------------------------------------------------------------------------

    def count_tokens(self, text: str) -> int:
        """Tokens of a text as the embedding model counts them; estimated where it does not tell."""
        counted: int = getattr(self._embedder, "count_tokens", estimate_tokens)(text)
        return counted

    @property
    def model_id(self) -> str:
        """Names the embedding model, whose vectors can be compared with each other only; empty where it does not tell.

        That of a file may be hashed now: not to be read on an event loop.
        """
        return str(getattr(self._embedder, "model_id", ""))

    @property
    def context_length(self) -> int | None:
        """Tokens of a text that the embedding model reads, and cuts off behind; None where it does not tell."""
        length: int | None = getattr(getattr(self._embedder, "header", None), "context_length", None)
        return length or None

    async def embed(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        """The vectors of passages with their headings, one row each; what `upsert` takes."""
        self._check_open()
        return await self._embedder.embed([indexed_text(passage) for passage in passages])

    async def upsert(
        self,
        source: str,
        digest: str,
        passages: Sequence[Passage],
        *,
        vectors: NDArray[np.float32] | None = None,
        stamp: str = "",
    ) -> int:
        """Store a document's passages and remove those of its earlier content.

        Until its last passage is stored a document counts as incomplete: after a kill or an error it is read again,
        and what was stored of it goes then. Searches pass between the parts of a long document. Where two write a
        document at the same time, the one that began last ends it.

        Args:
            source: The document's path or name.
            digest: Of its content; the same digest overwrites and makes no duplicates.
            passages: All of its passages, in order; their ids are given here.
            vectors: What `embed` gave for them; None embeds them now.
            stamp: Kept with the document, see `StoredDocument`.

        Returns:
            How many passages were stored: 0 where somebody began later to write or to remove the document.

        Raises:
            DocumentError: There are no passages.
            StorageError: The store failed.
        """
        if not passages:
            raise DocumentError(f"{source} has no passages: nothing was stored. Check that it holds text.")
        writer = object()
        rows = await self.embed(passages) if vectors is None else vectors
        document, total = noted(source, digest, len(passages), stamp), len(passages)
        try:
            known = await self._run(lambda: self._begin_change(source, writer))
            for start in range(0, total, _BATCH):
                part = range(start, min(start + _BATCH, total))
                await self._run(lambda part=part: self._store(document, passages, rows, part, writer))  # type: ignore[misc]
            stored = StoredDocument(digest, stamp)
            ended = await self._run(lambda: self._end_change(source, writer, stored, total, known))
        except BaseException:
            with self._lock:
                if not self._closed:  # behind what is still under way after a cancellation
                    self._executor.submit(self._give_up, source, writer)
            raise
        if known:
            await self._tell(source)
        return total if ended else 0

    async def _tell(self, source: str) -> None:
        """Tell whoever wants to know that a document changed or went."""
        if self._on_change is None:
            return
        try:
            await self._on_change(source)
        except Exception as error:  # noqa: BLE001 - the document is stored or removed, whatever follows from it
            _log.warning("What relies on %s could not be told that it changed: %s", source, error)

    def _give_up(self, source: str, writer: object) -> None:
        """Forget a writer that failed; its document stays incomplete."""
        with self._lock:
            if self._writing.get(source) is writer:
                del self._writing[source]

    def _begin_change(self, source: str, writer: object) -> bool:
        """Count a document as incomplete, before the store changes; say whether something of it may be stored."""
        with self._lock:
            known = source in self._table
            self._table.set(source, StoredDocument(""))
            self._writing[source] = writer
        return known

    def _store(
        self,
        document: dict[str, Any],
        passages: Sequence[Passage],
        vectors: NDArray[np.float32],
        part: range,
        writer: object,
    ) -> None:
        from qdrant_client.http import models

        if self._writing.get(document["source"]) is not writer:  # somebody began later, who may have ended already
            return
        points = []
        for index in part:
            passage = passages[index]
            sparse = self._bm25.embed_document(indexed_text(passage))
            named: dict[str, Any] = {"dense": vectors[index].tolist()}
            if sparse.indices:
                named["bm25"] = models.SparseVector(indices=sparse.indices, values=sparse.values)
            payload = {key: value for key, value in passage.items() if key not in ("id", "score")} | document
            identity = passage_id(document["source"], document["digest"], index)
            points.append(models.PointStruct(id=identity, vector=named, payload=payload))
        self._client.upsert(self.collection, points)

    def _end_change(self, source: str, writer: object, document: StoredDocument, total: int, known: bool) -> bool:
        """Remove what earlier content left; say whether nobody began to write the document since."""
        from qdrant_client.http import models

        if self._writing.get(source) is not writer:  # what is here, who began later removes
            return False
        if known:
            mine = models.FieldCondition(key="source", match=models.MatchValue(value=source))
            ids = [passage_id(source, document.digest, index) for index in range(total)]
            new = models.HasIdCondition(has_id=list(ids))
            self._client.delete(self.collection, models.Filter(must=[mine], must_not=[new]))
        with self._lock:
            del self._writing[source]
            self._table.set(source, document)
        return True

    async def restamp(self, stamps: Mapping[str, str]) -> None:
        """Note new stamps of documents whose content is the same."""
        for source, stamp in stamps.items():
            await self._run(lambda source=source, stamp=stamp: self._restamp(source, stamp))  # type: ignore[misc]

    def _restamp(self, source: str, stamp: str) -> None:
        with self._lock:
            known = self._table.get(source)
        if known is None or not known.digest:
            return
        mine = of_sources([source])
        total = self._client.count(self.collection, count_filter=mine, exact=True).count
        self._client.set_payload(self.collection, noted(source, known.digest, total, stamp), points=mine)
        with self._lock:
            self._table.set(source, StoredDocument(known.digest, stamp))

    async def remove(self, source: str) -> None:
        """Delete a document; nothing happens where there is none."""
        await self._run(lambda: self._remove(source))
        await self._tell(source)

    def _remove(self, source: str) -> None:
        writer = object()
        self._begin_change(source, writer)
        try:
            self._client.delete(self.collection, of_sources([source]))
        finally:
            self._give_up(source, writer)
        with self._lock:
            self._table.forget(source)

    async def flush(self) -> None:
        """Make what was written outlast a power cut; without it, it outlasts kill -9."""
        await self._run(lambda: flush(self._client))

    def close(self) -> None:
        """Wait for what is under way; the client and the embedder belong to the caller. May be called again."""
        with self._lock:
            self._closed = True
        self._readers.shutdown()
        self._executor.shutdown()
