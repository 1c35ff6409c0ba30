"""What the assistant knows of a user, across threads: mem0 on the workspace's Qdrant client."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from freehold.context import Context
from freehold.errors import SettingsError, StorageError
from freehold.memory import memory_rows as rows
from freehold.memory.admission import Admission, Remembered, counted, tidy
from freehold.memory.expiry import ends_at
from freehold.memory.extraction import Extractor, StatementExtractor, propose
from freehold.memory.keeping import keep, replace
from freehold.memory.mem0_worker import Mem0Worker
from freehold.memory.memory_rows import Placement
from freehold.memory.recall import Question, Ranking, recall
from freehold.memory.scopes import Scope, owner, visible
from freehold.memory.vocabulary import Vocabularies
from freehold.portal import run_sync
from freehold.state import Memory
from freehold.vector_store import flush

if TYPE_CHECKING:
    import numpy as np
    from qdrant_client import QdrantClient

__all__ = ["Embedder", "LongTermMemory"]

T = TypeVar("T")
Memories: TypeAlias = list[Memory]
"""A name of its own, because inside the class `list` is the method."""

_SWEEP_SECONDS = 3600.0


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

    Whose a memory is comes from the context's tenant and user; no caller can give filters. A context sees what its user
    keeps for every run, and what is kept for its own session and its own agent. Another user's memory is as good as
    missing, and so is one that has expired.

    A new fact that contradicts an old one of the same scope takes its place, under its id; `history` has both.

    mem0 is imported and opened at first use, and only one thread ever calls it: mem0's own locks do not hold.

    Args:
        client: The workspace's Qdrant client; whoever opened it closes it, after this.
        embedder: Computes the vectors.
        extractor: Finds the facts in a message; None keeps what the message states, in its own words.
        folder: Where mem0's history database lies; made where it is missing.
        collection: Collection of the client.
        admission: Which facts are let in, and what they supersede.
        ranking: What counts how much in a search.

    Raises:
        StorageError: From every method: the store failed, or is closed.
        ScopeError: From every method with a `scope`: the context does not name the session or the agent.

    Example:
        >>> memory = LongTermMemory(client, embedder, None, folder)  # doctest: +SKIP
        >>> await memory.add("My name is Ada.", Context(user_id="ada"))  # doctest: +SKIP
        [{'id': '...', 'text': 'My name is Ada', 'score': 0.0, 'created_at': '...', 'scope': 'user'}]
    """

    def __init__(  # noqa: PLR0913 - the parts that a workspace puts in
        self,
        client: QdrantClient,
        embedder: Embedder,
        extractor: Extractor | None,
        folder: Path,
        collection: str = "memories",
        *,
        admission: Admission | None = None,
        ranking: Ranking | None = None,
    ) -> None:
        self._embedder = embedder
        self._extractor = extractor or StatementExtractor()
        self._folder = Path(folder)
        self._admission = admission or Admission()
        self._ranking = ranking or Ranking()
        self._vocabularies = Vocabularies()
        self._swept = float("-inf")
        self._worker = Mem0Worker(
            client, self._compute, lambda: embedder.dimension, self._folder, collection, self._sweep_if_possible
        )

    async def add(
        self,
        text: str,
        context: Context,
        *,
        scope: Scope = "user",
        expires_at: datetime | None = None,
        ttl_seconds: float | None = None,
    ) -> Memories:
        """Extract the facts from a user's message and store those that this user does not have yet.

        Args:
            text: The message.
            context: Whose memories.
            scope: Who sees them: every run of the user, those of the context's session, or those of its agent.
            expires_at: When they are deleted; a time without a zone is UTC.
            ttl_seconds: The same, counted from now; give one of the two.

        Returns:
            What was stored, with score 0; empty for questions, greetings, and facts that are known.

        Raises:
            SettingsError: The memories would have expired already, or both limits are given.
        """
        limits = {"expires_at": expires_at, "ttl_seconds": ttl_seconds}
        return (await self.remember(text, context, scope=scope, **limits)).stored  # type: ignore[arg-type]

    async def remember(  # noqa: PLR0913 - all but the first two have defaults
        self,
        text: str,
        context: Context,
        *,
        scope: Scope = "user",
        expires_at: datetime | None = None,
        ttl_seconds: float | None = None,
        answer: str = "",
    ) -> Remembered:
        """The same as `add`, with all that became of the message: what was refused and superseded, too.

        Args:
            text: As in `add`.
            context: As in `add`.
            scope: As in `add`.
            expires_at: As in `add`.
            ttl_seconds: As in `add`.
            answer: What the assistant said before the message: the user's own words are kept, not quotes of these.
        """
        place = Placement.of(context, scope, ends_at(expires_at, ttl_seconds))
        proposal = await propose(self._extractor, text, answer)
        facts, refused = self._admission.clean(proposal)
        if not facts:
            return counted(Remembered(refused=refused))
        vectors = await self._embedder.embed(facts)

        def work(mem0: Any) -> Remembered:
            if time.monotonic() - self._swept > _SWEEP_SECONDS:
                self._sweep_if_possible(mem0)
            return keep(mem0, facts, vectors, place, refused, self._admission)

        return counted(await self._run(work))

    async def flush(self) -> None:
        """Make what was kept outlast a power cut; without it, it outlasts kill -9."""
        await self._run(lambda mem0: flush(mem0.vector_store.client))

    async def search(self, query: str, context: Context, limit: int = 5, threshold: float | None = None) -> Memories:
        """The user's memories that fit a question best, best first.

        The order is that of the `ranking`: meaning, words, what was said around a memory, and its age. The score is the
        cosine alone.

        Args:
            query: The question; an empty one finds nothing.
            context: Whose memories.
            limit: Most memories.
            threshold: Least cosine, 0 to 1; None, and 0, is no limit.

        Raises:
            SettingsError: The limit or the threshold cannot be used.
        """
        if limit < 1 or not 0 <= (threshold or 0) <= 1:
            raise SettingsError(f"limit={limit} and threshold={threshold}: give at least 1, and 0 to 1 or None.")
        query = tidy(query)
        if not query:
            return []
        known = await self._run(lambda mem0: self._vocabularies.of(mem0, context))
        texts = list(dict.fromkeys([query, known.distinctive(query)]))
        vectors = await self._embedder.embed(texts)
        question = Question(vectors[0], known.rarity(query), vectors[1] if len(texts) > 1 else None)
        return await self._run(
            lambda mem0: recall(mem0, question, visible(context), limit, threshold or -1.0, self._ranking)
        )

    async def list(self, context: Context, *, everything: bool = False) -> Memories:
        """The memories that a context sees, oldest first, with score 0.

        Args:
            context: Whose memories.
            everything: Those of every session and agent of the user too: for the owner's own look at all of it.
        """

        def work(mem0: Any) -> Memories:
            points = rows.listed(mem0, context, everything=everything)
            return [rows.memory_of(point.id, point.payload) for point in points]

        return await self._run(work)

    async def get(self, id: str, context: Context) -> Memory | None:  # noqa: A002 - the state's word for it
        """One memory that the context sees, or None where there is none with this id."""

        def work(mem0: Any) -> Memory | None:
            point = rows.owned(mem0, id, context)
            return rows.memory_of(point.id, point.payload) if point is not None else None

        return await self._run(work)

    async def update(self, id: str, text: str, context: Context) -> Memory | None:  # noqa: A002 - as above
        """Replace the text of a memory by what its owner says it should be; the history keeps the old one.

        Returns:
            The memory as it is now; None where the context sees none with this id.

        Raises:
            SettingsError: The text is empty or too long for a memory.
        """
        new = self._admission.checked(text)
        vectors = await self._embedder.embed([new])

        def work(mem0: Any) -> Memory | None:
            point = rows.owned(mem0, id, context)
            if point is None:
                return None
            mem0.embedding_model.prepare([new], vectors)
            replace(mem0, str(point.id), new)
            point = rows.owned(mem0, id, context)
            return rows.memory_of(point.id, point.payload)

        return await self._run(work)

    async def history(self, id: str, context: Context) -> Sequence[dict[str, Any]]:  # noqa: A002 - as above
        """What a memory said and since when, oldest first: `old`, `new`, `event` (`ADD`, `UPDATE`), `at` (ISO 8601).

        Returns:
            Nothing where the context sees no memory with this id.
        """

        def work(mem0: Any) -> Sequence[dict[str, Any]]:
            point = rows.owned(mem0, id, context)
            return rows.history(mem0, point) if point is not None else []

        return await self._run(work)

    async def delete(self, id: str, context: Context) -> bool:  # noqa: A002 - as above
        """Delete a memory that the context sees, and its texts; their bytes stay in Qdrant's files until `forget`.

        Returns:
            False where the context sees no memory with this id.
        """

        def work(mem0: Any) -> bool:
            point = rows.owned(mem0, id, context)
            if point is not None:
                rows.delete(mem0, str(point.id))
            return point is not None

        return await self._run(work)

    async def forget(self, context: Context) -> int:
        """Erase everything of the user, of every scope: vectors, entities, history, messages, their bytes.

        Returns:
            How many memories were erased.
        """
        from freehold.memory.erasure import erase

        def work(mem0: Any) -> int:
            try:
                return erase(mem0, owner(context), self._folder)
            except BaseException:
                self._worker.reset()  # opening it again finishes what was begun
                raise

        return await self._run(work)

    async def export(self, context: Context) -> Sequence[dict[str, Any]]:
        """Everything of the user, of every scope, as plain JSON for `restore`: oldest first, without ids.

        Each entry has `text`, `created_at`, `updated_at`, `expires_at`, `scope`, `session_id`, `agent_id`, `history`.
        """
        from freehold.memory.portable import exported

        return await self._run(lambda mem0: exported(mem0, rows.listed(mem0, context, everything=True)))

    async def restore(self, entries: Sequence[Mapping[str, Any]], context: Context) -> Memories:
        """Store what `export` gave, as memories of this context's user, whoever's they were.

        Entries need a `text`; all else may be missing. Ids, users and tenants in an entry mean nothing. What the user
        has already, and what has expired, is left out. Either all entries can be read, or none is stored.

        Returns:
            What was stored.

        Raises:
            MemoryEntryError: An entry cannot be read; the error says which and why.
        """
        from freehold.memory.portable import Entry, restored

        read = [Entry.read(entry, context, number) for number, entry in enumerate(entries, 1)]
        kept = [entry for entry in read if not entry.is_expired]
        stored: Memories = []
        for first in range(0, len(kept), 64):
            batch = kept[first : first + 64]
            vectors = await self._embedder.embed([entry.text for entry in batch])
            stored += await self._run(lambda mem0, batch=batch, vectors=vectors: restored(mem0, batch, vectors))  # type: ignore[misc]
        return stored

    def close(self) -> None:
        """Finish what is under way and close mem0's database; the client stays open. May be called again."""
        self._worker.close()

    async def _run(self, work: Callable[[Any], T]) -> T:
        return await self._worker.run(work)

    def _sweep_if_possible(self, mem0: Any) -> None:
        """Delete what has expired. On a full disk it waits for the next addition: what is asked for comes first."""
        with suppress(StorageError, sqlite3.Error):  # nobody sees what has expired, deleted or not
            rows.delete_expired(mem0)
            self._swept = time.monotonic()

    def _compute(self, text: str) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = run_sync(self._embedder.embed([text]))
        return found[0]  # type: ignore[no-any-return]
