"""The user's bound on wrong answers: which hits it can afford."""

from __future__ import annotations

import math
import threading
from collections import deque

from freehold.errors import SettingsError

__all__ = ["ErrorBound"]

_RECENT = 1500
"""Requests whose risks tell how the risks of the next ones are spread."""
_AT_FIRST = 50
"""Requests before that is known."""
_RENEWED = 20
_EXPECTED = 0.25
"""The most that one hit may risk until then."""


class ErrorBound:
    """Keeps the share of requests that get a wrong answer under a bound. Safe to use from several threads.

    Every request earns an allowance, every hit spends its risk, the probability that it is wrong; nothing is served
    that is not covered. The allowance goes to the hits with the least risk: of the newest requests, those up to a limit
    would have spent what is earned. Where an answer that was served turns out right or wrong later, its risk is
    replaced by the fact. Exact repeats are requests too, and risk nothing.

    The allowance is a little less than the bound, so that chance does not break it: over `horizon` requests the number
    of wrong answers stays within the bound with a confidence of 95 % (a Poisson variable's upper limit), as far as the
    risks are right. vCache bounds each entry's error by itself and so wastes what sure hits leave over; here the bound
    holds for all requests together, which is what users see.

    Args:
        max_error: Largest share of requests that may be answered wrongly, 0 to 1.
        grace: Wrong answers that a new cache may risk before its requests have earned them; they are part of what the
            bound allows over the horizon, and at most half of it.
        horizon: Requests over which the bound is kept with that confidence; unspent allowance is kept for as many.
        ceiling: The most that one hit may risk, however much is unspent.

    Raises:
        SettingsError: The bound is not above 0 and below 1.

    Example:
        >>> bound = ErrorBound(0.02)
        >>> lapsed = bound.requested(0.01)
        >>> bound.spend(0.01), bound.spend(0.9)
        (True, False)
    """

    def __init__(self, max_error: float, *, grace: float = 1.0, horizon: int = 5000, ceiling: float = 0.5) -> None:
        if not 0 < max_error < 1:
            raise SettingsError(f"max_error={max_error} cannot be used: give a share of requests, above 0 and below 1.")
        self.max_error = max_error
        self._ceiling = ceiling
        self._horizon = horizon
        wanted = max_error * horizon
        # s + 1.64 sqrt(s) = wanted, solved for s: the mean whose upper limit is what the bound allows.
        mean = ((math.sqrt(1.64**2 + 4 * wanted) - 1.64) / 2) ** 2
        self._grace = self._unspent = min(grace, mean / 2)
        self._earned = (mean - self._grace) / horizon  # what may be risked at once is not earned once more
        self._limit = _EXPECTED
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._requests = 0
        self._lock = threading.Lock()

    @property
    def limit(self) -> float:
        """The risk up to which a hit is served, while the allowance lasts."""
        return self._limit

    @property
    def unspent(self) -> float:
        """Wrong answers that may be risked now."""
        return self._unspent

    def resume(self, requests: float, risked: float, lapsed: float) -> None:
        """Go on from what was earned, spent and lapsed by all processes together, this one among them."""
        with self._lock:
            self._unspent = self._grace + self._earned * requests - risked - lapsed
            self._clip()

    def requested(self, risk: float | None = None) -> float:
        """A request came; its best candidate, where it has one, would be wrong with this probability.

        Returns:
            How much of the allowance lapsed, because more was saved than is kept.
        """
        with self._lock:
            self._unspent += self._earned
            lapsed = min(self._clip(), self._earned)
            self._recent.append(math.inf if risk is None else risk)
            self._requests += 1
            if self._requests >= _AT_FIRST and self._requests % _RENEWED == 0:
                self._limit = self._affordable()
            return lapsed

    def covers(self, risk: float) -> bool:
        """Whether a hit with this risk could be served."""
        return risk <= self._limit and risk <= self._unspent

    def spend(self, risk: float) -> bool:
        """Whether a hit with this risk can be served; where it can, it is."""
        with self._lock:
            covered = self.covers(risk)
            self._unspent -= risk if covered else 0.0
            return covered

    def withdraw(self, risk: float) -> None:
        """What the last request was to be served is not there: it counts neither as a request nor as a hit."""
        with self._lock:
            self._unspent += risk - self._earned
            if self._recent:
                self._recent.pop()

    def settle(self, risk: float, *, wrong: bool) -> None:
        """An answer that was served at this risk turned out to be right or wrong."""
        with self._lock:
            self._unspent += risk - wrong

    def _clip(self) -> float:
        """Keep savings and debts within what the horizon allows; how much was cut off the savings."""
        most = self.max_error * self._horizon
        over = max(0.0, self._unspent - most)
        self._unspent = max(-most, self._unspent - over)
        return over

    def _affordable(self) -> float:
        """The risk up to which the newest requests' hits would have spent what a request earns, and some savings."""
        spare = max(0.0, self._unspent) / _RECENT * 2
        budget = (self._earned + min(spare, self._earned)) * len(self._recent)
        limit = 0.0
        for risk in sorted(self._recent):
            if risk > self._ceiling:
                break
            budget -= risk
            if budget < 0:
                return limit
            limit = risk
        return self._ceiling  # whatever may be served at all was earned
