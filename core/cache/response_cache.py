"""The response cache: the same question in the same situation is answered once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from freehold import metrics
from freehold.cache.answer import Alias, CachedAnswer
from freehold.cache.compare_answers import AnswerComparer, CompareAnswers
from freehold.cache.evidence import Evidence, HitStrategy
from freehold.cache.freshness import Freshness, SourceTable
from freehold.cache.lookup import Lookup, QuestionIndex, Ticket
from freehold.cache.lookups import Lookups, Parts, has_meaning
from freehold.cache.memory_tier import MemoryTier
from freehold.cache.report import CacheReport, latency_count
from freehold.cache.situation import Situation, digest, normalise
from freehold.cache.tally import Tally
from freehold.cache.threshold_hits import ThresholdHits
from freehold.cache.tiers import Tiers
from freehold.cache.upkeep import Upkeep
from freehold.coordination.flights import Flights, Leading, leading
from freehold.coordination.ledger import Ledger
from freehold.coordination.store import AnswerStore
from freehold.errors import CacheEntryError
from freehold.portal import run_sync

__all__ = ["ResponseCache"]

_log = logging.getLogger(__name__)

_MOST_SETTLED = 1000


class ResponseCache(Upkeep):
    """Answers by question and situation: from memory, from the store, by meaning, or with a run that is under way.

    A cache that is down is a miss with outcome `error` and a line in the log, never an exception.

    Args:
        store: Where the answers lie. The cache owns it, as everything below, and closes it.
        index: Finds questions of like meaning; None leaves the exact tiers only.
        strategy: Which of them may serve; None is `ThresholdHits()`.
        freshness: How long an answer lives.
        sources: What documents hold now, so that answers die with what they cite; None asks nobody.
        flights: Lets equal questions in flight wait for one of them; None lets each run.
        comparer: Says whether two answers are the same, for strategies that learn from it.
        ledger: Keeps counts beyond this process; None counts in memory.
        memory: The first tier; None is one of 2,000 entries and 16 MiB.
        recheck_seconds: How long it is believed before the store is asked again.

    Example:
        >>> from freehold.cache import CachedAnswer, ResponseCache, Situation
        >>> from freehold.coordination import SQLiteStore
        >>> from freehold.portal import run_sync
        >>> cache = ResponseCache(SQLiteStore(tmp_path / "answers.sqlite3"), None)
        >>> situation = Situation(model="demo", user_id="ada")
        >>> run_sync(cache.store("What is Freehold?", situation, CachedAnswer("What is Freehold?", "A plugin.")))
        True
        >>> run_sync(cache.lookup("what is  freehold", situation)).outcome
        'hit'
        >>> cache.close()
    """

    def __init__(  # noqa: PLR0913 - each is a part that a user may put in
        self,
        store: AnswerStore,
        index: QuestionIndex | None,
        *,
        strategy: HitStrategy | None = None,
        freshness: Freshness | None = None,
        sources: SourceTable | None = None,
        flights: Flights | None = None,
        comparer: AnswerComparer | None = None,
        ledger: Ledger | None = None,
        memory: MemoryTier | None = None,
        recheck_seconds: float = 60.0,
    ) -> None:
        self._ledger = ledger
        self._comparer = comparer or CompareAnswers()
        self._parts = Parts(
            tiers=Tiers(store, memory if memory is not None else MemoryTier(), recheck_seconds=recheck_seconds),
            index=index,
            strategy=strategy or ThresholdHits(),
            freshness=freshness or Freshness(),
            sources=sources,
            flights=flights,
            tally=Tally(ledger),
        )
        self._lookups = Lookups(self._parts)
        self._settled = _Settled()

    @property
    def memory(self) -> MemoryTier:
        """The first tier."""
        return self._parts.tiers.memory

    # --- answering --------------------------------------------------------------------------------------------------

    async def lookup(
        self,
        question: str,
        situation: Situation,
        *,
        on_piece: Callable[[str], None] = lambda _: None,
        shares: bool = True,
    ) -> Lookup:
        """Look for an answer to the question in this situation.

        Args:
            question: As it was asked.
            situation: Everything else that the answer depends on.
            on_piece: Gets the pieces of an answer that another run is writing, as they come. Where that run ends and
                another begins the answer anew, only what goes on in the same words follows.
            shares: Whether this run's answer may be kept and given to others; where not, nobody waits for it, and a
                miss has an empty ticket.

        Returns:
            A hit; or a miss with a ticket. Where others wait for this run's answer, `store`, `land` or `give_up` with
            that ticket ends it; where none does, it ends by itself after a while.
        """
        started = time.perf_counter()
        found = await self._lookups.find(situation.key(question), question, situation, on_piece, lead=shares)
        await self._note(found, time.perf_counter() - started)
        return found

    async def store(
        self, question: str, situation: Situation, answer: CachedAnswer, ticket: Ticket | None = None
    ) -> bool:
        """Keep an answer for this question in this situation; say whether an exact repeat will find it.

        Args:
            question: As it was asked.
            situation: As it was when the cache was asked.
            answer: Complete, and allowed by whoever checks answers. The documents that it relies on are named in
                `sources`; their digests are filled in.
            ticket: What the lookup gave: those who wait get the answer, and it is compared with the earlier one.
        """
        parts, key, ticket = self._parts, situation.key(question), ticket or Ticket()
        if parts.sources is not None:
            documents = parts.sources.version()
            if ticket.documents not in ("", documents):
                await self.land(ticket, answer)
                return False
            digests = {source: parts.sources.digest(source) or "" for source in answer.sources}
            answer = replace(answer, documents=documents, sources=digests)
        evidence = ticket.evidence if parts.strategy.compares else None
        before, *compared = await parts.tiers.peek([key] if evidence is None else [key, evidence.entry])
        known = before if isinstance(before, CachedAnswer) else None
        if known is not None and known.quarantined and not known.doubted and _alike(known, answer):
            await self.land(ticket, answer)
            return False
        answer = replace(answer, stayed=await self._stayed(answer.sources))
        ttl = parts.freshness.ttl(0, answer.stayed)
        await parts.strategy.forget(key)  # what was compared was the answer before
        kept = await parts.tiers.write(key, answer, ttl, [*map(digest, answer.sources)])
        await self.land(ticket, answer)
        if kept:
            await parts.tally.add(stored=1)
            await self._index(key, question, situation, ttl)
        confirmed = ticket.confirms and not (isinstance(before, Alias) and evidence and before.entry == evidence.entry)
        earlier = compared[0] if compared else None
        if evidence is not None and isinstance(earlier, CachedAnswer) and not (earlier.quarantined or confirmed):
            await self._compare(question, evidence, earlier, answer, served=ticket.confirms)
        return kept

    async def land(self, ticket: Ticket, answer: CachedAnswer) -> None:
        """Give an answer to those who wait for it, whether it is kept or not."""
        if (seat := self.seat(ticket)) is not None:
            await seat.land(answer.encode())

    def give_up(self, ticket: Ticket, reason: str) -> None:
        """Tell those who wait that this run has no answer to share; each goes on by itself."""
        if (seat := self.seat(ticket)) is not None:
            seat.decline(reason)

    def seat(self, ticket: Ticket) -> Leading | None:
        """The leader's seat of the run that has this ticket; None where nobody can wait for it any more."""
        return leading(ticket.flight) if ticket.flight else None

    async def report(self, entry: str | Mapping[str, Any], *, correct: bool) -> bool:
        """Say whether an answer that was served is right; a wrong one is quarantined at once, and served to nobody.

        An answer that was wrong for another question than its own may be right for that one: where it is written for
        its own question again in the same words, it is back.

        Args:
            entry: The `cache` of a run's state, which also tells for which question it was served; or the key or id of
                an entry.
            correct: True lifts the quarantine.

        Returns:
            Whether the entry is there.

        Raises:
            CacheEntryError: The id is that of several entries, or names none.
            StorageError: The store cannot be read or written.
        """
        evidence: Evidence | None = None
        if isinstance(entry, Mapping):
            given = entry.get("evidence")
            evidence = Evidence.of(given) if given else None
            key = entry.get("entry")
            if not isinstance(key, str):
                raise CacheEntryError("This run was not answered from the cache; there is nothing to report on.")
        else:
            key = await self._key(entry)
        others = evidence is not None and evidence.entry == key  # it was served to another question
        if evidence is not None and others and not self._settled.knows(evidence, correct=correct):
            await self._learn(evidence, correct=correct, served=True)
        if not correct:
            await self._parts.tally.add({"reported.wrong": 1})
        return await self._quarantine(key, wrong=not correct, doubted=others)

    # --- the whole ----------------------------------------------------------------------------------------------------

    async def summary(self) -> CacheReport:
        """What the cache did, over all processes since it was cleared last.

        Raises:
            StorageError: The counts cannot be read.
        """
        counts = await self._parts.tally.counts()
        return CacheReport.of(counts)

    async def aclose(self) -> None:
        """Close everything; closing twice is closing once."""
        parts = self._parts
        closing = [parts.tally.write, parts.strategy.close]
        closing += [part.close for part in (parts.flights, self._ledger, parts.index, parts.tiers.store) if part]
        failures = [f for f in await asyncio.gather(*(close() for close in closing), return_exceptions=True) if f]
        for failure in failures:
            raise failure

    def close(self) -> None:
        """`aclose` for synchronous callers."""
        run_sync(self.aclose())

    async def _note(self, found: Lookup, seconds: float) -> None:
        """Count a lookup, for the report and for metrics."""
        tier, waited = found.tier or "none", found.tier == "flight"
        metrics.cache_lookups().labels(tier, found.outcome).inc()
        name = found.outcome if found.outcome != "hit" else f"hit.{found.tier}"
        counts = {f"lookup.{name}": 1.0}
        if found.entry is not None and found.evidence is not None and found.tier != "semantic":
            counts["lookup.again"] = 1.0  # another question's answer, served to the same question before
        if not waited:
            metrics.cache_lookup_seconds().labels(tier).observe(seconds)
            counts[latency_count(seconds)] = 1.0
        if (entry := found.entry) is not None:
            metrics.cache_saved_tokens().inc(entry.tokens)
            metrics.cache_saved_seconds().inc(entry.seconds)
            counts |= {"saved.tokens": entry.tokens, "saved.seconds": entry.seconds}
        await self._parts.tally.add(counts)

    # --- parts of storing -----------------------------------------------------------------------------------------

    async def _index(self, key: str, question: str, situation: Situation, ttl_seconds: float) -> None:
        if self._parts.index is None or not has_meaning(question):
            return
        try:
            await self._parts.index.add(key, question, situation.scope, ttl_seconds=ttl_seconds, owner=situation.owner)
        except Exception as error:  # noqa: BLE001 - the exact tiers have it
            _log.warning("An answer was cached for exact repeats only: %s", error)

    async def _compare(
        self, question: str, evidence: Evidence, earlier: CachedAnswer, answer: CachedAnswer, *, served: bool
    ) -> None:
        try:
            same = await self._comparer.same(question, earlier, answer)
        except Exception as error:  # noqa: BLE001 - what cannot be compared teaches nothing
            _log.warning("Two answers could not be compared: %s", error)
            return
        if same is None:
            return
        metrics.cache_compared().labels(str(served).lower(), str(same).lower()).inc()
        await self._learn(evidence, correct=same, served=served)

    async def _learn(self, evidence: Evidence, *, correct: bool, served: bool) -> None:
        name = "checked" if served else "explored"
        evidence = self._settled.settle(evidence, correct=correct) if served else evidence
        await self._parts.strategy.learn(evidence, correct=correct, served=served)
        await self._parts.tally.add({name: 1, f"{name}.wrong": not correct})


class _Settled:
    """Of the newest hits by meaning, what they turned out to be: what one risked is settled once."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, tuple[float, ...]], bool] = OrderedDict()

    def knows(self, evidence: Evidence, *, correct: bool) -> bool:
        """Whether the same was said of the same two questions before."""
        return self._known.get((evidence.entry, evidence.signals)) is correct

    def settle(self, evidence: Evidence, *, correct: bool) -> Evidence:
        """The evidence with the risk that it stands for until now: after a verdict, that is 0 or 1."""
        pair = (evidence.entry, evidence.signals)
        before = self._known.get(pair)
        self._known[pair] = correct
        if len(self._known) > _MOST_SETTLED:
            self._known.popitem(last=False)
        return evidence if before is None else replace(evidence, risk=float(not before))


def _alike(first: CachedAnswer, second: CachedAnswer) -> bool:
    return normalise(first.answer) == normalise(second.answer)
