"""Whether two answers say the same, from which the strategy learns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache import CachedAnswer
from freehold.cache.compare_answers import CompareAnswers
from freehold.inference import LlamaEmbeddings
from freehold.portal import run_sync
from freehold.state import Citation

QUESTION = "Where is the pressure gauge of the boiler?"
GAUGE = "The boiler keeps its pressure gauge behind the lower front panel."
RETOLD = "The pressure gauge of the boiler is behind the lower front panel."
UNCLEAR = "The gauge is at the back of the front panel, at the bottom of the boiler."
OTHER = "Tomatoes are watered every morning with rain water."


class Judge:
    """Says what it was given, and keeps what it was asked."""

    def __init__(self, *, same: bool) -> None:
        self.verdict = same
        self.asked: list[tuple[str, str, str]] = []

    async def same_answer(self, question: str, first: str, second: str) -> bool:
        self.asked.append((question, first, second))
        return self.verdict


def citation(passage: str, number: int = 1) -> Citation:
    """A citation of a passage."""
    return {
        "number": number,
        "source": "docs/a.md",
        "passage": passage,
        "heading": "",
        "page": None,
        "start": 0,
        "end": 4,
        "text": "text",
    }


def answer(text: str, *passages: str, route: str = "documents") -> CachedAnswer:
    """An answer that cites these passages."""
    cited = [citation(passage, number) for number, passage in enumerate(passages, 1)]
    return CachedAnswer(QUESTION, text, cited, route)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (answer(GAUGE), answer(GAUGE), True),
        (answer(GAUGE), answer(f"  {GAUGE.upper()} "), True),
        (answer(f"{GAUGE} [1]"), answer(f"{GAUGE} [2]"), True),  # the number of a citation is no number of the answer
        (answer(GAUGE), answer(GAUGE, route="direct"), True),
        (answer("It is 4 m high."), answer("It is 5 m high."), False),
        (answer("You may park there."), answer("You may not park there."), False),
        (answer("It is 4 m high. [1]", "p1"), answer("It is 5 m high. [1]", "p1"), False),
        (answer(GAUGE), answer(RETOLD, route="direct"), False),
        (answer(GAUGE, "p1", "p2"), answer(UNCLEAR, "p2", "p1", "p2"), True),
        (answer(GAUGE, "p1"), answer(OTHER, "p1"), True),
        (answer(GAUGE, "p1"), answer(RETOLD, "p2"), None),
        (answer(GAUGE, "p1"), answer(RETOLD, "p1", "p2"), None),
        (answer(GAUGE), answer(RETOLD), None),
    ],
)
async def test_what_can_be_told_without_asking(first: CachedAnswer, second: CachedAnswer, same: bool | None) -> None:
    """Protects what is learned: the same words or passages are the same, other numbers, negations and routes are not.

    What cannot be told teaches nothing. The order makes no difference.
    """
    assert await CompareAnswers().same(QUESTION, first, second) is same
    assert await CompareAnswers().same(QUESTION, second, first) is same


@pytest.mark.parametrize(("text", "same"), [(RETOLD, True), (OTHER, False), (UNCLEAR, None)])
async def test_likeness_decides_where_it_is_clear(embedder: LlamaEmbeddings, text: str, same: bool | None) -> None:
    """Protects what is learned of answers in other words, by the shipped embedding model."""
    assert await CompareAnswers(embedder).same(QUESTION, answer(GAUGE), answer(text)) is same
    assert await CompareAnswers(embedder).same(QUESTION, answer(text), answer(GAUGE)) is same


async def test_the_limits_of_likeness_are_the_users(embedder: LlamaEmbeddings) -> None:
    """Protects who has another embedding model, on which likeness has another scale."""
    strict = CompareAnswers(embedder, same_above=0.99, other_below=0.98)
    assert await strict.same(QUESTION, answer(GAUGE), answer(RETOLD)) is False
    lenient = CompareAnswers(embedder, same_above=0.0, other_below=-1.0)
    assert await lenient.same(QUESTION, answer(GAUGE), answer(OTHER)) is True


@pytest.mark.parametrize("verdict", [True, False])
async def test_a_judge_is_asked_about_the_rest(embedder: LlamaEmbeddings, verdict: bool) -> None:
    """Protects the price of a judge: it is asked about what nothing else tells, and then it decides."""
    judge = Judge(same=verdict)
    comparer = CompareAnswers(embedder, judge=judge)
    for text in (GAUGE, RETOLD, OTHER, "It is not behind the panel."):
        await comparer.same(QUESTION, answer(GAUGE), answer(text))
    assert judge.asked == []
    assert await comparer.same(QUESTION, answer(f"{GAUGE} [1]", "p1"), answer(f"{UNCLEAR} [1]", "p2")) is verdict
    assert judge.asked == [(QUESTION, GAUGE, UNCLEAR)]


async def test_a_judge_alone_is_asked_too() -> None:
    """Protects who has a judge and no embedder."""
    judge = Judge(same=True)
    assert await CompareAnswers(judge=judge).same(QUESTION, answer(GAUGE), answer(RETOLD)) is True
    assert len(judge.asked) == 1


async def test_an_embedder_that_fails_is_heard() -> None:
    """Protects the calibration: what cannot be compared is an error of whoever asks, and not an answer."""

    class Broken:
        async def embed(self, texts: object) -> object:
            raise OSError("no model")

    with pytest.raises(OSError, match="no model"):
        await CompareAnswers(Broken()).same(QUESTION, answer(GAUGE), answer(RETOLD))  # type: ignore[arg-type]


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_answer_is_itself_and_the_order_makes_no_difference(one: str, two: str) -> None:
    """Protects from odd text, and from a comparison that depends on which answer came first."""

    async def compared() -> tuple[bool | None, bool | None, bool | None]:
        comparer = CompareAnswers()
        first, second = answer(one), answer(two)
        return (
            await comparer.same(QUESTION, first, first),
            await comparer.same(QUESTION, first, second),
            await comparer.same(QUESTION, second, first),
        )

    itself, forth, back = run_sync(compared())
    assert itself is True
    assert forth is back
