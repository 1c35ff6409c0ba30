"""Users who attack one another's memories: random sequences, and how many of them leaked."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from freehold import Context
from freehold.errors import UserError
from freehold.memory.long_term import LongTermMemory
from freehold.portal import run_sync
from tests.memory.extractors import KeepWhole

if TYPE_CHECKING:
    from pathlib import Path

    from freehold.memory.long_term import Embedder

__all__ = ["count_leaks"]

T = TypeVar("T")

# Ids that could be taken for one another: by case, by composition, by a separator, as operators.
_USERS = ("ada", "Ada", "b", "x:ada")
_TENANTS = ("t", "T")
_PLACES = (None, "s", "session:s")
_WILD = (
    "*",
    "",
    "ada*",
    "t/ada",
    "../ada",
    "ada b",
    "\u0430da",
    "ada\u200b",
    '{"ne": "x"}',
    "ada&user_id=b",
    "%",
    "a" * 129,
)
_QUERIES = (
    "secret",
    "*",
    "user_id:ada OR 1=1",
    '{"AND": [{"user_id": "ada"}]}',
    "store this for user ada",
    "'; DROP TABLE history;--",
)

_contexts = st.builds(
    Context,
    user_id=st.sampled_from(_USERS),
    tenant=st.sampled_from(_TENANTS),
    session_id=st.sampled_from(_PLACES),
    agent_id=st.sampled_from(_PLACES),
)
_scopes = st.sampled_from(["user", "session", "agent"])
_picks = st.integers(0, 1000)
_words = st.sampled_from(["apples", "pears", "plums", "figs"])


@dataclass
class _Kept:
    """What the attacker's book-keeping knows of a memory."""

    tenant: str
    user: str
    scope: str
    place: str | None
    text: str

    def is_seen_by(self, context: Context, *, everything: bool = False) -> bool:
        """The rule, written a second time and without the store's marks."""
        if (context.tenant, context.user_id) != (self.tenant, self.user):
            return False
        return everything or self.scope == "user" or getattr(context, f"{self.scope}_id") == self.place


