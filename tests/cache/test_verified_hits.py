"""Semantic hits under an error bound, which learn from answers that were compared."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import replace

import pytest

from freehold.cache import Evidence, VerifiedHits
from freehold.cache.evidence import HitStrategy, Near
from freehold.cache.signals import SIGNALS, UNVERIFIED
from freehold.coordination import MemoryLedger
from freehold.errors import SettingsError
from freehold.inference import LlamaEmbeddings
from freehold.inference.reranker import LlamaReranker
from freehold.models import VERIFIER_MODEL, model_path
from tests.cache.strategies import (
    AGAIN,
    ASKED,
    NOT,
    OTHER,
    SAME,
    Broken,
    Fixed,
    Judge,
    choose,
    hits,
    near,
    seen,
    served_at,
)

# --- one request ------------------------------------------------------------------------------------------------------


async def test_a_paraphrase_is_served_with_its_reasons() -> None:
    """Protects hits, and the explanation: risk, limit and what they rest on are told."""
    strategy: HitStrategy = hits()
    assert strategy.compares is True
    choice = await strategy.choose(ASKED, near((SAME, 0.97)))
    evidence = choice.evidence
    assert choice.allowed
    assert evidence is not None
    assert evidence.risk is not None
    assert (evidence.entry, evidence.question, evidence.similarity, evidence.verifier) == ("key0", SAME, 0.97, 0.999)
    assert len(evidence.signals) == len(SIGNALS)
    assert choice.score == round(1 - evidence.risk, 4)
    assert choice.score > (choice.threshold or 1)
    assert "similarity 0.970, verifier 0.999, 0 comparisons, 0 of this answer" in choice.reason


async def test_another_question_is_not_served_and_is_compared() -> None:
    """Protects from what the verifier denies; the evidence is kept, so that both answers teach something."""
    strategy = hits(Fixed(0.01))
    choice = await choose(strategy)
    assert not choice.allowed
    assert choice.evidence is not None
    assert choice.evidence.signals
    assert choice.evidence.risk is not None
    assert choice.evidence.risk > 0.9
    assert "more than a hit may risk" in choice.reason
    assert strategy.bound.unspent >= 1


async def test_without_a_verifier_there_are_fewer_signals() -> None:
    """Protects who has no cross-encoder: everything else works, on a calibration of its own."""
    strategy = VerifiedHits(None, max_error=0.5)
    evidence = await seen(strategy)
    assert (evidence.verifier, len(evidence.signals)) == (None, len(UNVERIFIED))
    await strategy.learn(evidence, correct=True, served=False)
    assert strategy.calibration.observations == 1


async def test_what_is_far_is_not_read() -> None:
    """Protects the time of a lookup: below a similarity of 0.6 no candidate is worth a cross-encoder."""
    verifier = Fixed()
    for candidates in ([], [(SAME, 0.59)], [(NOT, 0.99), (SAME, 0.59)]):
        choice = await hits(verifier).choose(ASKED, near(*candidates))
        assert not choice.allowed
    assert verifier.asked == []
    assert choice.reason.startswith("A similar question was refused.")
    assert (await hits(verifier).choose(ASKED, [])).reason == "No earlier question of this scope is near enough."


async def test_what_the_gate_refuses_is_neither_read_nor_learned_from() -> None:
    """Protects from look-alikes that a cross-encoder takes for the same: rules come first, and have no signals."""
    verifier = Fixed()
    strategy = hits(verifier)
    choice = await choose(strategy, (NOT, 0.99))
    assert (choice.allowed, verifier.asked) == (False, [])
    assert choice.evidence == Evidence("key0", NOT, 0.99)
    assert choice.score is choice.threshold is None
    await strategy.learn(choice.evidence, correct=False, served=False)
    assert strategy.calibration.observations == 0


async def test_behind_a_refused_candidate_the_next_may_serve() -> None:
    """Protects hits behind a look-alike."""
    choice = await choose(hits(), (NOT, 0.99), (SAME, 0.97))
    assert choice.allowed
    assert choice.evidence is not None
    assert choice.evidence.entry == "key1"


async def test_of_two_that_are_close_the_less_risky_is_taken() -> None:
    """Protects from the nearest question where the second nearest is the same: both are read, and no third."""
    verifier = Fixed(0.999, **{SAME: 0.3})
    choice = await choose(hits(verifier), (SAME, 0.97), (AGAIN, 0.96), (ASKED, 0.95))
    assert choice.allowed
    assert choice.evidence is not None
    assert choice.evidence.entry == "key1"
    assert verifier.asked == [SAME, AGAIN]


async def test_the_first_of_two_stays_where_the_second_is_worse() -> None:
    """Protects the evidence: what is compared is the better candidate, whichever was read last."""
    verifier = Fixed(0.3, **{AGAIN: 0.2})
    evidence = await seen(hits(verifier), (SAME, 0.97), (AGAIN, 0.96))
    assert (evidence.entry, verifier.asked) == ("key0", [SAME, AGAIN])


@pytest.mark.parametrize("candidates", [[(SAME, 0.97), (AGAIN, 0.91)], [(SAME, 0.97), (AGAIN, 0.965)]])
async def test_a_second_one_is_not_read_for_nothing(candidates: list[tuple[str, float]]) -> None:
    """Protects the time of a lookup: not where the second is far behind, nor where the first may serve already."""
    verifier = Fixed(0.3 if candidates[1][1] < 0.92 else 0.999)
    await choose(hits(verifier), *candidates)
    assert verifier.asked == [SAME]


# --- parts that fail --------------------------------------------------------------------------------------------------


async def test_a_verifier_that_fails_is_a_miss(caplog: pytest.LogCaptureFixture) -> None:
    """Protects a run from its cross-encoder: nothing is served unverified, nothing is risked, and it is told."""
    strategy = hits(Broken())
    with caplog.at_level(logging.WARNING):
        choice = await choose(strategy)
    assert not choice.allowed
    assert choice.reason == "The verifier failed (OSError)."
    assert choice.evidence == Evidence("key0", SAME, 0.97)
    assert "no model" in caplog.text
    assert strategy.bound.unspent >= 1


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.1, 1.1])
async def test_a_score_that_is_no_probability_is_a_failure(score: float) -> None:
    """Protects what is learned from one bad score, which would spoil every later risk, after a restart too."""
    strategy = hits(Fixed(score))
    choice = await choose(strategy)
    assert not choice.allowed
    assert choice.reason == "The verifier failed (InferenceError)."
    assert choice.evidence is not None
    await strategy.learn(choice.evidence, correct=True, served=False)
    assert strategy.calibration.observations == 0


@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_signals_that_are_no_numbers_teach_nothing(number: float) -> None:
    """Protects the weights from a similarity that was never computed."""
    ledger = MemoryLedger()
    strategy = hits(ledger=ledger)
    evidence = await seen(strategy)
    await strategy.learn(replace(evidence, signals=(*evidence.signals[:-1], number)), correct=True, served=False)
    assert strategy.calibration.observations == 0
    assert (await ledger.read())[0] == []


async def test_a_judge_has_the_last_word() -> None:
    """Protects from hits that a language model sees through; it is asked about what would be served, and only that."""
    judge = Judge(same=False)
    strategy = hits(judge=judge)
    unspent = strategy.bound.unspent
    choice = await choose(strategy)
    assert not choice.allowed
    assert choice.reason.startswith("The judge sees another question (similarity 0.970")
    assert judge.asked == [(ASKED, SAME)]
    assert strategy.bound.unspent >= unspent
    assert choice.evidence is not None
    assert choice.evidence.signals
    judge.verdict = True
    assert (await choose(strategy)).allowed
    await choose(hits(Fixed(0.01), judge=judge))
    await choose(strategy, (NOT, 0.99))
    assert len(judge.asked) == 2


async def test_a_judge_that_fails_is_a_miss() -> None:
    """Protects a run from its judge: nothing is served unjudged, and it is told."""
    choice = await choose(hits(judge=Broken()))
    assert (choice.allowed, choice.reason) == (False, "The judge failed (OSError).")


@pytest.mark.parametrize("max_error", [0, 1, 2.0])
def test_a_bound_that_bounds_nothing_is_refused(max_error: float) -> None:
    """Protects from a setting that means something else."""
    with pytest.raises(SettingsError, match="max_error"):
        hits(max_error=max_error)


# --- the bound --------------------------------------------------------------------------------------------------------


async def test_hits_end_where_nothing_is_left_to_risk() -> None:
    """Protects the bound: what is served is paid for, and what cannot be paid is answered anew."""
    strategy = hits(Fixed(0.9))
    choices = [await choose(strategy) for _ in range(40)]
    served = [choice.evidence.risk or 0.0 for choice in choices if choice.allowed and choice.evidence]
    assert 2 <= len(served) < 20
    assert sum(served) <= 1 + 40 * 0.02
    assert "more than is left to risk" in choices[-1].reason or "more than a hit may risk" in choices[-1].reason


async def test_requests_at_once_share_one_allowance() -> None:
    """Protects the bound from hits that are judged at the same time and paid for once."""

    class Slow(Judge):
        async def same_question(self, question: str, earlier: str) -> bool:
            await asyncio.sleep(0.01)
            return True

    strategy = hits(Fixed(0.9), judge=Slow(same=True))
    choices = await asyncio.gather(*(choose(strategy) for _ in range(40)))
    served = [choice.evidence.risk or 0.0 for choice in choices if choice.allowed and choice.evidence]
    assert served
    assert sum(served) <= 1 + 40 * 0.02
    assert any("Other hits have taken what may be risked" in choice.reason for choice in choices)


async def test_an_answer_that_is_gone_costs_nothing() -> None:
    """Protects the allowance: where the answer expired meanwhile, its risk is given back, here and in the ledger."""
    ledger = MemoryLedger()
    strategy = hits(ledger=ledger)
    await strategy.repeated()
    before = strategy.bound.unspent
    evidence = await seen(strategy)
    await strategy.withdraw(evidence)
    assert strategy.bound.unspent == pytest.approx(before, abs=0.02)
    assert strategy.bound.unspent >= before
    await strategy.withdraw(Evidence("key0", NOT, 0.99))
    await strategy.close()
    assert (await ledger.counts()).get("bound.risked", 0.0) == pytest.approx(0.0)


async def test_a_request_earns_once() -> None:
    """Protects the bound: a request whose first candidates' answers are gone is one request."""
    ledger = MemoryLedger()
    strategy = hits(ledger=ledger)
    for left in (2, 1):
        await strategy.withdraw(await seen(strategy, *[(SAME, 0.97)] * left))
    await strategy.choose(ASKED, [])
    await strategy.close()
    assert (await ledger.counts())["bound.requests"] == 1


