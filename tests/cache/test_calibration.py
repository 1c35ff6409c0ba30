"""What answers that were compared teach about the risk of serving one for another question."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from freehold.cache.calibration import Calibration, Observation, Prior, Risk, shipped_prior
from freehold.cache.gate import compare
from freehold.cache.signals import SIGNALS, UNVERIFIED, signals

NAMES = ("bias", "likeness", "other")
PRIOR = Prior(mean=(0.0, 1.0, 0.5), precision=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
SURE, UNSURE = (1.0, 2.0, 1.0), (1.0, -2.0, -1.0)

SIGNAL = st.floats(min_value=-2, max_value=2)
SOME = st.tuples(st.just(1.0), SIGNAL, SIGNAL)


def sigmoid(logit: float) -> float:
    """The inverse of the logit."""
    return 1 / (1 + math.exp(-logit))


class Truth:
    """Draws comparisons of which the right probabilities are known."""

    weights = np.array([0.5, 1.6, 0.8])
    floor = 0.08

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def risk(self, given: Sequence[float], effect: float = 0.0) -> float:
        """How likely the answer is wrong."""
        return 1 - (1 - self.floor) * sigmoid(float(np.asarray(given) @ self.weights) + effect)

    def draw(self, number: int, entry: str | None = None, effect: float = 0.0) -> Iterator[Observation]:
        """Comparisons of answers, of one entry where it is named."""
        for _ in range(number):
            given = (1.0, *self.random.normal(0.5, 1, 2).tolist())
            yield Observation(given, bool(self.random.random() >= self.risk(given, effect)), entry)


def estimate(calibration: Calibration) -> list[float]:
    """Everything that is pooled over all entries."""
    return [*calibration.weights(NAMES).values(), calibration.floor]


# --- what an observation does ---------------------------------------------------------------------------------------


@given(st.lists(st.tuples(SOME, st.booleans()), max_size=12), SOME, st.booleans(), st.integers(1, 4))
@settings(max_examples=50)
def test_learning_moves_the_risk_the_right_way(
    before: list[tuple[Sequence[float], bool]], given: Sequence[float], correct: bool, times: int
) -> None:
    """Protects from a fit that answers evidence with its opposite, whatever was learned before."""
    calibration = Calibration(PRIOR)
    calibration.take_in(Observation(known, right) for known, right in before)
    risk = calibration.risk(given).mean
    for _ in range(times):
        calibration.learn(Observation(given, correct))
    moved = calibration.risk(given).mean - risk
    assert moved <= 2e-3 if correct else moved >= -2e-3  # the fit ends where little is left to gain


def test_one_wrong_answer_counts_at_once() -> None:
    """Protects the first requests: nobody waits for twenty comparisons until the first mistakes are learned from."""
    calibration = Calibration(PRIOR)
    risks = [calibration.risk(SURE).mean]
    for _ in range(5):
        calibration.learn(Observation(SURE, correct=False))
        risks.append(calibration.risk(SURE).mean)
    assert risks == sorted(risks)
    assert risks[-1] > risks[0] + 0.2


def test_the_floor_is_found() -> None:
    """Protects from hits that count as free: a fifth of the answers differ, however much speaks for the same question.

    What the weights say stays: what is unsure before is unsure behind it.
    """
    calibration = Calibration(PRIOR)
    for number in range(400):
        calibration.learn(Observation((1.0, 1 + number % 4, 1 + number % 4), correct=number % 5 != 0))
        calibration.learn(Observation((1.0, -1.0, -1.0), correct=number % 5 == 0))
    assert calibration.floor == pytest.approx(0.2, abs=0.04)
    for signal in (2.0, 5.0, 20.0):
        assert calibration.risk((1.0, signal, signal)).mean == pytest.approx(0.2, abs=0.04)
    assert calibration.risk(UNSURE).mean > 0.8


def test_the_floor_falls_where_sure_hits_are_right() -> None:
    """Protects hits: where nothing ever differs, the sure ones become cheap."""
    calibration = Calibration(PRIOR)
    calibration.take_in(Observation(SURE, correct=True) for _ in range(1000))
    assert calibration.risk(SURE).mean < 0.02


@pytest.mark.parametrize("correct", [True, False])
def test_thin_evidence_has_a_large_deviation(correct: bool) -> None:
    """Protects exploring: the margin on a risk shrinks with what was compared, and not before."""
    calibration = Calibration(PRIOR)
    deviations = [calibration.risk(SURE).deviation]
    for _ in range(3):
        for number in range(60):
            calibration.learn(Observation(SURE, correct=correct if number % 4 else not correct))
        deviations.append(calibration.risk(SURE).deviation)
    assert deviations == sorted(deviations, reverse=True)
    assert deviations[-1] < deviations[0] / 2


@pytest.mark.parametrize(("mean", "deviations", "upper"), [(0.1, 0.5, 0.125), (0.9, 4.0, 1.0), (0.3, 0.0, 0.3)])
def test_a_margin_is_added_and_stays_a_probability(mean: float, deviations: float, upper: float) -> None:
    """Protects the bound from risks above one."""
    assert Risk(mean, 0.05).upper(deviations) == pytest.approx(upper)


# --- entries ----------------------------------------------------------------------------------------------------------


def test_an_entry_moves_its_own_threshold_and_nobody_elses() -> None:
    """Protects good answers from the bad name of another, whose comparisons still teach what all have in common."""
    calibration = Calibration(PRIOR)
    for number in range(60):
        calibration.learn(Observation(SURE, correct=number % 3 != 0, entry="mixed"))
    for _ in range(6):
        calibration.learn(Observation(SURE, correct=False, entry="bad"))
        calibration.learn(Observation(SURE, correct=True, entry="good"))
    pooled = calibration.risk(SURE).mean
    assert calibration.risk(SURE, "unknown") == calibration.risk(SURE)
    assert calibration.risk(SURE, "good").mean < pooled - 0.03
    assert calibration.risk(SURE, "bad").mean > pooled + 0.2
    assert (calibration.compared("bad"), calibration.compared("good")) == ((6, 0), (6, 6))
    assert calibration.compared("unknown") == (0, 0)


def test_an_entry_that_is_gone_is_forgotten() -> None:
    """Protects a new answer under an old key from the comparisons of the old one; what they taught of all stays."""
    calibration = Calibration(PRIOR)
    for _ in range(6):
        calibration.learn(Observation(SURE, correct=False, entry="bad"))
    pooled = calibration.risk(SURE)
    calibration.forget("bad")
    calibration.forget("never seen")
    assert calibration.risk(SURE, "bad") == pooled == calibration.risk(SURE)
    assert calibration.compared("bad") == (0, 0)


def test_of_an_entry_the_newest_fifty_count() -> None:
    """Protects an answer that was replaced, or whose questions changed, from what was long ago."""
    calibration = Calibration(PRIOR)
    calibration.take_in(Observation(SURE, correct=False, entry="e") for _ in range(80))
    calibration.take_in(Observation(SURE, correct=True, entry="e") for _ in range(50))
    assert calibration.compared("e") == (50, 50)
    assert calibration.observations == 130


def test_what_is_known_of_an_entry_is_surer_where_more_was_compared() -> None:
    """Protects the margin: one comparison says little about an entry, thirty say much."""
    calibration = Calibration(PRIOR)
    for number in range(30):
        calibration.learn(Observation((1.0, 0.0, 0.0), correct=number % 2 == 0, entry="known"))
    calibration.learn(Observation((1.0, 0.0, 0.0), correct=True, entry="hardly"))
    known, hardly = (calibration.risk((1.0, 0.0, 0.0), entry).deviation for entry in ("known", "hardly"))
    assert known < hardly / 1.5


@given(st.integers(1, 50), st.floats(0, 1), st.floats(-3, 3), st.floats(0, 1), st.floats(-3, 3))
@example(49, 0.86, -2.5, 0.0, 0.0)
@example(50, 0.12, 2.9, 0.0, 0.0)
@settings(max_examples=60)
def test_an_entrys_threshold_is_where_its_evidence_puts_it(
    number: int, share: float, signal: float, spread: float, asked: float
) -> None:
    """Protects from an entry whose many comparisons contradict the weights: its threshold must not be thrown about.

    The reference is the best of many thresholds that are tried one by one.
    """
    compared = [(signal + spread * (place % 3 - 1), place < share * number) for place in range(number)]
    calibration = Calibration(Prior(mean=(0.0, 2.0), precision=((1e6, 0.0), (0.0, 1e6)), floor_precision=1e6))
    calibration.take_in(Observation((1.0, signal), right, "e") for signal, right in compared)
    weights = [*calibration.weights(("bias", "likeness")).values()]
    offsets = [weights[0] + weights[1] * signal for signal, _ in compared]

    tried = np.arange(-6000, 6001) / 200
    posterior = -tried * tried / 2
    for offset, (_, right) in zip(offsets, compared, strict=True):
        chance = (1 - calibration.floor) / (1 + np.exp(-(offset + tried)))
        posterior += np.log(np.maximum(1e-300, chance if right else 1 - chance))
    low = float(tried[posterior.argmax()])
    wanted = 1 - (1 - calibration.floor) * sigmoid(weights[0] + weights[1] * asked + low)
    assert calibration.risk((1.0, asked), "e").mean == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize("offset", [1.0, 2.0, 3.0])
def test_each_wrong_answer_of_an_entry_makes_it_riskier(offset: float) -> None:
    """Protects from an entry that is wrong every time and looks safe because that was not to be expected."""
    calibration = Calibration(Prior(mean=(0.0, 2.0), precision=((1e6, 0.0), (0.0, 1e6)), floor_precision=1e6))
    risks = []
    for _ in range(50):
        calibration.learn(Observation((1.0, offset), correct=False, entry="e"))
        risks.append(calibration.risk((1.0, offset), "e").mean)
    assert risks == sorted(risks)
    assert risks[-1] > 0.8


# --- many observations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_taking_in_many_is_learning_each(seed: int) -> None:
    """Protects a process that starts with what others learned: it comes to the same as they did."""
    observations = [*Truth(seed).draw(600, entry="e")]
    one_by_one, at_once = Calibration(PRIOR), Calibration(PRIOR)
    for observation in observations:
        one_by_one.learn(observation)
    at_once.take_in(observations)
    assert estimate(one_by_one) == pytest.approx(estimate(at_once), abs=0.03)
    assert one_by_one.observations == at_once.observations == 600
    assert one_by_one.compared("e") == at_once.compared("e")
    for known in (SURE, UNSURE):
        assert one_by_one.risk(known, "e").mean == pytest.approx(at_once.risk(known, "e").mean, abs=0.01)


def test_taking_in_nothing_changes_nothing() -> None:
    """Protects a start with an empty ledger."""
    calibration = Calibration(PRIOR)
    before = calibration.risk(SURE)
    calibration.take_in([])
    assert calibration.risk(SURE).mean == pytest.approx(before.mean, abs=1e-9)
    assert calibration.observations == 0


@pytest.mark.parametrize("seed", range(3))
def test_risks_are_what_happens(seed: int) -> None:
    """Protects the bound, which counts on it: of answers at about one risk, that share is wrong.

    Learned from 4,000 draws of the model, looked at in 6,000 others, in eight groups by their risk.
    """
    truth, calibration = Truth(seed), Calibration(PRIOR)
    calibration.take_in(truth.draw(4000))
    held_out = [*truth.draw(6000)]
    risks = np.array([calibration.risk(observation.signals).mean for observation in held_out])
    wrong = np.array([not observation.correct for observation in held_out])
    for group in np.array_split(np.argsort(risks), 8):
        expected, found = float(risks[group].mean()), float(wrong[group].mean())
        chance = math.sqrt(expected * (1 - expected) / len(group))
        assert found == pytest.approx(expected, abs=3 * chance + 0.015)
    assert estimate(calibration) == pytest.approx([*truth.weights, truth.floor], abs=0.35)


def test_risks_are_not_below_what_happens_where_entries_differ() -> None:
    """Protects the bound where some answers serve many questions and others serve one: a risk is never too small.

    It may be too large by some points: an entry's own part leaves the floor out.
    """
    truth, calibration = Truth(5), Calibration(PRIOR)
    effects = {f"e{number}": float(truth.random.normal()) for number in range(200)}
    calibration.take_in(one for entry, effect in effects.items() for one in truth.draw(15, entry, effect))
    held_out = [one for entry, effect in effects.items() for one in truth.draw(15, entry, effect)]
    risks = np.array([calibration.risk(one.signals, one.entry).mean for one in held_out])
    wrong = np.array([not one.correct for one in held_out])
    for group in np.array_split(np.argsort(risks), 6):
        expected, found = float(risks[group].mean()), float(wrong[group].mean())
        chance = math.sqrt(expected * (1 - expected) / len(group))
        assert -0.1 - 3 * chance < found - expected < 3 * chance


def test_the_newest_five_thousand_count() -> None:
    """Protects a cache that runs for long: what it learns from is bounded, and the oldest leaves."""
    old = [Observation(SURE, correct=False) for _ in range(2500)]
    new = [*Truth(1).draw(5000)]
    calibration, fresh = Calibration(PRIOR), Calibration(PRIOR)
    calibration.take_in([*old, *new[:2500]])
    assert calibration.observations == 5000
    assert calibration.risk(SURE).mean > 0.5
    calibration.take_in(new[2500:])
    fresh.take_in(new)
    assert calibration.observations == fresh.observations == 5000
    assert estimate(calibration) == pytest.approx(estimate(fresh), abs=0.03)


def test_several_threads_learn_and_ask() -> None:
    """Protects from lost comparisons, and from estimates that are half of one fit and half of another."""
    calibration, whole = Calibration(PRIOR), Calibration(PRIOR)
    shares = [[*Truth(seed).draw(60, entry=f"e{seed % 2}")] for seed in range(8)]
    failures: list[BaseException] = []

    def work(share: list[Observation]) -> None:
        try:
            for observation in share:
                calibration.learn(observation)
                risk = calibration.risk(observation.signals, observation.entry)
                assert 0 < risk.mean <= 1
                assert risk.deviation >= 0
                calibration.compared("e0")
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calibration.take_in([])
    whole.take_in(observation for share in shares for observation in share)
    assert failures == []
    assert calibration.observations == 480
    assert calibration.compared("e0")[0] == calibration.compared("e1")[0] == 50
    assert estimate(calibration) == pytest.approx(estimate(whole), abs=0.03)


# --- what ships -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "names"), [("verified", SIGNALS), ("unverified", UNVERIFIED)])
def test_the_shipped_prior_knows_a_paraphrase(name: str, names: Sequence[str]) -> None:
    """Protects the first answers of a new cache: a plain paraphrase is less risky than another question."""
    calibration = Calibration(shipped_prior(name))
    assert calibration.size == len(names)
    assert [*calibration.weights(names)] == [*names]
    verified = (0.97, 0.02) if name == "verified" else (None, None)
    asked = "How do I reset my password?"
    same = signals(0.96, compare(asked, "How can I reset my password?"), verified[0])
    other = signals(0.65, compare(asked, "Which port does the server listen on?"), verified[1])
    assert calibration.risk(same).mean < calibration.risk(other).mean


def test_weights_need_a_name_each() -> None:
    """Protects a report from weights under the wrong names."""
    with pytest.raises(ValueError, match="zip"):
        Calibration(PRIOR).weights(("bias", "likeness"))
