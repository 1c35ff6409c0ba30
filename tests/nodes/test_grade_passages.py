"""The node `GradePassages` and its graders: likeness, a chat model, a reranker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

from freehold import Workspace
from freehold.inference import LlamaEmbeddings
from freehold.nodes import GradePassages
from freehold.nodes.graders import ModelGrader, RerankerGrader, SimilarityGrader
from freehold.state import Passage

QUESTION = "Where does the boiler keep its pressure gauge?"
TEXTS = {
    "gauge": "The boiler keeps its pressure gauge behind the lower front panel. Refill it below one bar.",
    "tomato": "Tomatoes are watered every morning with rain water from the barrel.",
    "gate": "The garden gate is locked at sunset.",
}


def passages(**texts: str) -> list[Passage]:
    """Passages by id."""
    return [
        {
            "id": name, "text": text, "source": f"{name}.md", "heading": "", "page": None,
            "start": 0, "end": len(text), "score": 0.5,
        }
        for name, text in texts.items()
    ]  # fmt: skip


def graded(grader: Any, question: str = QUESTION, **texts: str) -> tuple[list[str], dict[str, Any]]:
    """Ids of the passages that stayed, and the decision."""
    update = GradePassages(grader)({"messages": [("user", question)], "passages": passages(**(texts or TEXTS))})
    return [passage["id"] for passage in update["passages"]], update["decisions"][0]


class Fixed:
    """A grader, and a reranker, of a user's own."""

    threshold = 2.5

    def __init__(self, *grades: float) -> None:
        self.grades = grades
        self.pairs: list[tuple[str, str]] = []

    async def grade(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        return self.grades

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        self.pairs += text_pairs
        return self.grades


class Judging(FakeListChatModel):
    """A model without tools that thinks aloud and finds passages about boilers relevant."""

    responses: list[str] = []  # noqa: RUF012 - pydantic copies it per instance
    seen: list[list[BaseMessage]] = []  # noqa: RUF012
    broken: bool = False
    reply: str = "<think>yes, or no?</think> {}"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append(messages)
        if self.broken:
            raise ConnectionError
        verdict = "Yes." if "boiler" in str(messages[-1].text).rpartition("Passage:")[2] else "No."
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.reply.format(verdict)))])


class Formed(Judging):
    """A model that can be held to a form."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        def parse(message: BaseMessage) -> dict[str, Any]:
            yes = "Yes" in str(message.text)
            return {"raw": message, "parsed": schema(relevant="yes" if yes else "no"), "parsing_error": None}

        return self | parse


def test_only_what_bears_on_the_question_stays(embedder: LlamaEmbeddings) -> None:
    """Without a language model, the passage with the answer is told from those about other things."""
    kept, decision = graded(SimilarityGrader(embedder))
    assert kept == ["gauge"]
    assert (decision["decision"], decision["threshold"]) == ("relevant", 0.45)
    assert decision["score"] == decision["details"]["grades"]["gauge"] > 0.8
    assert decision["details"]["grades"]["tomato"] < 0.2


@pytest.mark.parametrize("question", ["Who won the world cup in 2014?", "How do I enable GPU offload?", "?"])
def test_nothing_stays_where_nothing_fits(embedder: LlamaEmbeddings, question: str) -> None:
    """Passages about other things are no ground for an answer."""
    kept, decision = graded(SimilarityGrader(embedder), question)
    assert kept == []
    assert decision["decision"] == "irrelevant"


def test_one_sentence_of_a_long_passage_is_enough(embedder: LlamaEmbeddings) -> None:
    """A passage is not dropped for what else it speaks of."""
    other = " ".join(f"Room {number} has {number} windows and a door to the corridor." for number in range(1, 12))
    long = f"{other} Bicycles stand in the shed. {other}"
    kept, _ = graded(SimilarityGrader(embedder), "Where do the bicycles stand?", long=long, rooms=other)
    assert kept == ["long"]


@pytest.mark.parametrize("kind", [Judging, Formed])
def test_a_model_grades_every_passage(kind: type[Judging]) -> None:
    """Any chat model will do, with a form or without; it sees question and passage, and its thoughts do not count."""
    model = kind()
    kept, decision = graded(ModelGrader(model))
    assert kept == ["gauge"]
    assert decision["details"]["grades"] == {"gauge": 1.0, "tomato": 0.0, "gate": 0.0}
    assert len(model.seen) == 3
    assert all(QUESTION in str(prompt[-1].text) for prompt in model.seen)


def test_doubt_keeps_a_passage() -> None:
    """A reply that is neither yes nor no drops nothing."""
    kept, decision = graded(ModelGrader(Judging(reply="Perhaps.")))
    assert kept == list(TEXTS)
    assert decision["score"] == 0.5


def test_a_local_model_is_held_to_the_form_by_a_grammar(workspace: Workspace) -> None:
    """Even the demonstration model, which knows no such question, gives a yes or a no and nothing else."""
    _, decision = graded(ModelGrader(workspace.chat_model))
    assert decision["decision"] in ("relevant", "irrelevant")
    assert set(decision["details"]["grades"].values()) <= {0.0, 1.0}


def test_a_grader_that_fails_drops_nothing() -> None:
    """A model that is down costs the grading, not the passages; the decision says so."""
    kept, decision = graded(ModelGrader(Judging(broken=True)))
    assert kept == list(TEXTS)
    assert decision["decision"] == "error"
    assert "ConnectionError" in decision["reason"]


def test_a_grader_that_loses_a_passage_drops_nothing() -> None:
    """Grades that do not fit the passages are an error, not a guess."""
    kept, decision = graded(Fixed(3.0, 1.0))
    assert kept == list(TEXTS)
    assert decision["decision"] == "error"


def test_your_own_grader_has_its_own_scale() -> None:
    """The threshold is the grader's; order is the retriever's."""
    kept, decision = graded(Fixed(2.5, 2.4, 9.0))
    assert kept == ["gauge", "gate"]
    assert (decision["score"], decision["threshold"]) == (9.0, 2.5)


def test_a_reranker_grades() -> None:
    """A cross-encoder gets question and passage as pairs."""
    reranker = Fixed(0.2, 0.9, 0.5)
    kept, _ = graded(RerankerGrader(reranker))
    assert kept == ["tomato", "gate"]
    assert reranker.pairs[0] == (QUESTION, TEXTS["gauge"])


async def test_nothing_to_grade_is_no_error(embedder: LlamaEmbeddings) -> None:
    """Where the retriever found nothing, no grader is asked, and awaiting is the same as calling."""
    node = GradePassages(SimilarityGrader(embedder))
    assert node({"question": "x"})["decisions"][0]["decision"] == "nothing"
    state = {"question": QUESTION, "passages": passages(**TEXTS)}
    assert (await node.ainvoke(state))["passages"] == node(state)["passages"]