async def test_a_question_that_comes_back_is_served_again_where_its_risk_is_within_the_bound() -> None:
    """Protects from repeating a mistake: above the bound it is answered anew and compared; below, it is paid again."""
    ledger = MemoryLedger()
    strategy = hits(max_error=0.2, ledger=ledger)
    await strategy.repeated()
    before = strategy.bound.unspent
    low, high = served_at(strategy, 0.1, 0.19), served_at(strategy, 0.21, 0.5)
    assert await strategy.again(low)
    assert before - 0.19 < strategy.bound.unspent < before + 0.2
    assert not await strategy.again(high)
    assert not await strategy.again(replace(low, signals=(1.0,)))  # of another version: nothing can be told
    await strategy.close()
    assert (await ledger.counts())["bound.requests"] == 4


async def test_what_was_learned_since_decides_whether_it_is_served_again() -> None:
    """Protects from an old estimate: an entry whose answers turned out wrong is not served again at its first risk."""
    strategy = hits(max_error=0.3)
    evidence = served_at(strategy, 0.05, 0.24)
    assert await strategy.again(evidence)
    for _ in range(20):
        await strategy.learn(evidence, correct=False, served=False)
    assert not await strategy.again(evidence)


async def test_exact_repeats_earn() -> None:
    """Protects who asks the same again and again: these requests are right, and are counted among all."""
    strategy = hits()
    before = strategy.bound.unspent
    for _ in range(10):
        await strategy.repeated()
    assert before + 0.1 < strategy.bound.unspent <= before + 0.2


