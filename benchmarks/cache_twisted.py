"""Questions that were twisted on purpose, and plain paraphrases: which of them would be served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cache_stream import Models, read_stream, serve, shuffles
from benchmarks.report import Bar
from benchmarks.twisted_questions import KINDS, Rewritten, paraphrases, questions, twisted

if TYPE_CHECKING:
    from freehold.cache import VerifiedHits

__all__ = ["rows"]

_EACH = 200


async def rows(data: Path, models: Models, learned: VerifiedHits | None, *, quick: bool) -> list[Bar]:
    """Which share of each kind a cache that has seen the stream would serve, at a bound of 2 %; and which a new one.

    A pair counts as accepted where the risk of serving the one's answer for the other is under the limit that the
    bound has come to; the allowance, which a thousand look-alikes in a row would use up, is left out.
    """
    from freehold.cache import VerifiedHits

    if learned is None:
        learned = VerifiedHits(models.verifier, max_error=0.02)
        await serve(shuffles(read_stream(data), 1)[0], models, learned)
    new = VerifiedHits(models.verifier, max_error=0.02)
    texts = questions(data)  # nothing was trained on them
    each = 40 if quick else _EACH
    bars: list[Bar] = []
    accepted: list[float] = []
    fresh: list[float] = []
    made = 0
    for kind in KINDS:
        pairs = twisted(texts, kind, each)
        made += len(pairs)
        accepted.append(await _accepted(pairs, models, learned))
        fresh.append(await _accepted(pairs, models, new))
        bars.append(Bar(f"twisted, {kind}: accepted ({len(pairs)} pairs)", round(accepted[-1], 3), "share"))
    plain = paraphrases(texts, each)
    ways = [
        Bar(f"paraphrases, {way}: accepted", round(await _accepted(of_way, models, learned), 3), "share")
        for way in sorted({pair.kind for pair in plain})
        if (of_way := [pair for pair in plain if pair.kind == way])
    ]
    everything = sum(accepted) / len(accepted)
    return [
        Bar(f"twisted questions, {len(KINDS)} kinds, {made} pairs: accepted", round(everything, 4), "share", 0.03),
        Bar("the same: the worst kind", round(max(accepted), 4), "share", 0.03),
        *bars,
        Bar("plain paraphrases: accepted", round(await _accepted(plain, models, learned), 3), "share", 0.85, "more"),
        *ways,
        Bar("by a new cache: twisted accepted", round(sum(fresh) / len(fresh), 4), "share"),
        Bar("by a new cache: paraphrases accepted", round(await _accepted(plain, models, new), 3), "share"),
    ]


async def _accepted(pairs: Sequence[Rewritten], models: Models, strategy: VerifiedHits) -> float:
    """Share of the pairs for which the earlier answer would be served."""
    from freehold.cache.evidence import Near

    served = 0
    for pair in pairs:
        vectors = await models.embeddings.embed([pair.question, pair.other])
        near = Near(f"key of {pair.question}", pair.question, float(vectors[0] @ vectors[1]))
        choice = await strategy.assess(pair.other, [near])
        risk = choice.evidence.risk if choice.evidence is not None else None
        served += risk is not None and risk <= strategy.bound.limit
    return served / len(pairs)
