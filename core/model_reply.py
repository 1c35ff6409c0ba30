"""Short questions that a node asks a chat model on the side: nothing of them is an answer to the user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM
from pydantic import BaseModel

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["ASIDE", "Answer", "said", "yes_or_no"]

ASIDE: RunnableConfig = {"tags": [TAG_NOSTREAM], "metadata": {"thread_id": None}}
"""Keeps the tokens out of the graph's stream of messages, where a client would show them as the answer; and the prompt
out of the thread, whose conversation a local model keeps on disk and would have replaced by it."""

Answer = Literal["yes", "no"]
"""The field of a form for `yes_or_no`."""

_VERDICT = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
# The chat templates of some models open the thought themselves: then the reply only ends it.
_THOUGHT = re.compile(
    r"\A(?:(?!<think(?:ing)?>).)*?</think(?:ing)?>|<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL
)


def said(text: str) -> str:
    """What a model said, without what it thought aloud.

    Example:
        >>> said("<think>No idea. Perhaps yes?</think> Yes.")
        'Yes.'
    """
    return _THOUGHT.sub("", text).strip()


async def yes_or_no(model: BaseChatModel, prompt: Sequence[BaseMessage], form: type[BaseModel]) -> bool | None:
    """What a model answers to a question that asks for a yes or a no; None where it is neither.

    A model that can be held to a form is (a grammar does it for `ChatLlama`); of others the reply is read.

    Args:
        model: Any chat model.
        prompt: It asks for the form in words, too.
        form: One field of the type `Answer`.
    """
    try:
        structured = model.with_structured_output(form, include_raw=True)
    except NotImplementedError:  # a model without tools or grammars
        reply = str((await model.ainvoke([*prompt], ASIDE)).text)
    else:
        answer: Any = await structured.ainvoke([*prompt], ASIDE)
        parsed = answer["parsed"]
        reply = next(iter(parsed.model_dump().values())) if isinstance(parsed, form) else str(answer["raw"].text)
    verdict = _VERDICT.search(said(reply))
    return None if verdict is None else verdict[0].lower() == "yes"
