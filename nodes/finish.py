"""Whether a model had finished when its answer ended."""

from __future__ import annotations

from langchain_core.messages import BaseMessage

__all__ = ["is_complete"]

_NAMES = ("finish_reason", "stop_reason", "done_reason", "stopReason")
"""What providers call it in `response_metadata`."""
_FINISHED = frozenset(
    (
        "",
        "stop",
        "stop_sequence",
        "end_turn",
        "eos",
        "eos_token",
        "complete",
        "completed",
        "finished",
        "tool_calls",
        "tool_use",
    )
)


def is_complete(message: BaseMessage) -> bool:
    """Whether the model ended its answer itself: not the limit of tokens, not a filter.

    Says True where the provider gives no reason; a reason that is not known counts as an answer cut short.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> is_complete(AIMessage("Well", response_metadata={"stop_reason": "max_tokens"}))
        False
    """
    reasons = (message.response_metadata.get(name) for name in _NAMES)
    return all(str(reason or "").casefold() in _FINISHED for reason in reasons)
