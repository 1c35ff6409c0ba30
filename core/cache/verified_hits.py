"""Semantic hits under an error bound: rules, a cross-encoder, and what was learned from answers that were compared."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from freehold.cache.calibration import Calibration, Observation, Prior, shipped_prior
from freehold.cache.error_bound import ErrorBound
from freehold.cache.evidence import Choice, Evidence, Near
from freehold.cache.gate import compare
from freehold.cache.signals import signals
from freehold.cache.tally import Tally
from freehold.coordination.ledger import Ledger
from freehold.errors import InferenceError

__all__ = ["Judge", "VerifiedHits", "Verifier"]

_log = logging.getLogger(__name__)

_LEAST_SIMILARITY = 0.6
"""What is further away is not looked at: of Quora questions below it, one in 300 asks the same."""
_VERIFIED = 2
"""Candidates that the cross-encoder reads at most; each costs some milliseconds."""
_CLOSE = 0.05
"""The second one is read where its similarity comes so near to the first one's."""
_MARGIN = 0.5
"""Standard deviations that are added to a risk, so that thin evidence leads to exploring."""
_READ_EVERY = 5.0
"""Seconds between two looks at what other processes learned and spent."""


class Verifier(Protocol):
    """A cross-encoder for pairs of questions, such as `LlamaReranker`."""

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """The probability that both ask the same, 0 to 1, for each pair."""
        ...


class Judge(Protocol):
    """Has the last word before an answer is served for another question."""

    async def same_question(self, question: str, earlier: str) -> bool:
        """Whether the answer to the earlier question answers this one."""
        ...


