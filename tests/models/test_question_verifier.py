"""What the shipped verifier tells apart, through real llama.cpp: clear pairs of each kind that its README promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from freehold.inference import LlamaReranker
from freehold.models import VERIFIER_MODEL, model_path

DIFFERENT = {
    "antonym": ("How do I increase my typing speed?", "How do I decrease my typing speed?"),
    "negation": ("Why do people like spicy food?", "Why don't people like spicy food?"),
    "number": ("How do I lose 10 pounds in a month?", "How do I lose 25 pounds in a month?"),
    "year": ("Who won the football world cup in 2010?", "Who won the football world cup in 2014?"),
    "name": ("How many people live in Paris?", "How many people live in London?"),
    "unit": ("How many meters are in 3 miles?", "How many feet are in 3 miles?"),
    "direction": ("How do I convert miles to kilometers?", "How do I convert kilometers to miles?"),
    "opinion": ("What do Indians think of Germans?", "What do Germans think of Indians?"),
    "comparison": ("How is Apple better than Samsung?", "How is Samsung better than Apple?"),
    "question word": ("When was the telephone invented?", "Where was the telephone invented?"),
    "modifier": ("Which are the best colleges?", "Which are the best colleges in Canada?"),
    "medicine": ("What are the side effects of metformin?", "What are the side effects of warfarin?"),
}
SAME = {
    "case": ("How do I learn to play the guitar?", "how do i learn to play the guitar"),
    "form": ("How do I learn to play the guitar?", "What is the best way to learn to play the guitar?"),
    "courtesy": ("How do I open a bank account?", "Hello, can you tell me how do I open a bank account?"),
    "contraction": ("What is the tallest building in the world?", "What's the tallest building in the world?"),
    "synonym": ("Where can I buy cheap books?", "Where can I purchase cheap books?"),
    "order": ("What is the difference between tea and coffee?", "What is the difference between coffee and tea?"),
    "medicine": ("What are the side effects of metformin?", "Which side effects does metformin have?"),
}


@pytest.fixture(scope="module")
def verifier() -> Iterator[LlamaReranker]:
    """The shipped file, loaded once."""
    model = LlamaReranker(model_path(VERIFIER_MODEL), threads=1)
    yield model
    model.close()


@pytest.mark.parametrize("kind", DIFFERENT)
def test_a_twisted_question_is_told_apart(verifier: LlamaReranker, kind: str) -> None:
    """One changed word that changes the answer is seen, from either side, though cosine hardly moves."""
    first, second = DIFFERENT[kind]
    assert max(verifier.score([(first, second), (second, first)])) < 0.5


@pytest.mark.parametrize("kind", SAME)
def test_a_plain_paraphrase_is_recognised(verifier: LlamaReranker, kind: str) -> None:
    """What changes the form only still finds the earlier answer, from either side."""
    first, second = SAME[kind]
    assert min(verifier.score([(first, second), (second, first)])) > 0.5


def test_both_directions_nearly_agree(verifier: LlamaReranker) -> None:
    """One direction is scored at run time: which question came first must not decide."""
    pairs = [*DIFFERENT.values(), *SAME.values()]
    forth = verifier.score(pairs)
    back = verifier.score([(second, first) for first, second in pairs])
    assert max(abs(one - other) for one, other in zip(forth, back, strict=True)) < 0.3
