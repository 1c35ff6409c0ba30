"""Strategies whose verifier says what a test wants, and what is chosen by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from freehold.cache import Evidence, VerifiedHits
from freehold.cache.calibration import Prior
from freehold.cache.evidence import Choice, Near
from freehold.cache.signals import SIGNALS, UNVERIFIED
from freehold.coordination import MemoryLedger
from freehold.errors import StorageError

ASKED = "How do I reset my password?"
SAME = "How can I reset my password?"
AGAIN = "How could I reset my password?"
NOT = "How do I not reset my password?"
OTHER = "Which port does the server listen on?"

EYE = tuple(tuple(row) for row in np.eye(len(SIGNALS)).tolist())
PRIOR = Prior((0.0,) * len(UNVERIFIED) + (3.0,), EYE, floor=-5.0, floor_precision=1.0)
"""Believes the verifier: 0.999 is a risk of about a percent, 0.9 one of about a fifth, 0.01 is nearly certain."""


class Fixed:
    """A cross-encoder that gives what it was told, by the earlier question, and keeps what it was asked."""

    def __init__(self, default: float = 0.999, **scores: float) -> None:
        self.default = default
        self.scores: dict[str, float] = dict(scores)
        self.asked: list[str] = []

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked += [earlier for _, earlier in text_pairs]
        return [self.scores.get(earlier, self.default) for _, earlier in text_pairs]


class Broken:
    """A cross-encoder, and a judge, that fails."""

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        raise OSError("no model")

    async def same_question(self, question: str, earlier: str) -> bool:
        raise OSError("no model")


class Judge:
    """Says what it was told, and keeps what it was asked."""

    def __init__(self, *, same: bool) -> None:
        self.verdict = same
        self.asked: list[tuple[str, str]] = []

    async def same_question(self, question: str, earlier: str) -> bool:
        self.asked.append((question, earlier))
        return self.verdict


class Shaky(MemoryLedger):
    """A ledger that fails while `down`."""

    down = False

    def _in_use(self):  # type: ignore[no-untyped-def]
        if self.down:
            raise StorageError("The disk is full.")
        return super()._in_use()


def hits(verifier: Any = None, **given: Any) -> VerifiedHits:
    """The strategy with a prior that believes the verifier."""
    return VerifiedHits(verifier or Fixed(), **{"prior": PRIOR, "max_error": 0.02, **given})


def near(*candidates: tuple[str, float]) -> list[Near]:
    """Earlier questions with their similarity, under keys that say their place."""
    return [Near(f"key{place}", question, similarity) for place, (question, similarity) in enumerate(candidates)]


async def choose(strategy: VerifiedHits, *candidates: tuple[str, float]) -> Choice:
    """What is chosen for the one question of these tests."""
    return await strategy.choose(ASKED, near(*(candidates or [(SAME, 0.97)])))


async def seen(strategy: VerifiedHits, *candidates: tuple[str, float]) -> Evidence:
    """What was found out about the candidate that was looked at."""
    evidence = (await choose(strategy, *candidates)).evidence
    assert evidence is not None
    return evidence


def served_at(strategy: VerifiedHits, least: float, most: float) -> Evidence:
    """Evidence whose risk lies between two limits, as the strategy estimates it now."""
    for step in range(400):
        known = dict.fromkeys(SIGNALS, 0.0) | {"bias": 1.0, "similarity": 1.0, "verifier": step / 40}
        signals = tuple(known[name] for name in SIGNALS)
        risk = strategy.calibration.risk(signals, "key0").upper(0.5)
        if least <= risk <= most:
            return Evidence("key0", SAME, 0.99, signals, risk=risk)
    raise AssertionError("no signals have such a risk")
