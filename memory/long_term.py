"""What the assistant knows of a user, across threads: mem0 on the workspace's Qdrant client."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from freehold.context import Context
from freehold.errors import FreeholdError, SettingsError, StorageError
from freehold.memory.extraction import Extractor, StatementExtractor
from freehold.portal import run_sync
from freehold.state import Memory

if TYPE_CHECKING:
    import numpy as np
    from qdrant_client import QdrantClient

__all__ = ["Embedder", "LongTermMemory"]

T = TypeVar("T")
Memories: TypeAlias = list[Memory]
"""A name of its own, because inside the class `list` is the method."""

_ALL = 1_000_000
"""More memories than one user has; mem0 stops at 20 unless told."""


class Embedder(Protocol):
    """Turns texts into vectors of one length."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    async def embed(self, texts: list[str]) -> np.ndarray[Any, Any]:
        """A row for each text, of length 1 each."""
        ...


class LongTermMemory:
    """Facts about users, kept by mem0 and scoped by the run's context.

    The scope is the context's tenant, user and, where it names one, agent; no caller can give filters. An agent sees
    what it stored; a context without an agent sees everything of its user. Another user's memory is as good as missing.

    mem0 is imported and opened at first use, and only one thread ever calls it: mem0's own locks do not hold.

    Args:
        client: The workspace's Qdrant client; whoever opened it closes it, after this.
        embedder: Computes the vectors.
        extractor: Finds the facts in a message; None keeps first-person statements word for word.
        folder: Where mem0's history database lies; made where it is missing.
        collection: Collection of the client.

    Raises:
        StorageError: From every method: the store failed, or is closed.

    Example:
        >>> memory = LongTermMemory(client, embedder, None, folder)  # doctest: +SKIP
        >>> await memory.add("My name is Ada.", Context(user_id="ada"))  # doctest: +SKIP
        [{'id': '...', 'text': 'My name is Ada', 'score': 0.0, 'created_at': '...'}]
    """

    def __init__(
        self,
        client: QdrantClient,
        embedder: Embedder,
        extractor: Extractor | None,
        folder: Path,
        collection: str = "memories",
    ) -> None:
        self._client = client
        self._embedder = embedder
        self._extractor = extractor or StatementExtractor()
        self._folder = Path(folder)
        self._collection = collection
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="freehold-memory")
        self._closing = threading.Lock()
        self._closed = False
        self._mem0: Any = None

    async def add(self, text: str, context: Context) -> Memories:
        """Extract the facts from a user's message and store those that this user does not have yet.

        Returns:
            What was stored, with score 0; empty for questions, greetings, and facts that are known.
        """
        found = (" ".join(fact.split()) for fact in await self._extractor.extract(text))
        facts = tuple(dict.fromkeys(fact for fact in found if fact))
        if not facts:
            return []
        vectors = await self._embedder.embed([*facts])
        return await self._run(lambda mem0: self._add(mem0, facts, vectors, context))

    async def search(self, query: str, context: Context, limit: int = 5, threshold: float | None = None) -> Memories:
        """The user's memories that fit a question best, best first.

        mem0 orders by cosine and BM25 together; the score given is the cosine alone.

        Args:
            query: The question; an empty one finds nothing.
            context: Whose memories.
            limit: Most memories.
            threshold: Least cosine, 0 to 1; None is 0.

        Raises:
            SettingsError: The limit or the threshold cannot be used.
        """
        if limit < 1 or not 0 <= (threshold or 0) <= 1:
            raise SettingsError(f"limit={limit} and threshold={threshold}: give at least 1, and 0 to 1 or None.")
        query = query.strip()
        if not query:
            return []
        vectors = await self._embedder.embed([query])

        def work(mem0: Any) -> Memories:
            mem0.embedding_model.prepare([query], vectors)
            found = mem0.search(query, top_k=limit, filters=_scope(context), threshold=threshold or 0.0, explain=True)
            return [_memory(row, row["score_details"]["semantic_score"]) for row in found["results"]]

        return await self._run(work)

    async def list(self, context: Context) -> Memories:
        """Every memory of the user, oldest first, with score 0."""

        def work(mem0: Any) -> Memories:
            rows = mem0.get_all(filters=_scope(context), top_k=_ALL)["results"]
            return sorted((_memory(row) for row in rows), key=lambda memory: (memory["created_at"], memory["id"]))

        return await self._run(work)

    async def get(self, id: str, context: Context) -> Memory | None:  # noqa: A002 - the state's word for it
        """One memory of the user, or None where the user has none with this id."""

        def work(mem0: Any) -> Memory | None:
            row = _owned(mem0, id, context)
            return _memory(row) if row else None

        return await self._run(work)

    async def delete(self, id: str, context: Context) -> bool:  # noqa: A002 - as above
        """Delete one memory of the user and its text in the history; its bytes stay in Qdrant's files until `forget`.

        Returns:
            False where the user has no memory with this id.
        """

        def work(mem0: Any) -> bool:
            row = _owned(mem0, id, context)
            if row is None:
                return False
            mem0.delete(row["id"])
            # That somebody had a memory here stays known until they are forgotten; what it said does not.
            with mem0.db.connection as connection:
                connection.execute(
                    "UPDATE history SET old_memory = NULL, new_memory = NULL WHERE memory_id = ?", (row["id"],)
                )
            return True

        return await self._run(work)

    async def forget(self, context: Context) -> int:
        """Erase everything of the user, whichever agent stored it: vectors, entities, history, messages, their bytes.

        Returns:
            How many memories were erased.
        """
        from freehold.memory.erasure import erase

        def work(mem0: Any) -> int:
            try:
                return erase(mem0, _owner(context), self._folder)
            except BaseException:
                self._close_mem0()  # opening it again finishes what was begun
                raise

        return await self._run(work)

    def close(self) -> None:
        """Finish what is under way and close mem0's database; the client stays open. May be called again."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            closing = self._executor.submit(self._close_mem0)
        closing.result()
        self._executor.shutdown()

    def _close_mem0(self) -> None:
        if self._mem0 is not None:
            self._mem0.close()
            self._mem0 = None

    async def _run(self, work: Callable[[Any], T]) -> T:
        with self._closing:
            if self._closed:
                raise StorageError(f"The long-term memory in {self._folder} is closed; open the workspace again.")
            future = self._executor.submit(self._guarded, work)
        return await asyncio.wrap_future(future)

    def _guarded(self, work: Callable[[Any], T]) -> T:
        try:
            if self._mem0 is None:
                self._mem0 = self._open()
            return work(self._mem0)
        except FreeholdError:
            raise
        except Exception as error:
            raise StorageError(
                f"The long-term memory in {self._folder} failed: {type(error).__name__}: {error}. "
                "Check the disk's space and rights."
            ) from error

    def _open(self) -> Any:
        from freehold.memory.erasure import finish_rewrite

        self._folder.mkdir(parents=True, exist_ok=True)
        with _mem0_directory(self._folder):
            from freehold.memory.mem0_parts import build_mem0
        for name in (self._collection, f"{self._collection}_entities"):
            finish_rewrite(self._client, name, self._folder)
        return build_mem0(
            self._client, self._compute, self._embedder.dimension, self._collection, self._folder / "history.db"
        )

    def _compute(self, text: str) -> np.ndarray[Any, Any]:
        rows = run_sync(self._embedder.embed([text]))
        return rows[0]  # type: ignore[no-any-return]

    def _add(self, mem0: Any, facts: tuple[str, ...], vectors: np.ndarray[Any, Any], context: Context) -> Memories:
        mem0.embedding_model.prepare(facts, vectors)
        owner = _owner(context)
        stored: Memories = []
        for fact in facts:
            mark = _fingerprint(fact)
            if mem0.get_all(filters={**_scope(context), "fingerprint": mark}, top_k=1)["results"]:
                continue
            now = datetime.now(UTC).isoformat()
            # The name becomes the history's `actor_id`: without it, nothing there says whose text a row holds.
            result = mem0.add(
                [{"role": "user", "content": fact, "name": owner}],
                user_id=owner,
                agent_id=context.agent_id,
                metadata={"fingerprint": mark, "created_at": now},
                infer=False,
            )
            stored += [Memory(id=row["id"], text=row["memory"], score=0.0, created_at=now) for row in result["results"]]
        return stored


def _owner(context: Context) -> str:
    """Tenant and user in one id. Ids cannot hold a slash, so this cannot be another pair, nor mem0's wildcard `*`."""
    return f"{context.tenant}/{context.user_id}"