class VerifiedHits:
    """Serve an earlier answer where the risk that it is wrong is covered by a bound that the user sets.

    Candidates go through the gate's rules, then through the cross-encoder; a calibration makes one risk of all that is
    known, an `ErrorBound` says whether it can be afforded. What is not served is answered anew, and the comparison of
    both answers teaches the calibration; the less was compared, the wider the margin that is added to the risk. A
    question that was served the answer of another, at more risk than the bound, is answered anew when it comes back:
    so what is served is sampled where a mistake would be repeated.

    Args:
        verifier: The cross-encoder; None goes without, which serves fewer hits under the same bound.
        max_error: Largest share of requests that may get a wrong answer.
        ledger: Keeps what was learned beyond this process; None keeps it in memory. Where it is the response cache's
            too, `CacheReport.risked` says what was risked; otherwise that is 0.
        judge: Asked before a hit is served; None asks nobody.
        prior: What is believed at first; None is what ships with the package.

    Raises:
        SettingsError: `max_error` is not above 0 and below 1.
    """

    compares = True

    def __init__(
        self,
        verifier: Verifier | None,
        *,
        max_error: float = 0.02,
        ledger: Ledger | None = None,
        judge: Judge | None = None,
        prior: Prior | None = None,
    ) -> None:
        self.bound = ErrorBound(max_error)
        self._prior = prior or shipped_prior("unverified" if verifier is None else "verified")
        self.calibration = Calibration(self._prior)
        self._verifier = verifier
        self._judge = judge
        self._ledger = ledger
        self._tally = Tally(ledger)
        self._name = uuid.uuid4().hex
        self._position = ""
        self._read_at: float | None = None

    async def choose(self, question: str, near: Sequence[Near]) -> Choice:
        """The candidate with the least risk, where the bound covers it."""
        await self._read()
        choice = await self.assess(question, near)
        evidence = choice.evidence
        risk = evidence.risk if evidence is not None else None
        lapsed = self.bound.requested(risk)
        if evidence is not None and risk is not None:
            choice = await self._decide(question, choice, evidence, risk)
        await self._count(lapsed, risk if choice.allowed and risk else 0.0)
        return choice

    async def withdraw(self, evidence: Evidence) -> None:
        """Give the risk back; the request is counted when the next candidate is chosen."""
        if evidence.risk is not None:
            self.bound.withdraw(evidence.risk)
            await self._tally.add({"bound.requests": -1, "bound.risked": -evidence.risk})

    async def again(self, evidence: Evidence) -> Evidence | None:
        """Where the risk, as it is known today, is not above the bound, and covered: a mistake would be repeated."""
        await self._read()
        risk = 1.0
        if self._fits(evidence.signals):
            risk = self.calibration.risk(evidence.signals, evidence.entry).upper(_MARGIN)
        may = risk <= self.bound.max_error and self.bound.spend(risk)
        await self._count(self.bound.requested(), risk if may else 0.0)
        return replace(evidence, risk=risk) if may else None

    async def repeated(self) -> None:
        """Count a request that was served its own answer: it earns an allowance and risks nothing."""
        await self._count(self.bound.requested())

    async def _count(self, lapsed: float, risked: float = 0.0) -> None:
        await self._tally.add({"bound.requests": 1, "bound.risked": risked, "bound.lapsed": lapsed})

    async def learn(self, evidence: Evidence, *, correct: bool, served: bool) -> None:
        """Take in how two answers compared, and keep it for other processes and the next start."""
        if served and evidence.risk is not None:
            self.bound.settle(evidence.risk, wrong=not correct)
            await self._tally.add({"bound.risked": (not correct) - evidence.risk})
        if not self._fits(evidence.signals):  # none, or those of another version, or of a cache with another verifier
            return
        await asyncio.to_thread(self.calibration.learn, Observation(evidence.signals, correct, evidence.entry))
        await self._tell({"entry": evidence.entry, "signals": evidence.signals, "correct": correct})

    async def compared(self, entry: str) -> tuple[int, int]:
        """How often answers to other questions were compared with the entry's, and how often they were the same."""
        await self._read()
        return self.calibration.compared(entry)

    async def forget(self, *entries: str) -> None:
        """What was compared with these entries counts for all others only, in other processes too."""
        known = [entry for entry in entries if self.calibration.compared(entry)[0]]
        if known:
            self.calibration.forget(*known)
            await self._tell({"forgotten": known})

    async def _tell(self, known: dict[str, Any]) -> None:
        """Other processes, and the next start of this one."""
        if self._ledger is not None:
            with _lost_with_a_word():
                told = json.dumps({"by": self._name, **known}, separators=(",", ":"))
                await self._ledger.append([told.encode()])

    async def clear(self) -> None:
        """Begin anew; the ledger's owner clears the ledger."""
        self._tally.clear()
        self.bound, self.calibration = ErrorBound(self.bound.max_error), Calibration(self._prior)

    async def close(self) -> None:
        """Write what the bound earned and spent since the last time."""
        await self._tally.write()

    async def assess(self, question: str, near: Sequence[Near]) -> Choice:
        """The candidate with the least risk that the rules let through; nothing is counted, spent or allowed."""
        refused: Choice | None = None
        best: Evidence | None = None
        read = 0
        for candidate in near:
            if candidate.similarity < _LEAST_SIMILARITY or read == _VERIFIED:
                break
            if best is not None and (candidate.similarity < near[0].similarity - _CLOSE or self._covers(best)):
                break
            compared = compare(question, candidate.question)
            evidence = Evidence(candidate.key, candidate.question, candidate.similarity)
            if compared.reason is not None:
                refused = refused or Choice(False, f"A similar question was refused. {compared.reason}", evidence)
                continue
            try:
                verified = await self._verify(question, candidate.question)
            except Exception as error:  # noqa: BLE001 - a hit that cannot be verified is a miss
                _log.warning("The verifier failed; the question goes on as a miss: %s", error)
                return Choice(False, f"The verifier failed ({type(error).__name__}).", evidence)
            read += 1
            known = signals(candidate.similarity, compared, verified)
            risk = self.calibration.risk(known, candidate.key).upper(_MARGIN)
            comparisons, _ = self.calibration.compared(candidate.key)
            if best is None or best.risk is None or risk < best.risk:
                best = replace(evidence, signals=known, verifier=verified, risk=risk, comparisons=comparisons)
        if best is not None and best.risk is not None:
            return Choice(False, "", best, round(1 - best.risk, 4), round(1 - self.bound.limit, 4))
        return refused or Choice(False, "No earlier question of this scope is near enough.")

    def _covers(self, evidence: Evidence) -> bool:
        return evidence.risk is not None and self.bound.covers(evidence.risk)

    async def _verify(self, question: str, earlier: str) -> float | None:
        if self._verifier is None:
            return None
        score = float((await self._verifier.ascore([(question, earlier)]))[0])
        if not 0 <= score <= 1:
            raise InferenceError(f"The verifier gave {score}, which is no probability.")
        return score

    async def _decide(self, question: str, choice: Choice, evidence: Evidence, risk: float) -> Choice:
        told = f"similarity {evidence.similarity:.3f}"
        if evidence.verifier is not None:
            told += f", verifier {evidence.verifier:.3f}"
        told += f", {self.calibration.observations} comparisons, {evidence.comparisons} of this answer"
        if not self.bound.covers(risk):
            why = "more than a hit may risk" if risk > self.bound.limit else "more than is left to risk"
            reason = f"It would be wrong with a probability of {risk:.1%}, {why} ({told})."
            return replace(choice, reason=reason)
        try:
            same = self._judge is None or await self._judge.same_question(question, evidence.question)
        except Exception as error:  # noqa: BLE001 - a hit that cannot be judged is a miss
            _log.warning("The judge failed; the question goes on as a miss: %s", error)
            return replace(choice, reason=f"The judge failed ({type(error).__name__}).")
        if not same:
            return replace(choice, reason=f"The judge sees another question ({told}).")
        if not self.bound.spend(risk):  # others were served while the judge thought
            return replace(choice, reason=f"Other hits have taken what may be risked ({told}).")
        return replace(choice, allowed=True, reason=f"The same is asked, but for a probability of {risk:.1%} ({told}).")

    async def _read(self) -> None:
        """Take in what was learned before this process, and what others learned and spent since."""
        if self._ledger is None or (self._read_at and time.monotonic() - self._read_at < _READ_EVERY):
            return
        self._read_at = time.monotonic()
        with _lost_with_a_word():
            counts = Counter(await self._tally.counts())
            counts.update(self._tally.unwritten)
            self.bound.resume(*(counts[f"bound.{name}"] for name in ("requests", "risked", "lapsed")))
            entries, self._position = await self._ledger.read(self._position)
            if entries:
                await asyncio.to_thread(self._take_in, entries)

    def _take_in(self, entries: Sequence[bytes]) -> None:
        """What other processes observed, in its order; of an entry that is forgotten, what is known of all remains."""
        observed: list[Observation] = []
        for entry in entries:
            known = self._observed(entry)
            if isinstance(known, Observation):
                observed.append(known)
            elif known:
                observed = [replace(one, entry=None) if one.entry in known else one for one in observed]
                self.calibration.forget(*known)
        self.calibration.take_in(observed)

    def _fits(self, known: Sequence[float]) -> bool:
        """Whether the calibration can learn from these signals."""
        return len(known) == self.calibration.size and all(map(math.isfinite, known))

    def _observed(self, entry: bytes) -> Observation | frozenset[str] | None:
        """What another process observed, or forgot; None for one's own, and for what another version wrote."""
        try:
            found = json.loads(entry)
            if found["by"] == self._name:
                return None
            if "forgotten" in found:
                return frozenset(map(str, found["forgotten"]))
            known = [float(value) for value in found["signals"]]
            if not self._fits(known):
                return None
            return Observation(known, bool(found["correct"]), str(found["entry"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            _log.info("An observation of another version is passed over: %s", error)
            return None


@contextmanager
def _lost_with_a_word() -> Iterator[None]:
    """What a ledger cannot keep or give is lost, and the cache goes on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever the store raises, an answer is not lost with it
        _log.warning("What the cache learns cannot be kept or read: %s", error)
