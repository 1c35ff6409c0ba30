"""The run of a graph that goes on around here."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime, get_runtime

__all__ = ["running"]


def running() -> Runtime[Any] | None:
    """The runtime of the graph that calls from the inside, with its context and its stream writer; None outside of one.

    Example:
        >>> running() is None
        True
    """
    try:
        return get_runtime()
    except (RuntimeError, KeyError):
        return None