def _scope(context: Context) -> dict[str, str]:
    scope = {"user_id": _owner(context)}
    if context.agent_id is not None:
        scope["agent_id"] = context.agent_id
    return scope


def _fingerprint(fact: str) -> str:
    """The same for facts that differ in case or in the last full stop only."""
    return hashlib.sha256(fact.casefold().rstrip(".! ").encode()).hexdigest()


def _owned(mem0: Any, memory_id: str, context: Context) -> dict[str, Any] | None:
    """mem0's row for an id, if it lies in the scope: mem0's own by-id calls ask nobody whose it is."""
    try:
        row: dict[str, Any] | None = mem0.get(str(uuid.UUID(memory_id)))
    except ValueError:
        return None
    if row is None or any(row.get(key) != value for key, value in _scope(context).items()):
        return None
    return row


def _memory(row: dict[str, Any], score: float = 0.0) -> Memory:
    return Memory(
        id=str(row["id"]),
        text=row["memory"],
        score=min(max(float(score), 0.0), 1.0),
        created_at=row["created_at"] or "",
    )


@contextmanager
def _mem0_directory(folder: Path) -> Iterator[None]:
    """Give mem0's first import a folder that is gone afterwards: it writes an identifier there, for its telemetry."""
    before = os.environ.get("MEM0_DIR")
    with tempfile.TemporaryDirectory(dir=folder) as passing:
        os.environ["MEM0_DIR"] = passing
        try:
            yield
        finally:
            if before is None:
                del os.environ["MEM0_DIR"]
            else:
                os.environ["MEM0_DIR"] = before
