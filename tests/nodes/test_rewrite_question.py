"""The node `RewriteQuestion`: by a model, by rules, never the same twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from freehold.nodes.rewrite_question import RewriteQuestion

TURNS = [
    ("user", "Where does the boiler keep its pressure gauge?"),
    ("assistant", "Behind the lower front panel. [1]"),
    ("user", "And who cleans it?"),
]


class Writing(FakeListChatModel):
    """A model that says a given thing, or is down, and keeps its prompts."""

    seen: list[list[BaseMessage]] = []  # noqa: RUF012 - pydantic copies it per instance
    broken: bool = False

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append(messages)
        if self.broken:
            raise ConnectionError
        return super()._generate(messages, *args, **kwargs)


def rewritten(node: RewriteQuestion, *messages: Any, **state: Any) -> tuple[str | None, dict[str, Any]]:
    """The new question, and the decision."""
    update = node({"messages": list(messages), **state})
    return update.get("question"), update["decisions"][0]


@pytest.mark.parametrize(
    "reply",
    [
        "Who cleans the boiler?",
        '"Who cleans the boiler?"',
        "Rewritten question: Who cleans the boiler?\nIt refers to the boiler.",
        "Here is the rewritten question:\n\nWho cleans the boiler?",
        "Sure! **Rewritten question:** Who cleans the boiler?",
        'Here is a question that stands alone, as a search query: "Who cleans the boiler?"',
        "Of course:\n\n> Who cleans the boiler?",
        "<think>It is the boiler.</think>\n\n**Who cleans the boiler?**",
    ],
)
def test_a_model_makes_a_question_that_stands_alone(reply: str) -> None:
    """It sees the conversation; what it says around the question is left out."""
    model = Writing(responses=[reply])
    question, decision = rewritten(RewriteQuestion(model), *TURNS)
    assert question == "Who cleans the boiler?"
    assert decision["decision"] == "rewritten"
    assert decision["details"] == {"question": "And who cleans it?"}
    prompt = str(model.seen[0][-1].text)
    assert "pressure gauge" in prompt
    assert prompt.endswith("Last question: And who cleans it?")


def test_a_question_about_questions_stays_whole() -> None:
    """Words that would announce a question are left where they are part of one."""
    model = Writing(responses=["What does the query: prefix of the search do?"])
    assert rewritten(RewriteQuestion(model), *TURNS)[0] == "What does the query: prefix of the search do?"


def test_without_a_model_the_turn_before_says_what_it_is_about() -> None:
    """A follow-up gets the words that it leaves out; what the user wrote stays in it."""
    question, decision = rewritten(RewriteQuestion(), *TURNS)
    assert question == "boiler keep pressure gauge: And who cleans it?"
    assert decision["reason"] == "By rules."


def test_without_a_turn_before_the_words_that_only_ask_go() -> None:
    """What is left is what a document could say."""
    wordy = "Could you please tell me whether there is any information about the guests' network?"
    assert rewritten(RewriteQuestion(), ("user", wordy))[0] == "guests network"


@pytest.mark.parametrize("reply", ["And who cleans it", "", "...", "x" * 600])
def test_a_model_that_says_nothing_new_leaves_it_to_the_rules(reply: str) -> None:
    """The same text would only be searched a second time."""
    question, decision = rewritten(RewriteQuestion(Writing(responses=[reply])), *TURNS)
    assert question == "boiler keep pressure gauge: And who cleans it?"
    assert decision["decision"] == "rewritten"


def test_a_model_that_is_down_leaves_it_to_the_rules() -> None:
    """The run goes on and the decision says what happened."""
    question, decision = rewritten(RewriteQuestion(Writing(responses=[""], broken=True)), *TURNS)
    assert question == "boiler keep pressure gauge: And who cleans it?"
    assert "ConnectionError" in decision["reason"]


def test_where_nothing_new_comes_out_the_question_stays() -> None:
    """A graph can tell, and need not search again."""
    question, decision = rewritten(RewriteQuestion(), ("user", "Boiler?"))
    assert question is None
    assert decision["decision"] == "unchanged"


def test_a_text_that_was_given_up_is_not_tried_again() -> None:
    """Also in a graph that rewrites more than once: what an earlier round of the turn searched for is known."""
    node = RewriteQuestion(Writing(responses=["Who cleans the boiler?", "who cleans the BOILER"]))
    first = node({"messages": TURNS})
    second = node({"messages": TURNS, **first})
    assert second["question"] == "keep pressure gauge: Who cleans the boiler?"
    third = node(
        {"messages": TURNS, "question": second["question"], "decisions": [*first["decisions"], *second["decisions"]]}
    )
    assert third.get("question") not in (first["question"], second["question"], "And who cleans it?")


@given(st.text(st.characters(exclude_categories=()), max_size=60), st.text(max_size=60))
def test_any_text_gives_another_or_none(text: str, before: str) -> None:
    """Whatever people write, a new question differs from the old one in its words, and nothing breaks."""
    question, decision = rewritten(RewriteQuestion(), ("user", before), ("ai", "Yes."), ("user", text))
    if decision["decision"] == "unchanged":
        assert question is None
    else:
        assert question is not None
        assert question.casefold().split() != text.casefold().split()


async def test_awaited_and_called_write_the_same() -> None:
    """`ainvoke` gives what a call gives."""
    assert (await RewriteQuestion().ainvoke({"messages": TURNS}))["question"] == rewritten(RewriteQuestion(), *TURNS)[0]
