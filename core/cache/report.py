"""What the cache did: hits by tier, what they saved, and how many of them were wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

__all__ = ["CacheReport", "Share", "latency_count"]

_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, math.inf)
_TIERS = ("memory", "exact", "semantic", "flight")


def latency_count(seconds: float) -> str:
    """The name of the counter for lookups that took about so long."""
    return f"latency.{next(limit for limit in _BUCKETS if seconds <= limit):g}"


@dataclass(frozen=True)
class Share:
    """A share of cases, with the interval in which it lies with a confidence of 95 %.

    Source: Wilson's score interval (1927), which holds for few cases and for shares near 0 too.

    Example:
        >>> share = Share(1, 50)
        >>> f"{share.value:.2f}, {share.low:.3f} to {share.high:.3f}"
        '0.02, 0.004 to 0.105'
    """

    found: float
    of: float
    scale: float = 1.0
    """What the share is multiplied by: the part of all cases that `of` was drawn from."""

    @property
    def value(self) -> float:
        """The share; 0 of no cases."""
        return self.found / self.of * self.scale if self.of else 0.0

    @property
    def low(self) -> float:
        """Its lower limit."""
        return self._limits()[0]

    @property
    def high(self) -> float:
        """Its upper limit: 1 of no cases, since nothing is known."""
        return self._limits()[1]

    def _limits(self) -> tuple[float, float]:
        if not self.of:
            return 0.0, self.scale
        z, share = 1.959964, self.found / self.of
        middle = (share + z * z / (2 * self.of)) / (1 + z * z / self.of)
        width = z * math.sqrt(share * (1 - share) / self.of + z * z / (4 * self.of**2)) / (1 + z * z / self.of)
        return max(0.0, middle - width) * self.scale, min(1.0, middle + width) * self.scale


@dataclass(frozen=True)
class CacheReport:
    """Counts since the cache was cleared, over all processes."""

    requests: int
    hits: Mapping[str, int]
    """By tier: `memory`, `exact`, `semantic`, `flight` (came with a run that was under way)."""
    served_again: int
    """Hits from memory and the store that were another question's answer, as the same question was served before."""
    misses: int
    errors: int
    """Misses because the cache could not be read."""
    stored: int
    stale: int
    """Answers that died because a document they cite changed."""
    reported_wrong: int
    tokens_saved: int
    seconds_saved: float
    risked: float
    """Wrong answers to be expected among all semantic hits: those that were checked as they turned out, and the others
    as they were estimated when they were served."""
    checked: Share
    """Of semantic hits that were compared with an answer of their own, or reported on, those that were wrong."""
    explored: Share
    """Of candidates that were not served and were compared, those that would have been wrong."""
    latency: Mapping[float, int]
    """Lookups by their time, each at most so many seconds."""

    @classmethod
    def of(cls, counts: Mapping[str, float]) -> Self:
        """The report of a cache's counters."""

        def count(name: str) -> int:
            return round(counts.get(name, 0.0))

        hits = {tier: count(f"lookup.hit.{tier}") for tier in _TIERS}
        misses, errors = count("lookup.miss"), count("lookup.error")
        return cls(
            requests=sum(hits.values()) + misses + errors,
            hits=hits,
            served_again=count("lookup.again"),
            misses=misses,
            errors=errors,
            stored=count("stored"),
            stale=count("stale"),
            reported_wrong=count("reported.wrong"),
            tokens_saved=count("saved.tokens"),
            seconds_saved=counts.get("saved.seconds", 0.0),
            risked=max(0.0, counts.get("bound.risked", 0.0)),
            checked=Share(count("checked.wrong"), count("checked")),
            explored=Share(count("explored.wrong"), count("explored")),
            latency={limit: count(f"latency.{limit:g}") for limit in _BUCKETS},
        )

    @property
    def hit_rate(self) -> float:
        """Share of requests that were answered from the cache."""
        return sum(self.hits.values()) / self.requests if self.requests else 0.0

    @property
    def wrong(self) -> Share:
        """Wrong answers among all requests, estimated: the share of the checked hits, over all of other questions."""
        others = self.hits["semantic"] + self.served_again
        return replace(self.checked, scale=others / self.requests if self.requests else 0.0)

    def percentile(self, share: float) -> float:
        """Seconds within which that share of the lookups ended, as the upper limit of its bucket."""
        wanted, seen = share * sum(self.latency.values()), 0
        for limit, lookups in self.latency.items():
            seen += lookups
            if lookups and seen >= wanted:
                return limit
        return 0.0
