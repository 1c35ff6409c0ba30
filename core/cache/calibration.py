"""How likely an answer is wrong, given what is known of two questions: learned from answers that were compared."""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Calibration", "Observation", "Prior", "Risk", "shipped_prior"]

_REFIT = 20
"""New observations after which the weights are fitted again."""
_MOST = 5000
"""Observations that the weights are fitted to; older ones leave."""
_MOST_OF_ENTRY = 50
_ENTRY_VARIANCE = 1.0
"""Of how far one entry's threshold may stand from all others', in logits: one observation moves it by about a half."""
_HALVINGS = 20


@dataclass(frozen=True)
class Prior:
    """What is believed before anything was observed: weights of the signals with their precision, and the floor."""

    mean: tuple[float, ...]
    """Of the weights, one for each signal."""
    precision: tuple[tuple[float, ...], ...]
    """Inverse covariance of the weights: it counts like so many observations."""
    floor: float = -2.0
    """Logit of the share of answers that differ although everything speaks for the same question."""
    floor_precision: float = 4.0


@dataclass(frozen=True)
class Observation:
    """Two answers were compared."""

    signals: Sequence[float]
    """Between their questions, as many as the prior has weights."""
    correct: bool
    """Whether the earlier answer would have been right, or was."""
    entry: str | None = None
    """Key of the earlier answer, where that is known."""


@cache
def shipped_prior(name: str) -> Prior:
    """The prior that ships with the package: `verified` where a cross-encoder looks on, else `unverified`."""
    data = json.loads((files("freehold.cache") / "prior.json").read_text("utf-8"))[name]
    precision = tuple(tuple(row) for row in data["precision"])
    return Prior(tuple(data["mean"]), precision, data["floor"], data["floor_precision"])


@dataclass(frozen=True)
class Risk:
    """How likely an answer is wrong."""

    mean: float
    """The probability, 0 to 1, as it is best estimated."""
    deviation: float
    """Standard deviation of that estimate: large where there is little evidence."""

    def upper(self, deviations: float) -> float:
        """The probability with so many standard deviations added, at most 1."""
        return min(1.0, self.mean + deviations * self.deviation)


