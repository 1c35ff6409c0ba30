"""Equal questions in flight, and questions that were served another one's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from freehold.cache import CachedAnswer, Evidence, Lookup, ResponseCache, Situation, Ticket, VerifiedHits
from freehold.cache.signals import SIGNALS
from freehold.coordination import Flights, MemoryLedger, MemoryStore
from freehold.inference import LlamaEmbeddings
from freehold.memory import EdgeQdrantClient, SemanticIndex

HERE = Situation(model="model", user_id="ada")
QUESTION = "How do I reset my password?"
PARAPHRASE = "How can I reset my password?"
ANSWER = CachedAnswer(QUESTION, "Step 4 of the settings. [1]", route="documents", tokens=80, seconds=2.0)


@pytest.fixture
async def cache() -> AsyncIterator[ResponseCache]:
    """The exact tiers, with flights."""
    opened = ResponseCache(MemoryStore(), None, flights=Flights(lease_seconds=1.0))
    yield opened
    await opened.aclose()


class Asked:
    """A run that asks, and what it was given."""

    def __init__(self, cache: ResponseCache, question: str = QUESTION) -> None:
        self.pieces: list[str] = []
        self.task = asyncio.create_task(cache.lookup(question, HERE, on_piece=self.pieces.append))

    async def found(self) -> Lookup:
        return await self.task


async def leader_and(cache: ResponseCache, followers: int) -> tuple[Ticket, list[Asked]]:
    """One run that leads, and so many that wait for it."""
    ticket = (await cache.lookup(QUESTION, HERE)).ticket
    waiting = [Asked(cache) for _ in range(followers)]
    await asyncio.sleep(0.05)
    assert not any(one.task.done() for one in waiting)
    return ticket, waiting


async def test_equal_questions_in_flight_are_answered_once(cache: ResponseCache) -> None:
    """Protects the model from the same work many times, and everybody's stream and answer."""
    ticket, waiting = await leader_and(cache, 20)
    seat = cache.seat(ticket)
    assert seat is not None
    for piece in ("In the ", "settings. ", "[1]"):
        seat.emit(piece)
    assert await cache.store(QUESTION, HERE, ANSWER, ticket)
    for one in waiting:
        found = await one.found()
        assert (found.outcome, found.tier, found.entry) == ("hit", "flight", ANSWER)
        assert one.pieces == ["In the ", "settings. ", "[1]"]
    summary = await cache.summary()
    assert (summary.hits["flight"], summary.misses) == (20, 1)
    assert (summary.tokens_saved, summary.seconds_saved) == (20 * 80, 40.0)


async def test_an_answer_that_is_not_kept_is_shared_all_the_same(cache: ResponseCache) -> None:
    """Protects those who wait: what must not be kept for later may be given to whoever asks the same now."""
    ticket, (one,) = await leader_and(cache, 1)
    await cache.land(ticket, ANSWER)
    assert (await one.found()).tier == "flight"
    assert (await cache.lookup(QUESTION, HERE)).outcome == "miss"


async def test_without_an_answer_to_share_nobody_waits_for_another(cache: ResponseCache) -> None:
    """Protects from a queue: where the first run was refused, all others go ahead at once, and lead no flight."""
    ticket, waiting = await leader_and(cache, 5)
    cache.give_up(ticket, "refused")
    found = [await one.found() for one in waiting]
    assert [one.outcome for one in found] == ["miss"] * 5
    assert [one.ticket.flight for one in found] == [None] * 5


async def test_one_takes_over_where_the_leader_fails(cache: ResponseCache) -> None:
    """Protects everybody from one run's failure: exactly one of the others answers, and the rest get its answer."""
    ticket, waiting = await leader_and(cache, 5)
    seat = cache.seat(ticket)
    assert seat is not None

    def generate() -> None:
        with seat.hold():
            seat.emit("In the")
            raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="model"):
        generate()
    done, _ = await asyncio.wait([one.task for one in waiting], return_when=asyncio.FIRST_COMPLETED)
    (led,) = done
    assert led.result().outcome == "miss"
    assert await cache.store(QUESTION, HERE, ANSWER, led.result().ticket)
    others = [await one.found() for one in waiting if one.task is not led]
    assert [one.tier for one in others] == ["flight"] * 4


async def test_a_leader_that_is_gone_is_not_waited_for(cache: ResponseCache) -> None:
    """Protects from a run that ended on a way without `StoreCache`: its lease ends, and one of the others leads."""
    _, (one,) = await leader_and(cache, 1)
    found = await asyncio.wait_for(one.found(), 30)
    assert (found.outcome, found.ticket.flight is not None) == ("miss", True)


async def test_a_follower_that_goes_away_disturbs_nobody(cache: ResponseCache) -> None:
    """Protects the others from one client that closes its connection."""
    ticket, (going, staying) = await leader_and(cache, 2)
    going.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going.found()
    assert await cache.store(QUESTION, HERE, ANSWER, ticket)
    assert (await staying.found()).tier == "flight"


