"""A stream of questions through the response cache, beside the best fixed cosine threshold."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Bar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from freehold.cache import HitStrategy
    from freehold.cache.verified_hits import VerifiedHits
    from freehold.inference import LlamaEmbeddings
    from freehold.inference.reranker import LlamaReranker

__all__ = ["Models", "Served", "read_stream", "rows", "serve"]

_BOUNDS = {0.01: 1.8, 0.02: 1.5, 0.05: 1.4}
_THRESHOLDS = 240


@dataclass(frozen=True)
class Request:
    """A question, and what a right answer to it is."""

    text: str
    answer: int


@dataclass(frozen=True)
class Served:
    """What became of a stream."""

    requests: int
    semantic: int
    """Answered from the cache though the text had not been asked before."""
    repeats: int
    """Answered from the cache, and asked before."""
    wrong: int
    """Answered from the cache with another question's answer."""

    @property
    def wrong_share(self) -> float:
        """Of all requests."""
        return self.wrong / self.requests

    @property
    def semantic_share(self) -> float:
        """Of all requests."""
        return self.semantic / self.requests


@dataclass(frozen=True)
class Models:
    """The encoder and the cross-encoder, shared by all runs: what they computed once they have."""

    embeddings: LlamaEmbeddings
    verifier: LlamaReranker

    @classmethod
    def shipped(cls) -> Models:
        """Those of the package, with room for every text and pair of the stream."""
        from freehold.inference import LlamaEmbeddings
        from freehold.inference.reranker import LlamaReranker
        from freehold.models import EMBEDDING_MODEL, VERIFIER_MODEL, model_path

        return cls(
            LlamaEmbeddings(model_path(EMBEDDING_MODEL), cache_size=50_000),
            LlamaReranker(model_path(VERIFIER_MODEL), cache_size=500_000),
        )

    def close(self) -> None:
        """Free both."""
        self.embeddings.close()
        self.verifier.close()


def read_stream(data: Path, name: str = "stream_dev.jsonl") -> list[Request]:
    """The requests of a stream in their order."""
    path = data / "duplicate_questions" / name if (data / "duplicate_questions").is_dir() else data / name
    lines = path.read_text("utf-8").splitlines()
    return [Request(row["text"], row["answer"]) for row in map(json.loads, lines)]


def shuffles(stream: Sequence[Request], number: int) -> list[list[Request]]:
    """The stream in so many orders, always the same ones."""
    import random

    orders = []
    for seed in range(number):
        order = list(stream)
        random.Random(seed).shuffle(order)
        orders.append(order)
    return orders


async def serve(stream: Sequence[Request], models: Models, strategy: HitStrategy) -> Served:
    """Ask every question of the cache, in order; what it does not answer is generated, and stored."""
    from freehold.cache import CachedAnswer, ResponseCache, Situation
    from freehold.coordination import MemoryStore
    from freehold.memory import EdgeQdrantClient, SemanticIndex

    situation = Situation(model="stream")
    asked: set[str] = set()
    semantic = repeats = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        client = EdgeQdrantClient(folder)
        cache = ResponseCache(
            MemoryStore(max_entries=100_000), SemanticIndex(client, models.embeddings), strategy=strategy
        )
        for request in stream:
            found = await cache.lookup(request.text, situation)
            if found.entry is None:
                answer = CachedAnswer(request.text, f"Answer {request.answer}")
                await cache.store(request.text, situation, answer, found.ticket)
            else:
                semantic += request.text not in asked
                repeats += request.text in asked
                wrong += found.entry.answer != f"Answer {request.answer}"
            asked.add(request.text)
        await cache.aclose()
        client.close()
    return Served(len(stream), semantic, repeats, wrong)


