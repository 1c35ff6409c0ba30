"""Short questions that a node asks a chat model on the side: nothing of them is an answer to the user."""

from __future__ import annotations

import re

from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM

__all__ = ["ASIDE", "said"]

ASIDE: RunnableConfig = {"tags": [TAG_NOSTREAM], "metadata": {"thread_id": None}}
"""Keeps the tokens out of the graph's stream of messages, where a client would show them as the answer; and the prompt
out of the thread, whose conversation a local model keeps on disk and would have replaced by it."""

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)


def said(text: str) -> str:
    """What a model said, without what it thought aloud.

    Example:
        >>> said("<think>No idea. Perhaps yes?</think> Yes.")
        'Yes.'
    """
    return _THOUGHT.sub("", text).strip()