class Calibration:
    """A logistic regression with a floor, fitted online, and a threshold of its own for each entry.

    An answer is right with probability (1 - floor) * sigmoid(weights . signals + entry). The floor is there because
    answers to one question differ too, and because no signal sees everything; without it, the surest hits would count
    as free. Weights and floor have a Gaussian prior, and are the maximum of the posterior; their covariance is
    Laplace's. The entry's part is the random effect of a mixed model: zero until its own answers were compared.

    Source: the thresholds that each entry learns online are those of vCache (Schroeder et al., arXiv 2502.03771); what
    they pool over entries is Gelman and Hill's ("Data Analysis Using Regression and Multilevel Models", chapter 12),
    because most entries are compared once or twice only.

    Safe to use from several threads; whoever brings the observation at which the weights are fitted again computes
    them, some milliseconds, and nobody waits for it.

    Args:
        prior: What is believed before anything was observed.

    Example:
        >>> calibration = Calibration(Prior(mean=(0.0, 2.0), precision=((1.0, 0.0), (0.0, 1.0))))
        >>> before = calibration.risk((1.0, 1.0)).mean
        >>> for _ in range(20):
        ...     calibration.learn(Observation((1.0, 1.0), correct=True))
        >>> calibration.risk((1.0, 1.0)).mean < before
        True
    """

    def __init__(self, prior: Prior) -> None:
        import numpy as np

        self._center = np.array([*prior.mean, prior.floor])
        size = len(prior.mean)
        self._precision = np.zeros((size + 1, size + 1))
        self._precision[:size, :size] = prior.precision
        self._precision[size, size] = prior.floor_precision
        self._estimate = (self._center.copy(), np.linalg.inv(self._precision))  # weights, then floor; their covariance
        self._lock = threading.Lock()
        self._signals = np.zeros((_MOST, size))  # a ring
        self._correct = np.zeros(_MOST)
        self._seen = 0
        self._of_entry: OrderedDict[str, deque[tuple[Sequence[float], bool]]] = OrderedDict()
        self._new = 0

    @property
    def observations(self) -> int:
        """Comparisons that the estimates rest on, at most 5,000."""
        return min(self._seen, _MOST)

    @property
    def size(self) -> int:
        """How many signals there are."""
        return self._signals.shape[1]

    @property
    def floor(self) -> float:
        """Share of answers that are wrong however alike the questions are."""
        return _sigmoid(float(self._estimate[0][-1]))

    def weights(self, names: Sequence[str]) -> Mapping[str, float]:
        """The weight of each signal, for reports."""
        return dict(zip(names, self._estimate[0][:-1].tolist(), strict=True))

    def compared(self, entry: str) -> tuple[int, int]:
        """How often answers to other questions were compared with the entry's, and how often they were the same."""
        with self._lock:
            own = [*self._of_entry.get(entry, ())]
        return len(own), sum(correct for _, correct in own)

    def learn(self, observation: Observation) -> None:
        """Take an observation in; the weights are fitted again after some."""
        with self._lock:
            self._add(observation)
            due = self._new >= _REFIT or self.observations < _REFIT
        if due:
            self._fit_again()

    def take_in(self, observations: Iterable[Observation]) -> None:
        """Take many observations in, and fit the weights once."""
        with self._lock:
            for observation in observations:
                self._add(observation)
        self._fit_again()

    def _add(self, observation: Observation) -> None:
        self._signals[self._seen % _MOST] = observation.signals
        self._correct[self._seen % _MOST] = observation.correct
        self._seen += 1
        self._new += 1
        if observation.entry is not None:
            own = self._of_entry.setdefault(observation.entry, deque(maxlen=_MOST_OF_ENTRY))
            own.append((tuple(observation.signals), observation.correct))
            self._of_entry.move_to_end(observation.entry)
            if len(self._of_entry) > _MOST:
                self._of_entry.popitem(last=False)

    def _fit_again(self) -> None:
        with self._lock:
            self._new = 0
            signals, correct = (ring[: self.observations].copy() for ring in (self._signals, self._correct))
        self._estimate = self._fit(signals, correct)

    def forget(self, *entries: str) -> None:
        """These entries are gone; what their comparisons told of all entries stays."""
        with self._lock:
            for entry in entries:
                self._of_entry.pop(entry, None)

    def risk(self, signals: Sequence[float], entry: str | None = None) -> Risk:
        """How likely the entry's answer is wrong for a question, given the signals between the two questions."""
        import numpy as np

        given = np.asarray(signals)
        fitted, covariance = self._estimate
        effect, variance = self._effect(entry, fitted) if entry is not None else (0.0, 0.0)
        likely, floor = _sigmoid(float(given @ fitted[:-1]) + effect), _sigmoid(float(fitted[-1]))
        slope = (1 - floor) * likely * (1 - likely)
        gradient = np.append(slope * given, -floor * (1 - floor) * likely)
        spread = float(gradient @ covariance @ gradient) + slope * slope * variance
        return Risk(min(1.0, max(1e-4, 1 - (1 - floor) * likely)), math.sqrt(max(spread, 0.0)))

    def _effect(self, entry: str, fitted: NDArray[np.float64]) -> tuple[float, float]:
        """The entry's part of the logit and its variance.

        Found by halving: where many answers contradict the weights, Newton's steps from 0 go back and forth.
        """
        with self._lock:
            own = [*self._of_entry.get(entry, ())]
        if not own:
            return 0.0, 0.0
        import numpy as np

        offsets = np.array([signals for signals, _ in own]) @ fitted[:-1]
        correct = np.array([correct for _, correct in own], dtype=float)
        floor = _sigmoid(float(fitted[-1]))
        low, high = -len(own) * _ENTRY_VARIANCE, len(own) * _ENTRY_VARIANCE
        effect, information = 0.0, 0.0
        for _ in range(_HALVINGS):
            effect = (low + high) / 2
            likely = 1 / (1 + np.exp(-np.clip(offsets + effect, -30, 30)))
            right = np.clip((1 - floor) * likely, 1e-9, 1 - 1e-9)
            slope = (1 - floor) * likely * (1 - likely)
            ascent = ((correct - right) * slope / (right * (1 - right))).sum() - effect / _ENTRY_VARIANCE
            low, high = (effect, high) if ascent > 0 else (low, effect)
            information = float((slope * slope / (right * (1 - right))).sum())
        return effect, 1 / (information + 1 / _ENTRY_VARIANCE)

    def _fit(
        self, signals: NDArray[np.float64], correct: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fisher scoring with halved steps, from the last fit."""
        import numpy as np

        fitted, _ = self._estimate
        value = self._posterior(fitted, signals, correct)
        for _ in range(20):
            right, gradients = _model(fitted, signals)
            weight = 1 / (right * (1 - right))
            ascent = gradients.T @ ((correct - right) * weight) - self._precision @ (fitted - self._center)
            step = np.linalg.solve((gradients.T * weight) @ gradients + self._precision, ascent)
            size, reached = 1.0, self._posterior(fitted + step, signals, correct)
            while reached < value and size > 1e-3:
                size /= 2
                reached = self._posterior(fitted + size * step, signals, correct)
            if reached <= value:
                break
            fitted, gained, value = fitted + size * step, reached - value, reached
            if gained < 1e-4:
                break
        right, gradients = _model(fitted, signals)
        information = (gradients.T / (right * (1 - right))) @ gradients + self._precision
        return fitted, np.asarray(np.linalg.inv(information), dtype=np.float64)

    def _posterior(
        self, fitted: NDArray[np.float64], signals: NDArray[np.float64], correct: NDArray[np.float64]
    ) -> float:
        import numpy as np

        right, _ = _model(fitted, signals)
        away = fitted - self._center
        likelihood = correct * np.log(right) + (1 - correct) * np.log(1 - right)
        return float(likelihood.sum() - 0.5 * away @ self._precision @ away)


def _model(
    fitted: NDArray[np.float64], signals: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each observation, the probability of being right and its gradient by weights and floor."""
    import numpy as np

    likely = 1 / (1 + np.exp(-np.clip(signals @ fitted[:-1], -30, 30)))
    floor = _sigmoid(float(fitted[-1]))
    slopes = ((1 - floor) * likely * (1 - likely))[:, None] * signals
    gradients = np.column_stack([slopes, -floor * (1 - floor) * likely])
    return np.clip((1 - floor) * likely, 1e-6, 1 - 1e-6), gradients


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, value))))