def fixed_thresholds(stream: Sequence[Request], vectors: NDArray[np.float32]) -> list[Served]:
    """What became of the stream in a cache with a fixed cosine threshold, for each of many.

    Such a cache keeps every answer that it generates, and serves the nearest kept question's where that is near enough;
    an exact repeat of a kept question is served its answer.
    """
    import numpy as np

    names: dict[str, int] = {}
    asked = np.array([names.setdefault(request.text, len(names)) for request in stream])
    answers = np.array([request.answer for request in stream])
    likeness = vectors @ vectors.T
    thresholds = np.linspace(0.88, 0.999, _THRESHOLDS)
    return [_by_threshold(asked, answers, likeness, float(threshold)) for threshold in thresholds]


def _by_threshold(
    asked: NDArray[np.int64], answers: NDArray[np.int64], likeness: NDArray[np.float32], threshold: float
) -> Served:
    import numpy as np

    kept = np.empty(len(likeness), dtype=np.int64)
    of = np.empty(len(likeness), dtype=np.int64)
    known: set[int] = set()
    seen: set[int] = set()
    size = semantic = repeats = wrong = 0
    for question, answer in zip(asked.tolist(), answers.tolist(), strict=True):
        if question in known:
            repeats += 1
            continue
        if size:
            near = likeness[question][kept[:size]]
            place = int(near.argmax())
            if near[place] >= threshold:
                semantic += question not in seen
                repeats += question in seen
                wrong += int(of[place]) != answer
                seen.add(question)
                continue
        kept[size], of[size] = question, answer
        size += 1
        known.add(question)
        seen.add(question)
    return Served(len(asked), semantic, repeats, wrong)


async def rows(data: Path, models: Models, *, quick: bool) -> tuple[list[Bar], VerifiedHits]:
    """The bars of the stream; and the strategy as it stands behind one at a bound of 2 %, for what comes after it."""
    import numpy as np

    from freehold.cache import VerifiedHits
    from freehold.cache.report import Share

    stream = read_stream(data)
    if quick:
        stream = stream[:1200]
    orders = shuffles(stream, 1 if quick else 5)
    by_threshold = []
    for order in orders:
        texts = list(dict.fromkeys(request.text for request in order))
        by_threshold.append(fixed_thresholds(order, await models.embeddings.embed(texts)))
    bars: list[Bar] = []
    learned: VerifiedHits | None = None
    for bound, least in _BOUNDS.items():
        ratios, wrongs, hits, uppers = [], [], [], []
        for number, (order, fixed_ones) in enumerate(zip(orders, by_threshold, strict=True), 1):
            # The best one under the bound, known only behind the stream.
            fixed = max((one for one in fixed_ones if one.wrong_share <= bound), key=lambda one: one.semantic)
            strategy = VerifiedHits(models.verifier, max_error=bound)
            served = await serve(order, models, strategy)
            ratios.append(served.semantic / max(1, fixed.semantic))
            wrongs.append(served.wrong_share)
            hits.append(served.semantic_share)
            uppers.append(Share(served.wrong, served.requests).high)
            learned = strategy if bound == 0.02 and learned is None else learned
            told = f"{served.semantic} hits, {fixed.semantic} at a fixed cosine, {served.wrong} wrong"
            print(f"stream, bound {bound:.0%}, order {number} of {len(orders)}: {told}", file=sys.stderr)
        name = f"stream, bound {bound:.0%}"
        bars += [
            Bar(
                f"{name}: semantic hits by those of the best fixed cosine, least",
                round(min(ratios), 2),
                "x",
                least,
                "more",
            ),
            Bar(f"{name}: the same, median", round(float(np.median(ratios)), 2), "x"),
            Bar(f"{name}: wrong answers of all requests, most", round(max(wrongs), 4), "share", bound),
            Bar(f"{name}: its upper limit (95 %), most", round(max(uppers), 4), "share"),
            Bar(f"{name}: semantic hits of all requests, median", round(float(np.median(hits)), 4), "share"),
        ]
    assert learned is not None
    return bars, learned
