"""Earlier questions by meaning, for the response cache's semantic tier."""

from __future__ import annotations

import asyncio
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from freehold.cache.evidence import Near
from freehold.coordination.sealing import Seal
from freehold.errors import FreeholdError, SettingsError, StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qdrant_client import QdrantClient

__all__ = ["SemanticIndex"]

T = TypeVar("T")

_LONGEST = 1e10  # seconds, three centuries: an endless time would have no JSON form
_POINT_IDS = uuid.UUID("6f9f2f0e-6b0f-5b0c-9d52-1c1a7ad3c0de")


class _Embedder(Protocol):
    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One normalised vector per text, as rows."""
        ...


class SemanticIndex:
    """Finds the nearest earlier questions within a scope, by cosine similarity, in one Qdrant collection.

    The collection is made on first use, and made anew where its vectors have another length: what it holds can be asked
    again. Vectors of two encoders of the same length must not meet: give each encoder its own collection.

    A question is not found after its time, and is removed by the next `add` or the next opening. Where there are more
    than `max_questions`, those whose time ends soonest go.

    Args:
        client: An `EdgeQdrantClient`, or a client of a Qdrant server. It is shared, and stays open on `close`.
        embedder: Makes the vectors. `LlamaEmbeddings` remembers the newest, so that a question that was looked up is
            not embedded again when its answer is kept.
        collection: Name of the collection.
        max_questions: Most questions that are kept, over all scopes.
        seal: Encrypts the questions' texts; their vectors stay as they are. What was kept under another key is not
            found. None keeps them readable.

    Raises:
        SettingsError: `max_questions` is below 1.
        StorageError: From every method: the collection cannot be read or written, or this index is closed.
        InferenceError: From `add` and `nearest`, where the embedder fails.

    Example:
        >>> from freehold.portal import run_sync
        >>> index = SemanticIndex(client, embedder)
        >>> run_sync(index.add("key-1", "How do I reset my password?", scope="ada"))
        >>> [near.key for near in run_sync(index.nearest("How can I reset my password?", scope="ada"))]
        ['key-1']
    """

    def __init__(
        self,
        client: QdrantClient,
        embedder: _Embedder,
        collection: str = "cache",
        *,
        max_questions: int = 10_000,
        seal: Seal | None = None,
    ) -> None:
        if max_questions < 1:
            raise SettingsError(f"max_questions={max_questions} cannot be used: an index holds at least 1 question.")
        self.collection = collection
        self.max_questions = max_questions
        self._client = client
        self._embedder = embedder
        self._seal = seal
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="freehold-questions")
        self._ready = False  # belongs to the executor's thread

    async def add(
        self,
        key: str,
        question: str,
        scope: str,
        *,
        ttl_seconds: float | None = None,
        owner: str = "",
    ) -> None:
        """Put a question under the key of its answer, over an earlier one of the same key.

        Args:
            key: The exact key of the answer.
            question: The question as it was asked.
            scope: Only questions of the same scope are compared.
            ttl_seconds: How long the question is kept, as long as its answer; None is until it is pushed out.
            owner: Whose question it is, for `forget`; nothing else depends on it.
        """
        # Half of a surrogate pair has no UTF-8 form, and the engine takes nothing else.
        text = question.encode("utf-8", "replace").decode()
        vector = await self._vector(text)
        await self._run(lambda: self._add(key, text, scope, vector, ttl_seconds, owner))

    async def nearest(self, question: str, scope: str, limit: int = 1) -> list[Near]:
        """The nearest questions of the scope, best first."""
        vector = await self._vector(question.encode("utf-8", "replace").decode())
        return await self._run(lambda: self._nearest(vector, scope, limit))

    async def extend(self, key: str, ttl_seconds: float) -> None:
        """Keep the question under this key so long from now, where there is one."""
        await self._run(lambda: self._extend(key, ttl_seconds))

    async def remove(self, *keys: str) -> None:
        """Forget the questions under these keys, where there are some."""
        await self._run(lambda: self._remove(keys))

    async def forget(self, *owners: str) -> None:
        """Erase the questions of these owners, and those of an earlier version, which say of none whose they are.

        The embedded Qdrant keeps what was deleted in its files; so the collection is written anew, also where nothing
        of theirs was found. Killed half way, this costs nobody a question, and the next opening finishes it.
        """
        await self._run(lambda: self._forget(owners))

    async def clear(self) -> None:
        """Forget every question of every scope."""
        await self._run(self._clear)

    async def close(self) -> None:
        """End the index's thread when its work is done; the client stays open. Closing twice is closing once."""
        try:
            last = asyncio.get_running_loop().run_in_executor(self._executor, _nothing)
        except RuntimeError:  # the executor takes nothing more: closed before
            return
        self._executor.shutdown(wait=False)
        await last

    async def _vector(self, text: str) -> list[float]:
        vector: list[float] = (await self._embedder.embed([text]))[0].tolist()
        return vector

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._executor, self._guarded, work)
        except RuntimeError as error:
            raise StorageError(
                f"The index of cached questions {self.collection!r} is closed; open a new one."
            ) from error
        return await running

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            if not self._ready:
                self._open()
                self._ready = True
            return work()
        except FreeholdError:
            raise
        except Exception as error:
            # Qdrant's engine, its client and a server each have errors of their own, with no base in common.
            self._ready = False
            raise StorageError(f"The index of cached questions {self.collection!r} failed: {error}.") from error

    def _open(self) -> None:
        from qdrant_client import models

        from freehold.memory.erasure import finish_rewrite

        finish_rewrite(self._client, self.collection)
        if self._client.collection_exists(self.collection):
            vectors: Any = self._client.get_collection(self.collection).config.params.vectors
            if getattr(vectors, "size", None) != self._embedder.dimension:
                self._client.delete_collection(self.collection)
        if not self._client.collection_exists(self.collection):
            self._client.create_collection(
                self.collection,
                vectors_config=models.VectorParams(size=self._embedder.dimension, distance=models.Distance.COSINE),
            )
        indexed = self._client.get_collection(self.collection).payload_schema
        for field, schema in (
            ("scope", models.PayloadSchemaType.KEYWORD),
            ("owner", models.PayloadSchemaType.KEYWORD),
            ("expires_at", models.PayloadSchemaType.FLOAT),
        ):
            if field not in indexed:
                self._client.create_payload_index(self.collection, field, schema)
        self._remove_expired()

    def _add(  # noqa: PLR0913, PLR0917 - what `add` was given
        self, key: str, question: str, scope: str, vector: list[float], ttl_seconds: float | None, owner: str
    ) -> None:
        from qdrant_client import models

        self._remove_expired()
        kept_for = _LONGEST if ttl_seconds is None else min(ttl_seconds, _LONGEST)
        ends = time.time() + kept_for
        kept = self._closed(key, question)
        payload = {"key": key, "question": kept, "scope": scope, "owner": owner, "expires_at": ends}
        point = models.PointStruct(id=_point_id(key), vector=vector, payload=payload)
        self._client.upsert(self.collection, points=[point])
        excess = self._client.count(self.collection).count - self.max_questions
        if excess > 0:
            # Some more than that, so that a full index does not look for the oldest at every addition.
            soonest, _ = self._client.scroll(
                self.collection,
                scroll_filter=models.Filter(must_not=[models.HasIdCondition(has_id=[point.id])]),
                order_by="expires_at",
                limit=excess + self.max_questions // 20,
                with_payload=False,
            )
            self._client.delete(self.collection, models.PointIdsList(points=[record.id for record in soonest]))

    def _remove_expired(self) -> None:
        """Remove what is past its time, and what an earlier version kept without one."""
        from qdrant_client import models

        past = models.FieldCondition(key="expires_at", range=models.Range(lte=time.time()))
        timeless = models.IsEmptyCondition(is_empty=models.PayloadField(key="expires_at"))
        self._client.delete(self.collection, models.Filter(should=[past, timeless]))

    def _nearest(self, vector: list[float], scope: str, limit: int) -> list[Near]:
        from qdrant_client import models

        same_scope = models.FieldCondition(key="scope", match=models.MatchValue(value=scope))
        alive = models.FieldCondition(key="expires_at", range=models.Range(gt=time.time()))
        found = self._client.query_points(
            self.collection,
            query=vector,
            query_filter=models.Filter(must=[same_scope, alive]),
            limit=limit,
            with_payload=True,
        )
        near: list[Near] = []
        for point in found.points:
            key, kept = str((point.payload or {})["key"]), str((point.payload or {})["question"])
            question = self._opened(key, kept)
            if question is not None:
                near.append(Near(key, question, point.score))
        return near

    def _closed(self, key: str, question: str) -> str:
        """A question as it is kept."""
        return question if self._seal is None else b64encode(self._seal.close(question.encode(), key)).decode()

    def _opened(self, key: str, kept: str) -> str | None:
        """A question as it was asked; None where it cannot be read."""
        if self._seal is None:
            return kept
        try:
            opened = self._seal.open(b64decode(kept, validate=True), key)
        except ValueError:  # it was kept without encryption
            return None
        return opened.decode() if opened is not None else None

    def _extend(self, key: str, ttl_seconds: float) -> None:
        ends = time.time() + min(ttl_seconds, _LONGEST)
        if self._client.retrieve(self.collection, ids=[_point_id(key)], with_payload=False):
            self._client.set_payload(self.collection, {"expires_at": ends}, points=[_point_id(key)])

    def _remove(self, keys: Sequence[str]) -> None:
        from qdrant_client import models

        self._client.delete(self.collection, points_selector=models.PointIdsList(points=[*map(_point_id, keys)]))

    def _forget(self, owners: Sequence[str]) -> None:
        from qdrant_client import models

        from freehold.memory.erasure import rewrite

        theirs = models.FieldCondition(key="owner", match=models.MatchAny(any=[*owners]))
        nobodys = models.IsEmptyCondition(is_empty=models.PayloadField(key="owner"))
        self._client.delete(self.collection, models.Filter(should=[theirs, nobodys]))
        self._ready = False  # opening it again finishes a rewrite that fails
        rewrite(self._client, self.collection)

    def _clear(self) -> None:
        self._client.delete_collection(self.collection)
        self._ready = False


def _nothing() -> None:
    """Work that is done when all the work before it is."""


def _point_id(key: str) -> str:
    return str(uuid.uuid5(_POINT_IDS, key))