# --- learning ---------------------------------------------------------------------------------------------------------


async def test_wrong_answers_end_an_entrys_hits() -> None:
    """Protects from an answer that does not carry over, whatever the signals say; others stay as they are."""
    strategy = hits()
    evidence = await seen(strategy)
    before = await seen(strategy, (AGAIN, 0.97))
    for _ in range(6):
        await strategy.learn(evidence, correct=False, served=False)
        await strategy.learn(replace(before, entry="good"), correct=True, served=False)
    behind = await choose(strategy)
    assert not behind.allowed
    assert behind.evidence is not None
    assert behind.evidence.comparisons == 6
    assert "12 comparisons, 6 of this answer" in behind.reason
    good = (await strategy.choose(ASKED, [Near("good", AGAIN, 0.97)])).evidence
    assert good is not None
    assert (good.risk or 1) < (behind.evidence.risk or 0) / 2


async def test_right_answers_open_what_was_closed() -> None:
    """Protects hits: where answers turn out the same, what was too risky at first is served later."""
    strategy = hits(Fixed(0.6))
    first = await choose(strategy)
    assert not first.allowed
    assert first.evidence is not None
    for number in range(60):
        await strategy.learn(replace(first.evidence, entry=f"key{number}"), correct=True, served=False)
    assert (await choose(strategy)).allowed


