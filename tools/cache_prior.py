"""What the response cache believes before anything was compared: core/cache/prior.json.

python -m tools.cache_prior train.jsonl core/cache/prior.json

Held-out questions come one after another, each looked up among those before it, as in a cache; a regression on what the
gate, the encoder and the cross-encoder say of each with its nearest one gives the weights. Runs in Freehold's own
environment, again whenever one of the three has changed.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from freehold.cache.calibration import Calibration, Observation, Prior
from freehold.cache.gate import compare
from freehold.cache.signals import SIGNALS, UNVERIFIED, signals
from freehold.inference import LlamaReranker
from freehold.models import VERIFIER_MODEL, model_path

from .question_verifier.evaluate import nearest_earlier
from .question_verifier.pairs import Groups, read_labelled

__all__ = ["main"]

_LEAST = 0.6
"""Similarity below which the cache looks at nothing."""
_FITTED = {"bias", "similarity", "same_words", "verifier"}
"""What the words of two questions tell beyond that depends on where questions come from: each cache learns it."""
_STRENGTH = 3.0
"""Precision of each weight: a few dozen comparisons outweigh it."""
_FLOOR, _FLOOR_PRECISION = -1.8, 6.0
"""One answer in seven is taken for wrong however alike the questions are, until comparisons say otherwise."""


def _questions(path: Path, seed: int) -> tuple[list[str], list[str]]:
    """The held-out texts in a random order, and for each the text that stands for all that ask the same."""
    _, held_out = read_labelled(path)
    same = Groups(pair for pair in held_out if pair.same)
    texts = sorted({text for pair in held_out for text in (pair.a, pair.b)})
    random.Random(seed).shuffle(texts)
    return texts, [same.of(text) for text in texts]


def _observed(path: Path, seed: int) -> tuple[list[Observation], list[Observation]]:
    """What the cache would see with the cross-encoder and without, where the gate lets it look."""
    texts, asked = _questions(path, seed)
    looked_at = []
    for place, (cosine, nearest) in enumerate(zip(*nearest_earlier(texts), strict=True), 1):
        compared = compare(texts[place], texts[nearest])
        if cosine >= _LEAST and compared.reason is None:
            looked_at.append((place, int(nearest), float(cosine), compared))
    with closing(LlamaReranker(model_path(VERIFIER_MODEL), cache_size=0)) as verifier:
        scores = verifier.score([(texts[place], texts[nearest]) for place, nearest, _, _ in looked_at])
    verified, unverified = [], []
    for (place, nearest, cosine, compared), score in zip(looked_at, scores, strict=True):
        same = asked[place] == asked[nearest]
        verified.append(Observation(signals(cosine, compared, score), same))
        unverified.append(Observation(signals(cosine, compared), same))
    return verified, unverified


def _fitted(observed: Sequence[Observation], names: Sequence[str]) -> dict[str, Any]:
    """The prior as the cache reads it."""
    loose = np.diag([0.01 if name in _FITTED else 1e6 for name in names])
    start = Prior((0.0,) * len(names), tuple(map(tuple, loose.tolist())), _FLOOR, _FLOOR_PRECISION)
    calibration = Calibration(start)
    calibration.take_in(observed)
    weights = calibration.weights(names)
    right = sum(observation.correct for observation in observed)
    print(f"{len(observed)} questions, {right} asked before; floor {calibration.floor:.3f}")
    print("  " + ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items()))
    mean = [round(weight, 2) if name in _FITTED else 0.0 for name, weight in weights.items()]
    precision = (np.eye(len(names)) * _STRENGTH).tolist()
    return {"mean": mean, "precision": precision, "floor": _FLOOR, "floor_precision": _FLOOR_PRECISION}


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    verified, unverified = _observed(arguments.labelled, arguments.seed)
    prior = {"verified": _fitted(verified, SIGNALS), "unverified": _fitted(unverified, UNVERIFIED)}
    arguments.output.write_text(json.dumps(prior) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
