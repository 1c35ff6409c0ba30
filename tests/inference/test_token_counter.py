"""Tests of core/inference/token_counter.py: the shipped models' vocabularies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from freehold.inference.llama_model import LlamaModel
from freehold.inference.token_counter import TokenCounter
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path

TEXTS = [
    "",
    "The heron eats fish.",
    "鷺は魚を食べる。",
    "x" * 5_000,
    "🐟🐸\ud83d",
    "def f(a_b):\n    return a_b + 1\n" * 40,
]


@pytest.mark.parametrize("name", [DEMO_MODEL, EMBEDDING_MODEL])
def test_counts_what_the_model_would_make(name: str) -> None:
    """The count is the length of the tokens, in any script and from any thread: passages are measured by it."""
    model = LlamaModel(model_path(name))
    counter = TokenCounter(model_path(name))
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(counter, TEXTS * 4))
    assert counts == [len(model.tokenize(text, special=False, wrap=True)) for text in TEXTS] * 4
    model.close()
