"""The flight that a run leads: others wait for its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freehold.coordination.flights import Leading, leading

__all__ = ["flight_of"]


def flight_of(state: Mapping[str, Any]) -> Leading | None:
    """The leader's seat that `LookupCache` took for this run; None where it has none, or it is over.

    State holds its token only: after a restart there is no seat, and whoever waited has taken over.

    Example:
        >>> flight_of({"cache": {"ticket": {"flight": "unknown"}}}) is None
        True
    """
    cache = state.get("cache")
    ticket = cache.get("ticket") if isinstance(cache, Mapping) else None
    token = ticket.get("flight") if isinstance(ticket, Mapping) else None
    return leading(token) if isinstance(token, str) else None