@pytest.mark.parametrize(("correct", "served", "moved"), [(True, True, 0.0), (False, True, 1.0), (True, False, None)])
async def test_a_fact_replaces_the_risk_of_what_was_served(correct: bool, served: bool, moved: float | None) -> None:
    """Protects the bound: a hit that was found out costs what it cost; what was not served cost nothing before."""
    ledger = MemoryLedger()
    strategy = hits(ledger=ledger)
    evidence = await seen(strategy)
    risk = evidence.risk or 0.0
    before = strategy.bound.unspent
    await strategy.learn(evidence, correct=correct, served=served)
    assert strategy.bound.unspent == pytest.approx(before if moved is None else before + risk - moved)
    await strategy.close()
    assert (await ledger.counts())["bound.risked"] == pytest.approx(risk if moved is None else moved, abs=1e-9)


@pytest.mark.parametrize("signals", [(), (1.0,), (1.0, 0.5, 0.2)])
async def test_evidence_of_another_making_is_no_error(signals: tuple[float, ...]) -> None:
    """Protects storing an answer whose ticket, or alias, was made with other signals: by another version, or without a
    verifier. It teaches nothing, and what it cost is settled all the same.
    """
    ledger = MemoryLedger()
    strategy = hits(ledger=ledger)
    before = strategy.bound.unspent
    await strategy.learn(Evidence("key0", SAME, 0.97, signals, risk=0.25), correct=True, served=True)
    assert strategy.calibration.observations == 0
    assert strategy.bound.unspent == pytest.approx(before + 0.25)
    assert (await ledger.read())[0] == []


# --- the shipped models -----------------------------------------------------------------------------------------------


async def test_the_shipped_models_tell_a_paraphrase(embedder: LlamaEmbeddings) -> None:
    """Protects the defaults: of a paraphrase and two other questions, the paraphrase is the least risky one."""
    verifier = LlamaReranker(model_path(VERIFIER_MODEL))
    asked = "Where does the boiler keep its pressure gauge?"
    earlier = ["Where does the boiler keep the pressure gauge?", "Where does the boiler keep its burner?", OTHER]
    try:
        vectors = await embedder.embed([asked, *earlier])
        candidates = [
            Near(f"key{place}", text, float(vectors[0] @ vectors[place + 1])) for place, text in enumerate(earlier)
        ]
        strategy = VerifiedHits(verifier, max_error=0.5)
        risks = []
        for candidate in candidates[:2]:
            evidence = (await strategy.choose(asked, [candidate])).evidence
            assert evidence is not None
            risks.append(1.0 if evidence.risk is None else evidence.risk)
        ordered = sorted(candidates, key=lambda one: -one.similarity)
        best = (await strategy.choose(asked, ordered)).evidence
    finally:
        verifier.close()
    assert ordered[0].key == "key0"
    assert risks[0] < risks[1]
    assert best is not None
    assert best.entry == "key0"
