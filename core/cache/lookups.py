"""How a question finds its answer: memory, store, meaning, or a run that is under way with the same question."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from freehold import metrics
from freehold.cache.answer import Alias, CachedAnswer
from freehold.cache.evidence import Evidence, HitStrategy
from freehold.cache.freshness import Freshness, SourceTable
from freehold.cache.lookup import Lookup, QuestionIndex, Ticket
from freehold.cache.situation import Situation, normalise
from freehold.cache.tally import Tally
from freehold.cache.tiers import Found, Tiers
from freehold.coordination.flights import Declined, Flights, Following, Landed, Leading, Piece

__all__ = ["Lookups", "Parts", "has_meaning"]

_log = logging.getLogger(__name__)

_MOST_CHARACTERS = 500  # longer texts are cut by the encoder or blur in it: for these only the exact tiers answer
_CANDIDATES = 8


def has_meaning(question: str) -> bool:
    """Whether an encoder can take the whole question in."""
    return bool(normalise(question)) and len(question) <= _MOST_CHARACTERS


@dataclass(frozen=True)
class Parts:
    """What looking up and storing have in common."""

    tiers: Tiers
    index: QuestionIndex | None
    strategy: HitStrategy
    freshness: Freshness
    sources: SourceTable | None
    flights: Flights | None
    tally: Tally


class _Heard:
    """Passes on the pieces of an answer; where another leader begins it anew, what was heard is not said twice.

    An answer that comes out in other words is not passed on any further: it comes whole when it lands.
    """

    def __init__(self, on_piece: Callable[[str], None]) -> None:
        self._on_piece = on_piece
        self._said = self._heard = ""

    def begin(self) -> None:
        """The next piece is the first one of an answer."""
        self._heard = ""

    def piece(self, text: str) -> None:
        """Pass on what is new of it."""
        self._heard += text
        if self._heard.startswith(self._said) and self._heard != self._said:
            self._on_piece(self._heard[len(self._said) :])
            self._said = self._heard


class Lookups:
    """Looks an answer up, and lets equal questions in flight wait for one of them.

    The first that asks looks through the tiers for all; what it does not find it generates, and the others receive its
    tokens. Where it is cancelled or dies, one of the others takes its place.

    Args:
        parts: Tiers, index, strategy and flights.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def find(
        self, key: str, question: str, situation: Situation, on_piece: Callable[[str], None], *, lead: bool = True
    ) -> Lookup:
        """The answer; or a miss, with a flight where this run leads. Without `lead` it neither leads nor follows."""
        parts, heard = self._parts, _Heard(on_piece)
        missed: Lookup | None = None  # what this run found itself: it counted as a request
        while True:
            recalled = await self._served(key, parts.tiers.recall(key), counted=missed is not None)
            if recalled is not None and recalled.outcome == "hit":
                return recalled
            missed = recalled or missed
            if not lead:
                return replace(missed or await self._look(key, question, situation), ticket=Ticket())
            if parts.flights is None:
                return missed or await self._look(key, question, situation)
            seat = await parts.flights.board(key)
            if isinstance(seat, Leading):
                found = await self._lead(seat, key, question, situation, recalled)
                if found.outcome == "hit" or found.ticket.flight is not None:
                    return found
                missed, seat = found, seat.following()
            ended = await self._follow(seat, heard)
            if isinstance(ended, CachedAnswer):
                if missed is None:
                    await parts.strategy.repeated()
                reason = "The same question was being answered; its answer came with it."
                return Lookup("hit", key, reason, "flight", ended, key)
            if ended == "declined":
                return missed or await self._look(key, question, situation)

    async def _lead(
        self, seat: Leading, key: str, question: str, situation: Situation, recalled: Lookup | None
    ) -> Lookup:
        """Look for everybody; a miss without a flight where another process leads already."""
        parts = self._parts
        with seat.hold():
            found = recalled or await self._look(key, question, situation)
            if found.outcome != "hit":
                if not await seat.lead():
                    return found
                if parts.flights is not None and parts.flights.shared:
                    # Another process may have landed between the look and the lease.
                    landed = await parts.tiers.read(key)
                    if landed is not None and isinstance(landed.value, CachedAnswer):
                        found = await self._served(key, landed, counted=True) or found
        if found.outcome == "hit":
            seat.abandon()  # who waits looks again, and finds it
            return found
        return replace(found, ticket=replace(found.ticket, flight=seat.token))

    async def _follow(self, seat: Following, heard: _Heard) -> CachedAnswer | Literal["again", "declined"]:
        """Wait for the one that leads."""
        heard.begin()
        async for event in seat:
            if isinstance(event, Piece):
                heard.piece(event.text)
            elif isinstance(event, Landed):
                answer = CachedAnswer.decode(event.result)
                return answer if answer is not None else "declined"
            elif isinstance(event, Declined):
                return "declined"
        return "again"

    async def _look(self, key: str, question: str, situation: Situation) -> Lookup:
        """The store, then meaning."""
        failures = self._parts.tiers.failures
        try:
            found = await self._served(key, await self._parts.tiers.read(key))
            found = found or await self._semantic(key, question, situation.scope)
        except Exception as error:  # noqa: BLE001 - whatever an index or an encoder raises, the run goes on without it
            _log.warning("The response cache could not be read; the question goes on as a miss: %s", error)
            return Lookup("error", key, f"The cache could not be read: {error}")
        if found.outcome == "miss" and self._parts.tiers.failures > failures:
            return replace(found, outcome="error", reason=f"The cache's store does not answer. {found.reason}")
        return found

    async def _served(self, key: str, found: Found | None, *, counted: bool = False) -> Lookup | None:
        """What an entry that was found under the question's own key gives; None where it may not be served."""
        if found is None:
            return None
        if isinstance(found.value, Alias):
            return await self._through(key, found.value, found)
        if not await self._fresh(key, found.value, found):
            return None
        if not counted:
            await self._parts.strategy.repeated()
        return Lookup("hit", key, "The same question was answered before.", found.tier, found.value, key)

    async def _through(self, key: str, alias: Alias, found: Found) -> Lookup | None:
        """The answer that the question was served before, which is another question's; or a miss to confirm it."""
        parts = self._parts
        if parts.strategy.compares and not alias.signals:  # a strategy that estimates nothing wrote it
            await parts.tiers.drop(key)
            return None
        target = parts.tiers.recall(alias.entry) or await parts.tiers.read(alias.entry)
        entry = target.value if target is not None else None
        if target is None or not isinstance(entry, CachedAnswer) or not await self._fresh(alias.entry, entry, target):
            await parts.tiers.drop(key)
            return None
        evidence = Evidence(alias.entry, entry.question, alias.similarity, alias.signals, risk=alias.risk)
        today = await parts.strategy.again(evidence)
        if today is None:
            reason = f"It was served another question's answer at a risk of {alias.risk:.1%}, and is confirmed now."
            ticket = self._ticket(evidence, confirms=True)
            return Lookup("miss", key, reason, evidence=evidence, score=_score(evidence), ticket=ticket)
        reason = "The same question was served this answer before, to another one."
        return Lookup("hit", key, reason, found.tier, entry, alias.entry, today, _score(today))

    async def _semantic(self, key: str, question: str, scope: str) -> Lookup:
        parts = self._parts
        if parts.index is None:
            return Lookup("miss", key, "No answer to this question is cached.", ticket=self._ticket())
        if not has_meaning(question):
            reason = "No answer is cached, and the question's length rules out one of like meaning."
            return Lookup("miss", key, reason, ticket=self._ticket())
        near = await parts.index.nearest(question, scope, limit=_CANDIDATES)
        while True:
            choice = await parts.strategy.choose(question, near)
            evidence = choice.evidence
            missed = Lookup(
                "miss",
                key,
                choice.reason,
                evidence=evidence,
                score=choice.score,
                threshold=choice.threshold,
                ticket=self._ticket(evidence),
            )
            if not choice.allowed or evidence is None:
                return missed
            failures = parts.tiers.failures
            served = parts.tiers.recall(evidence.entry) or await parts.tiers.read(evidence.entry)
            entry = served.value if served is not None else None
            if served and isinstance(entry, CachedAnswer) and await self._fresh(evidence.entry, entry, served):
                alias = Alias(evidence.entry, evidence.signals, evidence.risk or 0.0, evidence.similarity)
                await parts.tiers.write(key, alias, parts.freshness.ttl_seconds)
                return replace(
                    missed, outcome="hit", tier="semantic", entry=entry, entry_key=evidence.entry, ticket=Ticket()
                )
            await parts.strategy.withdraw(evidence)
            if parts.tiers.failures > failures:
                return replace(missed, reason="The answer cannot be read.", ticket=self._ticket())
            if entry is None:  # expired or evicted: the index learns of it here
                await parts.index.remove(evidence.entry)
            near = [candidate for candidate in near if candidate.key != evidence.entry]

    def _ticket(self, evidence: Evidence | None = None, *, confirms: bool = False) -> Ticket:
        sources = self._parts.sources
        return Ticket(evidence=evidence, confirms=confirms, documents=sources.version() if sources is not None else "")

    async def _fresh(self, key: str, entry: CachedAnswer, found: Found) -> bool:
        """Whether an entry may be served; one that may not for good is removed. Its time follows its use."""
        parts = self._parts
        if entry.quarantined:
            return False
        if parts.sources is not None and (source := Freshness.changed(entry.sources, parts.sources)) is not None:
            _log.info("A cached answer is dropped: %s changed since it was written.", source)
            await self.drop(key)
            metrics.cache_stale().inc()
            await parts.tally.add(stale=1)
            return False
        if found.tier == "exact":
            await self._adapt(key, entry, found)
        return True

    async def _adapt(self, key: str, entry: CachedAnswer, found: Found) -> None:
        """Let an entry live as long as its use and its documents want it."""
        parts = self._parts
        superseded = parts.sources is not None and entry.documents not in ("", parts.sources.version())
        left = parts.freshness.left(entry.age, found.uses + 1, entry.stayed, superseded=superseded)
        grows = not superseded and left > found.expires_in + parts.freshness.ttl_seconds / 10
        if not grows and not (superseded and left < found.expires_in):
            return
        await parts.tiers.extend(key, left)
        if parts.index is not None:
            try:
                await parts.index.extend(key, left)
            except Exception as error:  # noqa: BLE001 - the answer is served; its question goes earlier than it
                _log.warning("The time of a cached question could not be changed: %s", error)

    async def drop(self, *keys: str) -> None:
        """Remove entries and their questions."""
        await self._parts.tiers.drop(*keys)
        await self._parts.strategy.forget(*keys)
        if self._parts.index is not None:
            try:
                await self._parts.index.remove(*keys)
            except Exception as error:  # noqa: BLE001 - without its answer, a question is not served
                _log.warning("Cached questions could not be removed with their answers: %s", error)


def _score(evidence: Evidence) -> float:
    """The probability that the answer is right, as a lookup tells it."""
    return round(1 - (evidence.risk or 0.0), 4)