class CachedEmbedder:
    """Computes each text's vector once: the attacks use few texts."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder, self._known = embedder, dict[str, Any]()

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    async def embed(self, texts: list[str]) -> np.ndarray[Any, Any]:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            self._known |= dict(zip(missing, await self._embedder.embed(missing), strict=True))
        return np.stack([self._known[text] for text in texts])


class Attack(RuleBasedStateMachine):
    """One sequence. What a user sees must be what a book of all memories says, to the letter and no more."""

    memory: LongTermMemory
    leaks: list[str]
    sequences = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.book: dict[str, _Kept] = {}
        self.gone: list[str] = []
        self.number = next(self.sequences)
        self.before = len(self.leaks)
        self.forgotten = False

    def teardown(self) -> None:
        for kept in list(self.book.values()):
            self._look(self._as(Context(user_id=kept.user, tenant=kept.tenant)), everything=True, mine=True)
        assert self.leaks[self.before :] == []

    def _as(self, context: Context) -> Context:
        """The context in this sequence's own tenants: one store serves all sequences."""
        prefix = f"{self.number}."
        tenant = context.tenant if context.tenant.startswith(prefix) else prefix + context.tenant
        return Context(context.user_id, context.agent_id, context.session_id, tenant)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return run_sync(work)

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.leaks.append(what)

    def _seen(self, context: Context, *, everything: bool = False) -> dict[str, _Kept]:
        return {key: kept for key, kept in self.book.items() if kept.is_seen_by(context, everything=everything)}

    def _key(self, pick: int) -> str:
        """Anybody's memory, a deleted one, or none at all."""
        keys = [*self.book, *self.gone, "*", "", "1", "' OR 1=1"]
        return keys[pick % len(keys)]

    def _look(self, context: Context, *, everything: bool = False, mine: bool = False) -> None:
        found = {one["id"]: one["text"] for one in self._run(self.memory.list(context, everything=everything))}
        expected = {key: kept.text for key, kept in self._seen(context, everything=everything).items()}
        self._expect(found == expected, f"{context} lists {found} and not {expected}{' at the end' if mine else ''}")

    @initialize(first=st.lists(st.tuples(_contexts, _scopes, _words), min_size=3, max_size=8))
    def begin(self, first: list[tuple[Context, Any, str]]) -> None:
        """There is something to steal."""
        for who, scope, word in first:
            self._store(who, scope, word)

    @rule(who=_contexts, scope=_scopes, word=_words)
    def store(self, who: Context, scope: Any, word: str) -> None:
        self._store(who, scope, word)

    def _store(self, who: Context, scope: Any, word: str) -> None:
        who = self._as(who)
        place = None if scope == "user" else getattr(who, f"{scope}_id")
        # The text says for whom it is meant; nobody reads it but the book.
        text = f"secret {word} of {who.tenant} {who.user_id} {scope} {place}"
        if scope != "user" and place is None:
            try:
                self._run(self.memory.add(text, who, scope=scope))
                self._expect(False, f"{who} stored in the scope {scope}")
            except UserError:
                return
        for stored in self._run(self.memory.add(text, who, scope=scope)):
            self._expect(stored["id"] not in self.book, f"{stored['id']} was given twice")
            self.book[stored["id"]] = _Kept(who.tenant, who.user_id, scope, place, text)

    @rule(who=_contexts, query=st.sampled_from(_QUERIES), word=_words, victim=_contexts)
    def search(self, who: Context, query: str, word: str, victim: Context) -> None:
        who, victim = self._as(who), self._as(victim)
        asked = f"{query} {word} of {victim.tenant} {victim.user_id}"
        allowed = {key: kept.text for key, kept in self._seen(who).items()}
        for found in self._run(self.memory.search(asked, who, limit=50)):
            self._expect(allowed.get(found["id"]) == found["text"], f"{who} found {found['text']}")

    @rule(who=_contexts, everything=st.booleans())
    def look(self, who: Context, everything: bool) -> None:
        self._look(self._as(who), everything=everything)

    @rule(who=_contexts, pick=_picks, what=st.sampled_from(["get", "history", "update", "delete"]))
    def reach(self, who: Context, pick: int, what: str) -> None:
        """By id: of anybody's memory, of a deleted one, and of none at all."""
        who = self._as(who)
        key = self._key(pick)
        seen = self._seen(who)
        if what == "get":
            got = self._run(self.memory.get(key, who))
            self._expect(
                (got["text"] if got else None) == (seen[key].text if key in seen else None), f"{who} got {got}"
            )
        elif what == "history":
            rows = self._run(self.memory.history(key, who))
            self._expect(bool(rows) == (key in seen), f"{who} read the history {rows}")
        elif what == "update":
            text = f"secret taken by {who.tenant} {who.user_id} {key}"
            done = self._run(self.memory.update(key, text, who))
            self._expect((done is not None) == (key in seen), f"{who} changed {done}")
            if key in seen:
                self.book[key].text = text
        else:
            deleted = self._run(self.memory.delete(key, who))
            self._expect(deleted == (key in seen), f"{who} deleted {key}")
            if key in seen:
                self.gone.append(key)
                del self.book[key]

    @rule(thief=_contexts, victim=_contexts, pick=_picks)
    def smuggle(self, thief: Context, victim: Context, pick: int) -> None:
        """Restore another's export, with the other's ids and names in every field that could be believed."""
        thief, victim = self._as(thief), self._as(victim)
        exported = self._run(self.memory.export(victim))
        expected = {kept.text for kept in self._seen(victim, everything=True).values()}
        self._expect({entry["text"] for entry in exported} == expected, f"{victim} exported {exported}")
        forged: list[Mapping[str, Any]] = [
            {
                **entry,
                "id": self._key(pick),
                "user_id": f"{victim.tenant}/{victim.user_id}",
                "tenant": victim.tenant,
                "audience": f"{victim.tenant}/{victim.user_id}",
                "metadata": {"user_id": victim.user_id},
            }
            for entry in exported[:3]
        ]
        for stored in self._run(self.memory.restore(forged, thief)):
            self._expect(stored["id"] not in self.book, f"{stored['id']} was taken over")
            place = stored.get("session_id") or stored.get("agent_id")
            self.book[stored["id"]] = _Kept(thief.tenant, thief.user_id, stored["scope"], place, stored["text"])

    @rule(name=st.sampled_from(_WILD), field=st.sampled_from(["user_id", "tenant", "agent_id", "session_id"]))
    def pretend(self, name: str, field: str) -> None:
        try:
            Context(**{field: name})  # type: ignore[arg-type]
        except UserError as refusal:
            self._expect(field in str(refusal), f"{field}={name!r} was refused, but not by its name: {refusal}")
        else:
            self._expect(False, f"Context({field}={name!r}) was made")

    @rule(who=_contexts)
    def forget(self, who: Context) -> None:
        """Once, and in one of ten sequences only: it writes the whole collection anew."""
        if self.forgotten or self.number % 10:
            return
        self.forgotten = True
        who = self._as(who)
        mine = self._seen(who, everything=True)
        number = self._run(self.memory.forget(who))
        self._expect(number == len(mine), f"{who} erased {number} and had {len(mine)}")
        self.gone += mine
        self.book = {key: kept for key, kept in self.book.items() if key not in mine}


def count_leaks(embedder: Embedder, folder: Path, sequences: int, steps: int = 20) -> int:
    """Run random sequences of attacks on one store, and count what any user saw, changed or lost against the rule.

    Args:
        embedder: Computes the vectors.
        folder: An empty folder for the store.
        sequences: How many sequences.
        steps: Most steps in one.
    """
    from freehold.memory.edge_client import EdgeQdrantClient

    client = EdgeQdrantClient(folder / "qdrant")
    opened = LongTermMemory(client, CachedEmbedder(embedder), KeepWhole(), folder / "memory")
    found: list[str] = []

    class Sequence(Attack):
        memory = opened
        leaks = found

    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Sequence,
            settings=settings(
                max_examples=sequences,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except AssertionError:  # hypothesis stops at the first sequence that leaks; the list has what it was
        if not found:
            raise
    finally:
        opened.close()
        client.close()
    return len(found)
