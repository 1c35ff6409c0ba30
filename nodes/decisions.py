"""Reading what nodes decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freehold.state import Decision

__all__ = ["newest_decision"]


def newest_decision(state: Mapping[str, Any], node: str) -> Decision | None:
    """What a node decided last in this turn; None where it did not run.

    Example:
        >>> newest_decision({"decisions": [{"node": "retrieve", "decision": "found", "reason": "2 of 4."}]}, "generate")
    """
    made: list[Decision] = [decision for decision in state.get("decisions") or () if decision["node"] == node]
    return made[-1] if made else None
