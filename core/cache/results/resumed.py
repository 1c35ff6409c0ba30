"""Whether a task was resumed, so that more than its input went into its result."""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

__all__ = ["is_resumed"]


def is_resumed(config: RunnableConfig | None) -> bool:
    """Whether the run went on from a checkpoint with this task: somebody may have answered an `interrupt` in it.

    LangGraph has no function for it. It says so in the config of the first tasks of such a run, for the graphs inside
    of them; `tests/nodes/test_cached_limits.py` and `tests/cache/results/test_tool_results.py` notice when it no longer
    does.

    Example:
        >>> is_resumed({"configurable": {"thread_id": "t1"}})
        False
    """
    return bool(ensure_config(config).get("configurable", {}).get("__pregel_resuming"))
