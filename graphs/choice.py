"""Choosing the next node without a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

__all__ = ["Choice"]


class Choice(Runnable[Any, Any]):
    """A path function that runs where it is called; LangGraph would send a plain one to the loop's thread pool.

    Args:
        choose: Gives the name of the next node, or the names of the next ones, for a state.
    """

    def __init__(self, choose: Callable[[Any], str | list[str]]) -> None:
        self._choose = choose
        self.name = choose.__name__

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> str | list[str]:
        """Choose."""
        return self._choose(input)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> str | list[str]:
        """Choose, on the event loop."""
        return self._choose(input)
