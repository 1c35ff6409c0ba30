"""A language model that has the last word on whether two questions, or two answers, are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel

from freehold.model_reply import Answer, yes_or_no

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["ModelJudge"]

_QUESTIONS = (
    "You compare two questions. Would one and the same answer be right and complete for both? Numbers, names, units, "
    "dates, directions and negations must agree; other words, spelling and politeness do not matter. "
    'Reply with {"same": "yes"} or {"same": "no"} and nothing else.'
)
_ANSWERS = (
    "You compare two answers to a question. Do they say the same, so that a reader would do and know the same after "
    'either? Reply with {"same": "yes"} or {"same": "no"} and nothing else.'
)


class Sameness(BaseModel):
    """Whether both are the same."""

    same: Answer


@dataclass(frozen=True)
class ModelJudge:
    """Ask a chat model for one yes or no, which a grammar holds `ChatLlama` to; anything else counts as no.

    It costs a prompt for each hit that the error bound would serve; a model of some billion parameters is needed for it
    to know more than the verifier does.

    Raises:
        Exception: What the model raised.
    """

    model: BaseChatModel

    async def same_question(self, question: str, earlier: str) -> bool:
        """Whether the answer to the earlier question answers this one."""
        return await self._ask(_QUESTIONS, f"First question: {earlier}\n\nSecond question: {question}")

    async def same_answer(self, question: str, first: str, second: str) -> bool:
        """Whether both texts answer the question alike."""
        return await self._ask(_ANSWERS, f"Question: {question}\n\nFirst answer: {first}\n\nSecond answer: {second}")

    async def _ask(self, instruction: str, given: str) -> bool:
        prompt: list[BaseMessage] = [SystemMessage(instruction), HumanMessage(given)]
        return await yes_or_no(self.model, prompt, Sameness) is True
