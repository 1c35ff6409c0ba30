"""Documents as passages in Qdrant: hybrid search, one version for all of them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from freehold.errors import DocumentError, StorageError
from freehold.memory.chunking import passage_id
from freehold.state import Passage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qdrant_client import QdrantClient
    from qdrant_client.http import models

__all__ = ["Documents", "Embedder"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_BATCH = 256
_AVERAGE_WORDS = 50.0
_REFRESH_SECONDS = 10.0


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row for each text."""
        ...


class Documents:
    """Passages of documents in a Qdrant collection, found by meaning and by words at once.

    A passage is a point with a dense vector of its heading and text and a BM25 vector of the same. Search fuses both
    rankings by reciprocal rank (Cormack, Clarke and Büttcher, SIGIR 2009); a passage's `score` is its cosine similarity
    to the query, so that a threshold means the same for every query. Methods may be awaited on any event loop.

    Args:
        client: Any Qdrant: embedded or a server.
        embedder: Gives the dense vectors; its dimension is the collection's.
        collection: Name of the collection, made where it is missing.
        language: Of stop words and word endings in BM25.

    Raises:
        StorageError: The store failed, this object is closed, or the collection was made with another embedding
            model's dimension.
    """

    def __init__(
        self, client: QdrantClient, embedder: Embedder, collection: str = "documents", *, language: str = "english"
    ) -> None:
        from qdrant_edge import Bm25, Bm25Config

        self.collection = collection
        self._client = client
        self._embedder = embedder
        self._bm25 = Bm25(Bm25Config(avg_len=_AVERAGE_WORDS, language=language))
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="freehold-documents")
        self._lock = threading.Lock()
        self._sources: dict[str, _Source] = {}
        self._version = ""
        # Nobody else writes to an embedded store; on a server another process may.
        self._shared = not hasattr(client, "folder")
        self._read_at = 0.0
        self._reading = False  # a refresh waits for the executor or is under way
        self._closed = False
        self._prepare()
        self._refresh()

    def _prepare(self) -> None:
        from qdrant_client.http import models

        if not self._client.collection_exists(self.collection):
            self._client.create_collection(
                self.collection,
                {"dense": models.VectorParams(size=self._embedder.dimension, distance=models.Distance.COSINE)},
                sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
            self._client.create_payload_index(self.collection, "source", models.PayloadSchemaType.KEYWORD)
        vectors = self._client.get_collection(self.collection).config.params.vectors
        size = vectors["dense"].size if isinstance(vectors, dict) and "dense" in vectors else None
        if size != self._embedder.dimension:
            raise StorageError(
                f"Collection {self.collection!r} holds vectors of {size} dimensions and the embedding model gives "
                f"{self._embedder.dimension}. Use the model it was made with, or another collection."
            )

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(f"The documents in {self.collection!r} are closed; open the workspace again.")

    async def _run(self, call: Callable[[], T]) -> T:
        with self._lock:
            self._check_open()
            future = self._executor.submit(call)
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._refresh_soon()

    # --- what there is -----------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Read from the store which documents there are, and whether all their passages are.

        On the executor's thread only: a write between the reading and the end of this would be forgotten.
        """
        found: dict[str, _Source] = {}
        offset: Any = None
        while True:
            records, offset = self._client.scroll(
                self.collection, limit=10_000, offset=offset, with_payload=["source", "digest", "total"]
            )
            for record in records:
                payload = record.payload or {}
                found.setdefault(payload["source"], _Source()).add(payload["digest"], payload["total"])
            if offset is None:
                break
        with self._lock:
            self._sources = found
            self._read_at = time.monotonic()
            self._set_version()

    def _set_version(self) -> None:
        digest = hashlib.sha256()
        for source, state in sorted(self._sources.items()):
            digest.update(f"{source}\0{state.digest}\0{state.present}\n".encode())
        self._version = digest.hexdigest()[:32]

    def version(self) -> str:
        """Digest of which documents there are and what they hold; it changes when any of them does. For cache keys.

        Read from memory: it never waits for the store. What this process writes is in it at once. Other processes may
        write to a server; where documents there are in use it is read again in the background, at most every ten
        seconds, and the calls after that see what changed.
        """
        self._refresh_soon()
        with self._lock:
            return self._version

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
        return self._client.count(self.collection).count

    async def sources(self) -> dict[str, str]:
        """Every document and its digest; the digest is empty where a write was cut short. A server is asked anew."""
        return await self._run(self._read_sources)

    def _read_sources(self) -> dict[str, str]:
        if self._shared:
            self._refresh()
        with self._lock:
            return {source: state.digest for source, state in self._sources.items()}

    # --- writing -----------------------------------------------------------------------------------------------------

    async def upsert(self, source: str, digest: str, passages: Sequence[Passage]) -> int:
        """Store a document's passages and remove those of its earlier content.

        Until its last passage is stored a document counts as incomplete: after a kill or an error it is read again,
        and what was stored of it goes then.

        Args:
            source: The document's path or name.
            digest: Of its content; the same digest overwrites and makes no duplicates.
            passages: All of its passages, in order; their ids are given here.

        Returns:
            How many passages were stored.

        Raises:
            DocumentError: There are no passages.
            StorageError: The store failed.
        """
        if not passages:
            raise DocumentError(f"{source} has no passages: nothing was stored. Check that it holds text.")
        self._check_open()
        texts = [_indexed(passage) for passage in passages]
        vectors = await self._embedder.embed(texts)
        return await self._run(lambda: self._store(source, digest, passages, texts, vectors))

    def _store(
        self, source: str, digest: str, passages: Sequence[Passage], texts: list[str], vectors: NDArray[np.float32]
    ) -> int:
        from qdrant_client.http import models

        points = []
        for index, (passage, text, vector) in enumerate(zip(passages, texts, vectors, strict=True)):
            sparse = self._bm25.embed_document(text)
            named: dict[str, Any] = {"dense": vector.tolist()}
            if sparse.indices:
                named["bm25"] = models.SparseVector(indices=sparse.indices, values=sparse.values)
            payload = {key: value for key, value in passage.items() if key not in ("id", "score")}
            payload |= {"source": source, "digest": digest, "total": len(passages)}
            points.append(models.PointStruct(id=passage_id(source, digest, index), vector=named, payload=payload))
        known = self._begin_change(source)
        for start in range(0, len(points), _BATCH):
            self._client.upsert(self.collection, points[start : start + _BATCH])
        if known:
            mine = models.FieldCondition(key="source", match=models.MatchValue(value=source))
            new = models.HasIdCondition(has_id=[point.id for point in points])
            self._client.delete(self.collection, models.Filter(must=[mine], must_not=[new]))
        with self._lock:
            self._sources[source] = _Source({digest: len(points)}, {digest: len(points)})
            self._set_version()
        return len(points)

    def _begin_change(self, source: str) -> bool:
        """Count a document as incomplete, before the store changes; say whether something of it may be stored."""
        with self._lock:
            known = source in self._sources
            self._sources[source] = _Source()
            self._set_version()
        return known

    async def remove(self, source: str) -> None:
        """Delete a document; nothing happens where there is none."""
        await self._run(lambda: self._remove(source))

    def _remove(self, source: str) -> None:
        self._begin_change(source)
        self._client.delete(self.collection, _of_sources([source]))
        with self._lock:
            self._sources.pop(source, None)
            self._set_version()

    # --- searching ---------------------------------------------------------------------------------------------------

    async def search(self, query: str, limit: int = 4, *, within: Sequence[str] | None = None) -> list[Passage]:
        """The passages that answer best, by meaning and by words, best first.

        Args:
            query: What is asked.
            limit: Most passages.
            within: Only these sources; None is all of them.

        Returns:
            Passages whose `score` is the cosine similarity to the query, -1 to 1, whatever their rank.
        """
        self._check_open()
        # Half of a surrogate pair, from a broken emoji in JSON, has no UTF-8 form, and BM25 takes nothing else.
        query = query.encode("utf-8", "replace").decode()
        if not query.strip() or limit < 1:
            return []
        vector = (await self._embedder.embed([query]))[0]
        return await self._run(lambda: self._search(query, vector, limit, within))

    def _search(
        self, query: str, vector: NDArray[np.float32], limit: int, within: Sequence[str] | None
    ) -> list[Passage]:
        from qdrant_client.http import models

        chosen = None if within is None else _of_sources(within)
        candidates = max(20, 4 * limit)
        dense = vector.tolist()
        prefetch = [models.Prefetch(query=dense, using="dense", limit=candidates, filter=chosen)]
        words = self._bm25.embed_query(query)
        if words.indices:
            sparse = models.SparseVector(indices=words.indices, values=words.values)
            prefetch.append(models.Prefetch(query=sparse, using="bm25", limit=candidates, filter=chosen))
        found = self._client.query_points(
            self.collection,
            models.FusionQuery(fusion=models.Fusion.RRF),
            prefetch=prefetch,
            limit=limit,
            with_vectors=["dense"],
        )
        length = float(np.linalg.norm(vector)) or 1.0
        return [_passage(point, vector / length) for point in found.points]

    def close(self) -> None:
        """Wait for what is under way; the client and the embedder belong to the caller. May be called again."""
        with self._lock:
            self._closed = True
        self._executor.shutdown()


class _Source:
    """Passages of one document: how many there are for each digest, and how many there should be."""

    def __init__(self, present: dict[str, int] | None = None, total: dict[str, int] | None = None) -> None:
        self.present = present or {}
        self._total = total or {}

    def add(self, digest: str, total: int) -> None:
        self.present[digest] = self.present.get(digest, 0) + 1
        self._total[digest] = total

    @property
    def digest(self) -> str:
        """Of the content, or empty where passages are missing or left from other content."""
        whole = len(self.present) == 1 and self.present == self._total
        return next(iter(self.present)) if whole else ""


def _indexed(passage: Passage) -> str:
    """What is embedded: a passage often does not repeat what its heading says it is about."""
    return f"{passage['heading']}\n{passage['text']}" if passage["heading"] else passage["text"]


def _of_sources(sources: Sequence[str]) -> models.Filter:
    from qdrant_client.http import models

    return models.Filter(must=[models.FieldCondition(key="source", match=models.MatchAny(any=list(sources)))])


def _passage(point: models.ScoredPoint, direction: NDArray[np.float32]) -> Passage:
    payload = point.payload or {}
    vectors: Any = point.vector or {}
    return {
        "id": str(point.id),
        "text": payload["text"],
        "source": payload["source"],
        "heading": payload["heading"],
        "page": payload["page"],
        "start": payload["start"],
        "end": payload["end"],
        # Qdrant keeps vectors of a cosine collection at length 1.
        "score": round(float(np.dot(np.asarray(vectors["dense"], dtype=np.float32), direction)), 6),
    }
