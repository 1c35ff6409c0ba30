"""The response cache: the same question in the same situation is answered once."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from freehold.context import Context
from freehold.coordination.answer import CachedAnswer
from freehold.coordination.gate import refusal
from freehold.coordination.situation import Situation, normalise
from freehold.coordination.store import AnswerStore
from freehold.errors import SettingsError
from freehold.portal import run_sync

__all__ = ["CacheStats", "Lookup", "QuestionIndex", "ResponseCache"]

_log = logging.getLogger(__name__)

DEFAULT_THRESHOLD = 0.95
"""Least cosine similarity of a semantic hit, for all-MiniLM-L6-v2 (Q8_0).

On 8,000 Quora question pairs chosen to look alike (38 % ask the same), with the gate:

| threshold | 0.90 | 0.92 | 0.93 | 0.94 | 0.95 | 0.96 | 0.97 | 0.98 |
|---|---|---|---|---|---|---|---|---|
| precision | 0.808 | 0.834 | 0.845 | 0.862 | 0.882 | 0.903 | 0.927 | 0.940 |
| recall | 0.410 | 0.328 | 0.290 | 0.248 | 0.211 | 0.169 | 0.130 | 0.083 |
| precision without the gate | 0.794 | 0.819 | 0.829 | 0.846 | 0.865 | 0.890 | 0.914 | 0.934 |

A wrong answer costs more than a miss, so the default stands above the usual 0.92; no threshold alone is safe.
"""
_MOST_CHARACTERS = 500  # longer texts are cut by the encoder or blur in it: for these only the exact tier answers
_CANDIDATES = 4  # the nearest may be refused by the gate, or its entry gone, while the next one serves


class QuestionIndex(Protocol):
    """Finds earlier questions of like meaning within a scope; `freehold.memory.SemanticIndex` is one."""

    async def add(
        self, key: str, question: str, scope: str, *, ttl_seconds: float | None = None, owner: str = ""
    ) -> None:
        """Put a question under the key of its answer, and keep it no longer than this; None sets no time."""
        ...

    async def nearest(self, question: str, scope: str, limit: int = 1) -> list[tuple[str, str, float]]:
        """The nearest questions of the scope, best first: key, question, cosine similarity."""
        ...

    async def remove(self, key: str) -> None:
        """Forget the question under this key."""
        ...

    async def forget(self, owner: str) -> None:
        """Forget every question of this owner, down to the bytes where they are the index's own."""
        ...

    async def clear(self) -> None:
        """Forget every question."""
        ...

    async def close(self) -> None:
        """Give threads and connections back; closing twice is closing once."""
        ...


@dataclass(frozen=True)
class Lookup:
    """What a look into the cache gave, and on which evidence."""

    outcome: Literal["hit", "miss", "error"]
    """`error` is a miss because the cache could not be read."""
    key: str
    """The exact key of this question in this situation."""
    reason: str
    """One sentence for a person."""
    tier: Literal["exact", "semantic"] | None = None
    """The tier that answered; None without a hit."""
    entry: CachedAnswer | None = None
    """The answer; None without a hit."""
    score: float | None = None
    """Cosine similarity of the earlier question that decided; None where the semantic tier gave none."""
    threshold: float | None = None
    """What the score was held against."""
    matched_question: str | None = None
    """The earlier question: the one whose answer is served, or the one that was looked at and refused."""


@dataclass(frozen=True)
class CacheStats:
    """What this cache object did since it was made."""

    exact_hits: int = 0
    semantic_hits: int = 0
    misses: int = 0
    errors: int = 0
    """Lookups that missed because the cache could not be read."""
    gate_refusals: int = 0
    """Questions above the threshold that the gate refused."""
    stored: int = 0
    store_errors: int = 0