async def test_a_lookup_that_is_cancelled_hands_over(cache: ResponseCache) -> None:
    """Protects those who wait for a run that is cancelled while it still looks through the tiers."""
    first = Asked(cache)
    first.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.found()
    assert (await asyncio.wait_for(Asked(cache).found(), 30)).outcome == "miss"


async def test_what_the_first_finds_the_others_find_too(cache: ResponseCache) -> None:
    """Protects from one look through the tiers for each of many: they wait for the first one's, and read its memory."""
    await cache.store(QUESTION, HERE, ANSWER)
    cache.memory.clear()
    found = await asyncio.gather(*(cache.lookup(QUESTION, HERE) for _ in range(20)))
    assert sorted(str(one.tier) for one in found) == ["exact"] + ["memory"] * 19


class Sure:
    """A verifier that takes everything for the same."""

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [0.999 for _ in text_pairs]


@pytest.fixture
async def verified(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> AsyncIterator[ResponseCache]:
    """All tiers, with a strategy that learns; nothing is remembered in the process."""
    ledger = MemoryLedger()
    strategy = VerifiedHits(Sure(), max_error=0.05, ledger=ledger)
    index = SemanticIndex(client, embedder)
    opened = ResponseCache(MemoryStore(), index, strategy=strategy, ledger=ledger, flights=Flights())
    yield opened
    await opened.aclose()


async def served_by_meaning(cache: ResponseCache) -> Lookup:
    """The paraphrase, served the question's answer."""
    await cache.store(QUESTION, HERE, ANSWER)
    found = await cache.lookup(PARAPHRASE, HERE)
    assert (found.outcome, found.tier, found.entry) == ("hit", "semantic", ANSWER)
    assert found.evidence is not None
    assert found.evidence.risk is not None
    return found


async def risked(cache: ResponseCache) -> float:
    """What all hits by meaning stand for, once everything is written."""
    await cache._parts.strategy.close()
    return (await cache.summary()).risked


async def test_a_hit_by_meaning_is_confirmed_when_it_comes_back(verified: ResponseCache) -> None:
    """Protects from a mistake that is repeated: asked again, the question is answered anew, and both are compared."""
    await served_by_meaning(verified)
    again = await verified.lookup(PARAPHRASE, HERE)
    assert (again.outcome, again.ticket.confirms) == ("miss", True)
    own = CachedAnswer(PARAPHRASE, "On the login page. [2]", route="documents")
    assert await verified.store(PARAPHRASE, HERE, own, again.ticket)
    third = await verified.lookup(PARAPHRASE, HERE)
    assert (third.outcome, third.entry) == ("hit", own)
    checked = (await verified.summary()).checked
    assert checked.of == 0  # nothing in common, and no judge: what cannot be told teaches nothing


async def test_a_confirmed_mistake_teaches(verified: ResponseCache) -> None:
    """Protects the bound: an answer that turns out wrong counts as a wrong one, and its entry gets harder to hit."""
    before = await served_by_meaning(verified)
    again = await verified.lookup(PARAPHRASE, HERE)
    wrong = CachedAnswer(PARAPHRASE, "Step 5 of the settings. [7]", route="documents")
    assert await verified.store(PARAPHRASE, HERE, wrong, again.ticket)
    summary = await verified.summary()
    assert (summary.checked.found, summary.checked.of) == (1, 1)
    after = await verified.lookup("How could I reset my password?", HERE)
    assert after.evidence is not None
    assert before.evidence is not None
    assert after.evidence.risk is not None
    assert before.evidence.risk is not None
    same_entry = after.evidence.entry == before.evidence.entry
    assert after.evidence.risk > before.evidence.risk or not same_entry


async def test_a_hit_is_confirmed_by_one_run_for_all(verified: ResponseCache) -> None:
    """Protects the model from a crowd that comes back to a hit by meaning, and the bound from paying for it twice."""
    served = await served_by_meaning(verified)
    assert served.evidence is not None
    confirming = await verified.lookup(PARAPHRASE, HERE)
    assert confirming.ticket.flight is not None
    others = [Asked(verified, PARAPHRASE) for _ in range(5)]
    await asyncio.sleep(0.05)
    own = CachedAnswer(PARAPHRASE, ANSWER.answer, route="documents")
    assert await verified.store(PARAPHRASE, HERE, own, confirming.ticket)
    assert [(await one.found()).tier for one in others] == ["flight"] * 5
    assert await verified.store(PARAPHRASE, HERE, own, confirming.ticket)  # a run that was resumed
    assert await verified.report({"entry": served.entry_key, "evidence": asdict(served.evidence)}, correct=True)
    assert (await verified.summary()).checked.of == 1
    assert await risked(verified) == pytest.approx(0)


@pytest.mark.parametrize("verdicts", [[True, False], [False, True], [False, False, True], [True, True, False]])
async def test_what_a_hit_risked_is_settled_once(verified: ResponseCache, verdicts: list[bool]) -> None:
    """Protects the bound from second thoughts: what counts in the end is the last thing that was said of a hit."""
    served = await served_by_meaning(verified)
    assert served.evidence is not None
    for correct in verdicts:
        await verified.report({"entry": served.entry_key, "evidence": asdict(served.evidence)}, correct=correct)
    assert await risked(verified) == pytest.approx(float(not verdicts[-1]))


async def test_an_answer_that_was_wrong_for_another_question_may_be_right_for_its_own(verified: ResponseCache) -> None:
    """Protects a right answer from the mistake of the match: it is out of service until it is written once more."""
    served = await served_by_meaning(verified)
    assert served.evidence is not None
    await verified.report({"entry": served.entry_key, "evidence": asdict(served.evidence)}, correct=False)
    for question in (QUESTION, PARAPHRASE):
        found = await verified.lookup(question, HERE)
        assert found.outcome == "miss"
        verified.give_up(found.ticket, "not written yet")
    assert await verified.store(QUESTION, HERE, ANSWER)
    assert (await verified.lookup(QUESTION, HERE)).outcome == "hit"


async def test_what_is_not_shared_is_looked_for_all_the_same(cache: ResponseCache) -> None:
    """Protects others from an answer that is one user's: the run gets hits, leads nobody, and waits for nobody."""
    own = await cache.lookup(QUESTION, HERE, shares=False)
    assert (own.outcome, own.ticket) == ("miss", Ticket())
    leading = await cache.lookup(QUESTION, HERE)
    assert leading.ticket.flight is not None
    assert (await asyncio.wait_for(cache.lookup(QUESTION, HERE, shares=False), 5)).outcome == "miss"
    await cache.store(QUESTION, HERE, ANSWER, leading.ticket)
    assert (await cache.lookup(QUESTION, HERE, shares=False)).outcome == "hit"


@pytest.mark.parametrize(("anew", "heard"), [("In the settings.", ["In ", "the settings."]), ("Ask Bob.", ["In "])])
async def test_nothing_is_said_twice_where_another_leads(cache: ResponseCache, anew: str, heard: list[str]) -> None:
    """Protects a stream from an answer that begins once more behind its first words."""
    ticket, waiting = await leader_and(cache, 2)
    seat = cache.seat(ticket)
    assert seat is not None
    seat.emit("In ")
    await asyncio.sleep(0.02)
    with pytest.raises(RuntimeError), seat.hold():
        raise RuntimeError("the model failed")
    await asyncio.wait([one.task for one in waiting], return_when=asyncio.FIRST_COMPLETED)
    (led,) = [one for one in waiting if one.task.done()]
    (other,) = [one for one in waiting if one is not led]
    second = cache.seat((await led.found()).ticket)
    assert second is not None
    for start in range(0, len(anew), 4):
        second.emit(anew[start : start + 4])
        await asyncio.sleep(0.01)
    await second.land(CachedAnswer(QUESTION, anew).encode())
    assert (await other.found()).tier == "flight"
    assert "".join(other.pieces) == "".join(heard)


async def test_a_question_in_other_words_that_was_not_served_teaches(verified: ResponseCache) -> None:
    """Protects what exploring is for: an answer that was generated instead is compared with the one that was there."""
    evidence = Evidence(HERE.key(QUESTION), QUESTION, 0.9, signals=(1.0, 0.5) + (0.0,) * (len(SIGNALS) - 2), risk=0.9)
    await verified.store(QUESTION, HERE, ANSWER)
    same = CachedAnswer(PARAPHRASE, ANSWER.answer, route="documents")
    assert await verified.store(PARAPHRASE, HERE, same, Ticket(evidence=evidence))
    explored = (await verified.summary()).explored
    assert (explored.found, explored.of) == (0, 1)


async def test_an_alias_goes_with_its_answer(verified: ResponseCache) -> None:
    """Protects from answers that are gone: a question that was served one is a new question then."""
    await served_by_meaning(verified)
    await verified.drop(HERE.key(QUESTION))
    again = await verified.lookup(PARAPHRASE, HERE)
    assert (again.outcome, again.ticket.confirms) == ("miss", False)


async def test_flights_work_over_the_loops_of_several_threads(tmp_path: Path) -> None:
    """Protects `invoke`, whose nodes run on another loop than those of `ainvoke`."""
    from freehold.portal import run_sync

    cache = ResponseCache(MemoryStore(), None, flights=Flights())
    ticket = (await cache.lookup(QUESTION, HERE)).ticket
    other = asyncio.create_task(asyncio.to_thread(lambda: run_sync(cache.lookup(QUESTION, HERE))))
    await asyncio.sleep(0.05)
    await cache.store(QUESTION, HERE, ANSWER, ticket)
    assert (await other).tier in ("flight", "memory")
    await cache.aclose()
