"""A language model that has the last word on sameness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from freehold.cache import CachedAnswer, VerifiedHits
from freehold.cache.calibration import Prior
from freehold.cache.compare_answers import CompareAnswers
from freehold.cache.evidence import Near
from freehold.cache.judge import ModelJudge
from freehold.cache.signals import SIGNALS
from freehold.inference import ChatLlama


class Scripted(FakeListChatModel):
    """Says what it was told to, and keeps what it was asked."""

    asked: list[str] = []  # noqa: RUF012 - pydantic copies it for each model

    async def _agenerate(self, messages: list[BaseMessage], *given: Any, **named: Any) -> ChatResult:
        self.asked.append("\n".join(str(message.text) for message in messages))
        return await super()._agenerate(messages, *given, **named)


@pytest.mark.parametrize(
    ("reply", "same"),
    [
        ('{"same": "yes"}', True),
        ("Yes.", True),
        ('{"same": "no"}', False),
        ("No", False),
        ("I cannot tell.", False),
        ("", False),
    ],
)
async def test_only_a_yes_is_a_yes(reply: str, same: bool) -> None:
    """Protects from serving, or learning, what the judge did not say: anything else counts as no."""
    assert await ModelJudge(Scripted(responses=[reply])).same_question("How tall?", "How high?") is same
    assert await ModelJudge(Scripted(responses=[reply])).same_answer("How tall?", "4 m", "4 metres") is same


async def test_the_model_sees_both_and_what_to_compare() -> None:
    """Protects the question that is asked: both texts are in it, the earlier one first, and the form of the reply."""
    model = Scripted(responses=["yes"])
    await ModelJudge(model).same_question("How tall is it?", "How high is it?")
    await ModelJudge(model).same_answer("How tall?", "It is 4 m.", "Four metres.")
    questions, answers = model.asked
    assert questions.index("How high is it?") < questions.index("How tall is it?")
    assert "two questions" in questions
    assert "two answers" in answers
    assert answers.index("How tall?") < answers.index("It is 4 m.") < answers.index("Four metres.")
    assert all('{"same": "yes"} or {"same": "no"}' in prompt for prompt in model.asked)


async def test_a_model_that_fails_is_heard() -> None:
    """Protects whoever asks from taking a failure for a verdict."""

    class Broken(FakeListChatModel):
        async def _agenerate(self, *_: Any, **__: Any) -> Any:
            raise OSError("no model")

    with pytest.raises(OSError, match="no model"):
        await ModelJudge(Broken(responses=[""])).same_question("How tall?", "How high?")


async def test_the_local_model_keeps_to_the_form(demonstration: ChatLlama) -> None:
    """Protects the shipped engine: the demonstration model cannot judge, but what it says is a verdict."""
    judge = ModelJudge(demonstration)
    assert await judge.same_question("How tall is it?", "How high is it?") in (True, False)
    assert await judge.same_answer("How tall?", "It is 4 m.", "Four metres.") in (True, False)


async def test_it_fits_where_a_judge_is_asked() -> None:
    """Protects the two places that take a judge: before a hit is served, and where answers are compared."""

    class Sure:
        async def ascore(self, text_pairs: Any) -> list[float]:
            return [0.999 for _ in text_pairs]

    judge = ModelJudge(Scripted(responses=["no"]))
    size = len(SIGNALS)
    prior = Prior((0.0,) * (size - 1) + (3.0,), tuple(tuple(map(float, row)) for row in np.eye(size)), floor=-5.0)
    near = [Near("key", "How high is the tower?", 0.995)]
    strategy = VerifiedHits(Sure(), max_error=0.5, judge=judge, prior=prior)
    choice = await strategy.choose("How high is that tower?", near)
    assert not choice.allowed
    assert choice.reason.startswith("The judge sees another question")
    first, second = CachedAnswer("Where?", "Behind the panel."), CachedAnswer("Where?", "At the back of it.")
    assert await CompareAnswers(judge=judge).same("Where?", first, second) is False