class ResponseCache:
    """Answers by question and situation: first the very same question, then one of the same meaning.

    A semantic hit needs a cosine similarity at or above the threshold, the same scope, the gate's consent, and an entry
    that is still there. A cache that is down is a miss with outcome `error` and a line in the log, never an exception.

    Args:
        store: Where the answers lie. The cache owns it, and closes it.
        index: Finds questions of like meaning; None leaves the exact tier only. The cache owns it, and closes it.
        threshold: Least cosine similarity of a semantic hit; see `DEFAULT_THRESHOLD` for how it was chosen.
        ttl_seconds: How long an answer may be served, and its question kept in the index; seven days by default.
        gate: Says why a candidate above the threshold may not serve a question, or None.

    Raises:
        SettingsError: The threshold is outside -1 to 1, or the time to live is not above 0.

    Example:
        >>> from freehold.coordination import CachedAnswer, ResponseCache, Situation, SQLiteStore
        >>> from freehold.portal import run_sync
        >>> cache = ResponseCache(SQLiteStore(tmp_path / "answers.sqlite3"), None)
        >>> situation = Situation(model="demo", user_id="ada")
        >>> run_sync(cache.store("What is Freehold?", situation, CachedAnswer("What is Freehold?", "A plugin.")))
        True
        >>> run_sync(cache.lookup("what is  freehold", situation)).outcome
        'hit'
        >>> cache.close()
    """

    def __init__(
        self,
        store: AnswerStore,
        index: QuestionIndex | None,
        *,
        threshold: float = DEFAULT_THRESHOLD,
        ttl_seconds: float = 7 * 24 * 3600,
        gate: Callable[[str, str], str | None] = refusal,
    ) -> None:
        if not -1 <= threshold <= 1:
            raise SettingsError(f"threshold={threshold} cannot be used: a cosine similarity lies between -1 and 1.")
        if not ttl_seconds > 0:
            raise SettingsError(f"ttl_seconds={ttl_seconds} cannot be used: give a time above 0.")
        self.threshold = threshold
        self.ttl_seconds = ttl_seconds
        self._store = store
        self._index = index
        self._gate = gate
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def stats(self) -> CacheStats:
        """Counts since this object was made, over all threads."""
        with self._lock:
            return CacheStats(**self._counts)

    async def lookup(self, question: str, situation: Situation) -> Lookup:
        """Look for an answer to the question in this situation."""
        key = situation.key(question)
        try:
            found = await self._exact(key) or await self._semantic(key, question, situation.scope)
        except Exception as error:  # noqa: BLE001 - whatever a store or an encoder raises, the run goes on without the cache
            _log.warning("The response cache could not be read; the question goes on as a miss: %s", error)
            found = Lookup("error", key, f"The cache could not be read: {error}")
        self._count({"hit": f"{found.tier}_hits", "miss": "misses", "error": "errors"}[found.outcome])
        return found

    async def store(self, question: str, situation: Situation, answer: CachedAnswer) -> bool:
        """Keep an answer for this question in this situation; say whether an exact repeat will find it."""
        key = situation.key(question)
        try:
            await self._store.set(key, answer.encode(), self.ttl_seconds)
        except Exception as error:  # noqa: BLE001 - an answer that cannot be kept is still an answer
            _log.warning("An answer could not be cached: %s", error)
            self._count("store_errors")
            return False
        self._count("stored")
        if self._index is not None and _has_meaning(question):
            try:
                await self._index.add(
                    key, question, situation.scope, ttl_seconds=self.ttl_seconds, owner=situation.owner
                )
            except Exception as error:  # noqa: BLE001 - the exact tier has it
                _log.warning("An answer was cached for exact repeats only: %s", error)
                self._count("store_errors")
        return True

    async def forget(self, context: Context) -> int:
        """Erase every answer and every question of a user, whichever agent asked; say how many answers went.

        A call that was interrupted is completed by the next one.

        Raises:
            StorageError: Something could not be erased: unlike a lookup, its owner must know.
        """
        owner = Situation(model="", tenant=context.tenant, user_id=context.user_id).owner
        try:
            if self._index is not None:
                await self._index.forget(owner)
        finally:
            erased = await self._store.clear(f"{owner}.")
        return erased

    async def clear(self) -> int:
        """Remove every answer; say how many went.

        Raises:
            StorageError: The cache could not be cleared: unlike a lookup, its owner must know.
        """
        if self._index is not None:
            await self._index.clear()
        return await self._store.clear()

    async def count(self) -> int:
        """How many answers are kept.

        Raises:
            StorageError: The cache cannot be read.
        """
        return await self._store.count()

    async def aclose(self) -> None:
        """Close the store and the index; closing twice is closing once."""
        try:
            if self._index is not None:
                await self._index.close()
        finally:
            await self._store.close()

    def close(self) -> None:
        """Close the store and the index, for synchronous callers."""
        run_sync(self.aclose())

    async def _exact(self, key: str) -> Lookup | None:
        entry = await self._read(key)
        if entry is None:
            return None
        reason = "The same question was answered before."
        return Lookup("hit", key, reason, "exact", entry, matched_question=entry.question)

    async def _semantic(self, key: str, question: str, scope: str) -> Lookup:
        if self._index is None:
            return Lookup("miss", key, "No answer to this question is cached.")
        if not _has_meaning(question):
            return Lookup("miss", key, "No answer is cached, and the question's length rules out one of like meaning.")
        miss: Lookup | None = None
        for candidate, earlier, score in await self._index.nearest(question, scope, limit=_CANDIDATES):
            near = Lookup(
                "miss",
                key,
                "The nearest earlier question is not near enough.",
                score=score,
                threshold=self.threshold,
                matched_question=earlier,
            )
            if score < self.threshold:
                miss = miss or near
                break
            objection = self._gate(question, earlier)
            if objection is not None:
                self._count("gate_refusals")
                miss = miss or replace(near, reason=f"A similar question was refused. {objection}")
                continue
            entry = await self._read(candidate)
            if entry is not None:
                reason = "A question of the same meaning was answered before."
                return replace(near, outcome="hit", reason=reason, tier="semantic", entry=entry)
            # Expired or evicted: the index learns of it here.
            await self._index.remove(candidate)
        return miss or Lookup("miss", key, "No earlier question of this scope is cached.")

    async def _read(self, key: str) -> CachedAnswer | None:
        data = await self._store.get(key)
        if data is None:
            return None
        entry = CachedAnswer.decode(data)
        if entry is None:
            _log.info("The cached entry %s is of another version, or damaged; it counts as missing.", key)
        return entry

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1


def _has_meaning(question: str) -> bool:
    """Whether an encoder can take the whole question in."""
    return bool(normalise(question)) and len(question) <= _MOST_CHARACTERS
