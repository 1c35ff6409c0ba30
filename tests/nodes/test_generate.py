"""The node `Generate`, with chat models that LangChain ships for saying a given thing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatResult

from freehold.errors import ContextLengthError
from freehold.nodes import Generate, Prompts
from freehold.state import Passage

PASSAGE: Passage = {
    "id": "p1", "text": "The key hangs\nin the shed.", "source": "notes.md", "heading": "Keys", "page": None,
    "start": 10, "end": 36, "score": 0.8,
}  # fmt: skip


class Recording(GenericFakeChatModel):
    """Says the given thing and keeps the prompt it got."""

    prompts: list[list[BaseMessage]] = []  # noqa: RUF012 - pydantic copies it per instance

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.prompts.append(messages)
        return super()._generate(messages, *args, **kwargs)


class Failing(BaseChatModel):
    """A model that is broken, or whose context is too short."""

    error: Exception

    @property
    def _llm_type(self) -> str:
        return "failing"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise self.error


def saying(*texts: str) -> Recording:
    """A model that says these things one after another."""
    answers: Iterator[AIMessage] = iter([AIMessage(text) for text in texts])
    return Recording(messages=answers)


def test_the_answer_carries_its_citations() -> None:
    """A marker in the answer leads to the passage, its file and its place in it."""
    state = {"messages": [("user", "Where is the key?")], "passages": [PASSAGE], "route": "documents"}
    update = Generate(saying("In the shed [1]. Not there [7]."))(state)
    assert [(c["number"], c["source"], c["start"]) for c in update["citations"]] == [(1, "notes.md", 10)]
    assert update["attempts"] == 1
    assert update["messages"][0].text == update["answer"]


def test_the_prompt_holds_passages_and_memories() -> None:
    """The system message has the form that the demonstration model was trained on."""
    model = saying("yes")
    memory = {"id": "m", "text": "Likes tea", "score": 0.9, "created_at": ""}
    Generate(model)({"question": "Q?", "messages": [], "passages": [PASSAGE], "memories": [memory]})
    system, question = model.prompts[0]
    assert system.text == (
        "Answer from the context and cite it.\n\nContext:\n[1] The key hangs in the shed.\n\n"
        "What is known about the user:\n- Likes tea"
    )
    assert question == HumanMessage("Q?")


def test_a_direct_answer_sees_no_passages() -> None:
    """Greetings are not answered from documents, and cite none."""
    model = saying("Hello [1]")
    update = Generate(model)({"messages": [("user", "Hi")], "passages": [PASSAGE], "route": "direct"})
    assert "Context" not in model.prompts[0][0].text
    assert update["citations"] == []


def test_history_is_whole_turns_and_bounded() -> None:
    """The model sees the newest turns, and never an answer without its question."""
    model = saying("ok")
    turns = [(role, f"{role} {number}") for number in range(5) for role in ("user", "assistant")]
    Generate(model, history=3)({"messages": [*turns, ("user", "now")], "route": "direct"})
    assert [message.text for message in model.prompts[0][1:]] == ["user 4", "assistant 4", "now"]


def test_what_does_not_fit_is_left_out_history_first() -> None:
    """A long conversation costs history, then the last passages, never the question."""
    model = saying("ok")

    async def fits(prompt: list[BaseMessage]) -> bool:
        return len(prompt) == 2 and "[2]" not in prompt[0].text

    node = Generate(model, fits=fits)
    state = {
        "messages": [("user", "a"), ("assistant", "b"), ("user", "now")],
        "passages": [PASSAGE, PASSAGE],
        "route": "documents",
    }
    node(state)
    assert model.prompts[0][-1].text == "now"
    assert "[1]" in model.prompts[0][0].text


def test_a_failing_model_falls_back_and_says_so() -> None:
    """The run goes on with the fallback, and the decision tells."""
    node = Generate(Failing(error=KeyError("gone")), fallback=saying("from the fallback"))
    update = node({"messages": [("user", "Q")], "route": "direct"})
    assert update["answer"] == "from the fallback"
    assert update["decisions"][0]["decision"] == "fell_back"


def test_without_a_fallback_the_error_reaches_the_caller() -> None:
    """An answer is never made up."""
    with pytest.raises(KeyError):
        Generate(Failing(error=KeyError("gone")))({"messages": [("user", "Q")]})


def test_a_question_that_is_too_long_is_the_users_to_mend() -> None:
    """The fallback is not tried with a question that cannot fit."""
    with pytest.raises(ContextLengthError):
        Generate(Failing(error=ContextLengthError(5000, 1024)), fallback=saying("no"))({"messages": [("user", "Q")]})


def test_a_second_attempt_knows_what_was_refused_and_replaces_the_first() -> None:
    """The objection goes into the prompt; the thread holds one answer, not two."""
    model = saying("second")
    refused = {"surface": "output", "rail": "r", "decision": "block", "explanation": "It holds a key.", "failed": False}
    state = {
        "messages": [HumanMessage("Q", id="1"), AIMessage("first", id="2")],
        "verdicts": [refused],
        "attempts": 1,
        "route": "direct",
    }
    update = Generate(model, prompts=Prompts(direct="Be brief."))(state)
    assert "It holds a key." in model.prompts[0][0].text
    assert update["messages"][0].id == "2"
    assert update["attempts"] == 2
