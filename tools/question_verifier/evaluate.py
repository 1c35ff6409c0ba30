"""Measure a verifier through llama.cpp: on a stream of requests, on labelled pairs, and on changed questions.

python -m tools.question_verifier.evaluate model.gguf DATA_FOLDER [--wordnet FOLDER]

DATA_FOLDER holds dev.jsonl (labelled pairs) and stream_dev.jsonl (requests; two with one `answer` ask the same). Runs
in Freehold's own environment.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freehold.inference import LlamaEmbeddings, LlamaReranker
from freehold.models import EMBEDDING_MODEL, model_path
from freehold.portal import run_sync

from .differences import DIFFERENCES, Change
from .lexicon import Lexicon
from .measures import answered_at, area
from .pairs import read_pairs
from .paraphrases import PARAPHRASES
from .wordnet import read_wordnet

__all__ = ["Stream", "main", "read_stream"]

_WRONG = (0.005, 0.0075, 0.008, 0.01, 0.015, 0.017, 0.02, 0.03, 0.045, 0.05)

_Texts = tuple[str, str]


@dataclass(frozen=True)
class Stream:
    """Each request that repeats no earlier text, with its nearest earlier question."""

    pairs: list[_Texts]
    cosine: NDArray[np.float64]
    right: NDArray[np.bool_]
    """Whether the nearest earlier question asks the same."""
    requests: int
    """All of them, also those that repeat a text."""


def read_stream(path: Path) -> Stream:
    """Look up every request among those before it, in the order of the file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = {row["text"]: row["answer"] for row in rows}
    texts = list(dict.fromkeys(row["text"] for row in rows))
    cosine, nearest = nearest_earlier(texts)
    pairs = [(text, texts[place]) for text, place in zip(texts[1:], nearest, strict=True)]
    right = np.array([answers[first] == answers[second] for first, second in pairs])
    return Stream(pairs, cosine, right, len(rows))


def nearest_earlier(texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The cosine and the place of each text's nearest earlier one, from the second text on."""
    with closing(LlamaEmbeddings(model_path(EMBEDDING_MODEL), cache_size=0)) as embeddings:
        parts = [run_sync(embeddings.embed(texts[start : start + 512])) for start in range(0, len(texts), 512)]
    vectors = np.concatenate(parts)
    cosine = np.tril(vectors @ vectors.T, -1)[1:]
    return cosine.max(axis=1), cosine.argmax(axis=1)


def logits(model: LlamaReranker, pairs: Sequence[_Texts]) -> NDArray[np.float64]:
    """The logit of each pair, in one direction."""
    scores: list[float] = []
    for start in range(0, len(pairs), 512):
        scores += run_sync(model.ascore(pairs[start : start + 512]))
    clipped = np.clip(scores, 1e-9, 1 - 1e-9)
    return np.log(clipped / (1 - clipped))


def _changed(texts: list[str], change: Change, lexicon: Lexicon, count: int) -> list[_Texts]:
    """Questions and what the change makes of them."""
    rng, out = random.Random(1), []
    for text in texts:
        other = change(text, lexicon, rng)
        if other and other != text:
            out.append((text, other))
        if len(out) == count:
            break
    return out


def _milliseconds(model: LlamaReranker) -> float:
    """Median time of one pair of about 25 tokens."""
    times = []
    for number in range(60):
        pair = (f"What is the best way to learn to play the guitar {number}?", "How can I learn to play guitar?")
        started = time.perf_counter()
        model.score([pair])
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1000


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--wordnet", type=Path, help="its folder, to measure changed questions too")
    parser.add_argument("--count", type=int, default=150, help="questions of each kind of change")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", type=int, default=0, help="how many wrong ones of each kind to print")
    arguments = parser.parse_args()
    stream = read_stream(arguments.data / "stream_dev.jsonl")
    labelled = read_pairs(arguments.data / "dev.jsonl")
    texts = [(pair.a, pair.b) for pair in labelled]
    with closing(LlamaReranker(arguments.model, threads=arguments.threads, cache_size=0)) as model:
        print(f"milliseconds a pair: {_milliseconds(model):.1f}")
        forth = logits(model, stream.pairs)
        both = (forth + logits(model, [(b, a) for a, b in stream.pairs])) / 2
        print("stream, wrong      ", *(f"{100 * wrong:5.2f}%" for wrong in _WRONG))
        for name, scores in (("cosine", stream.cosine), ("one direction", forth), ("both directions", both)):
            print(f"{name:19s}", *(f"{x:6.3f}" for x in answered_at(scores, stream.right, stream.requests, _WRONG)))
        scores = logits(model, texts)
        print(f"labelled pairs: area {area(scores, [pair.same for pair in labelled]):.4f}")
        strict = _threshold(forth, stream, 0.02)
        print(f"accepted above 0 and above {strict:.2f} (2 % wrong on the stream):")
        if arguments.wordnet:
            questions = sorted({text for pair in texts for text in pair})
            random.Random(0).shuffle(questions)
            lexicon = Lexicon(read_wordnet(arguments.wordnet), questions, trained_on=False)
            for title, changes in (("asks something else", DIFFERENCES), ("asks the same", PARAPHRASES)):
                totals: list[float] = []
                for kind, change in changes.items():
                    pairs = _changed(questions, change, lexicon, arguments.count)
                    found = logits(model, pairs)
                    totals += list(found)
                    shares = f"{(found > 0).mean():.3f} {(found > strict).mean():.3f}"
                    print(f"  {title}: {kind:16s} {shares} of {len(pairs)}")
                    _show(pairs, found, arguments.show, accepted=changes is DIFFERENCES)
                print(f"  {title}: all {np.mean(np.array(totals) > 0):.3f} {np.mean(np.array(totals) > strict):.3f}")


def _threshold(scores: NDArray[np.float64], stream: Stream, wrong: float) -> float:
    """The lowest score accepted where at most this share of all requests is answered wrong."""
    (answered,) = answered_at(scores, stream.right, stream.requests, [wrong])
    return float(np.sort(scores)[::-1][round(answered * stream.requests) - 1])


def _show(pairs: list[_Texts], scores: NDArray[np.float64], count: int, *, accepted: bool) -> None:
    wrong = [place for place in range(len(pairs)) if (scores[place] > 0) == accepted]
    for place in wrong[:count]:
        print(f"      {scores[place]:.2f} {pairs[place][0]!r} {pairs[place][1]!r}")


if __name__ == "__main__":
    main()
