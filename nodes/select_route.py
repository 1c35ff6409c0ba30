"""The node `SelectRoute`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.node import Node, newest_user_text

__all__ = ["Router", "SelectRoute"]


class Router(Protocol):
    """Anything that can score a message against routes."""

    async def scores(self, text: str) -> dict[str, float]:
        """Score by route, 0 to 1, higher is nearer."""
        ...


@dataclass(frozen=True, eq=False)
class SelectRoute(Node):
    """Choose the route for the newest user message.

    Reads `question` (or `messages`), `passages`; writes `route`, `decisions`. The best route is taken where its score
    is at or above the threshold; below it, `documents` where passages were found, else `direct`. The decision is the
    route's name.

    Raises:
        ValueError: The threshold is not between 0 and 1.
    """

    router: Router
    threshold: float = 0.5
    """Least score at which a route is taken."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold={self.threshold} cannot be used: give a number from 0 to 1.")

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Score the routes, choose one, say why."""
        scores = await self.router.scores(newest_user_text(state))
        best, score = max(scores.items(), key=lambda item: item[1])
        if score >= self.threshold:
            route, reason = best, f"Nearest to the examples of {best!r}."
        elif state.get("passages"):
            route, reason = "documents", "No route is near; passages were found."
        else:
            route, reason = "direct", "No route is near and no passage was found."
        return {
            "route": route,
            "decisions": [
                {
                    "decision": route,
                    "reason": reason,
                    "score": round(score, 4),
                    "threshold": self.threshold,
                    "details": {"scores": {name: round(value, 4) for name, value in scores.items()}},
                }
            ],
        }
