"""A yes or a no from any chat model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.language_models import FakeListChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from freehold.inference import ChatLlama
from freehold.model_reply import Answer, said, yes_or_no
from freehold.portal import run_sync

PROMPT: list[BaseMessage] = [SystemMessage('Reply with {"fits": "yes"} or {"fits": "no"}.'), HumanMessage("Does it?")]


class Verdict(BaseModel):
    """Whether it fits."""

    fits: Answer


class Formed(FakeListChatModel):
    """A model that can be held to a form, and says what it was told to."""

    raw: str = ""
    parsed: Any = None

    def with_structured_output(  # type: ignore[override]
        self, schema: Any, *, include_raw: bool = False, **_: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any]]:
        assert include_raw
        return RunnableLambda(lambda _: {"raw": AIMessage(self.raw), "parsed": self.parsed, "parsing_error": None})


class Watch(AsyncCallbackHandler):
    """Keeps with which tags and metadata a model was asked."""

    def __init__(self) -> None:
        self.tags: list[str] = []
        self.metadata: dict[str, Any] = {}

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **known: Any
    ) -> None:
        self.tags, self.metadata = known.get("tags") or [], known.get("metadata") or {}

    async def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Nothing is kept of the answer."""


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ('{"fits": "yes"}', True),
        ('{"fits": "no"}', False),
        ("Yes.", True),
        ("NO", False),
        ("  no, it does not. Yes would be wrong.", False),
        ("**Yes**", True),
        ("It fits: yes", True),
        ("<think>No idea. Perhaps no?</think> Yes.", True),
        ("<thinking>yes\nyes</thinking>\nno", False),
        ("<think>yes, but it was cut", None),
        ("", None),
        ("Maybe.", None),
        ("I know nothing of yesterday.", None),
        ("ja", None),
    ],
)
async def test_a_reply_in_words_is_read(reply: str, verdict: bool | None) -> None:
    """Protects models without tools or grammars: the first yes or no counts, and thoughts do not."""
    assert await yes_or_no(FakeListChatModel(responses=[reply]), PROMPT, Verdict) is verdict
    assert await yes_or_no(Formed(responses=[""], raw=reply), PROMPT, Verdict) is verdict


async def test_a_thought_that_the_prompt_opened_is_left_out() -> None:
    """Protects reasoning models whose chat template begins the thought, so that the reply only ends it."""
    reply = "It may be a no, but I see no reason.\n</think>\n\nYes."
    assert await yes_or_no(FakeListChatModel(responses=[reply]), PROMPT, Verdict) is True


@pytest.mark.parametrize(("answer", "verdict"), [("yes", True), ("no", False)])
async def test_a_form_that_was_kept_counts(answer: Answer, verdict: bool) -> None:
    """Protects models that are held to a form: it decides, whatever they said around it."""
    model = Formed(responses=[""], raw="no yes no", parsed=Verdict(fits=answer))
    assert await yes_or_no(model, PROMPT, Verdict) is verdict


async def test_a_form_of_another_kind_is_not_taken() -> None:
    """Protects from a model that gives a dictionary where a form was asked for: its words are read."""
    model = Formed(responses=[""], raw="yes", parsed={"fits": "no"})
    assert await yes_or_no(model, PROMPT, Verdict) is True


@given(st.text())
def test_any_reply_is_yes_no_or_neither(reply: str) -> None:
    """Protects a grader from odd replies."""
    assert run_sync(yes_or_no(FakeListChatModel(responses=[reply]), PROMPT, Verdict)) in (True, False, None)
    assert said(reply) == said(said(reply))


async def test_a_model_that_fails_is_heard() -> None:
    """Protects whoever asks from taking a failure for an answer."""

    class Broken(FakeListChatModel):
        async def _agenerate(self, *_: Any, **__: Any) -> Any:
            raise OSError("no model")

    with pytest.raises(OSError, match="no model"):
        await yes_or_no(Broken(responses=[""]), PROMPT, Verdict)


async def test_a_grammar_holds_the_local_model_to_the_form(demonstration: ChatLlama) -> None:
    """Protects the shipped engine: whatever the demonstration model knows, it says yes or no, also many at once."""
    verdicts = await asyncio.gather(*(yes_or_no(demonstration, PROMPT, Verdict) for _ in range(3)))
    assert all(verdict in (True, False) for verdict in verdicts)


async def test_it_is_asked_aside() -> None:
    """Protects a graph's stream and a thread's kept conversation: nothing of the question shows as the answer."""
    watch = Watch()
    model = FakeListChatModel(responses=["yes"], callbacks=[watch])

    async def ask(state: MessagesState) -> dict[str, Any]:
        assert await yes_or_no(model, PROMPT, Verdict) is True
        return {"messages": [AIMessage("done")]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    streamed: Sequence[Any] = [
        part
        async for part in graph.compile().astream(
            {"messages": [("user", "Hello")]}, {"configurable": {"thread_id": "t1"}}, stream_mode="messages"
        )
    ]
    assert [message.text for message, _ in streamed] == ["done"]
    assert "nostream" in watch.tags
    assert watch.metadata["thread_id"] is None
