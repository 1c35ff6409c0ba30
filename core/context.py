"""The run context: who asks, for what, under which limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from freehold.errors import ScopeError

__all__ = ["Context", "named_in"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:\-]{0,127}")


@dataclass(frozen=True)
class Context:
    """LangGraph's `context_schema` for every Freehold graph.

    Scopes of caches and memories come from it, never from a message.

    Raises:
        ScopeError: An id is empty, too long, or holds a character that a store could read as a wildcard.

    Example:
        >>> Context(user_id="ada").user_id
        'ada'
    """

    user_id: str = "default"
    """Owner of memories and cached answers: letters, digits and `._@+:-`, at most 128."""
    agent_id: str | None = None
    """Agent that acts for the user, where there are several; it alone sees memories of the scope `agent`."""
    session_id: str | None = None
    """Session that the run belongs to, of one or several threads; it alone sees memories of the scope `session`."""
    tenant: str = "default"
    """Organisation that users belong to."""
    privacy: Literal["local"] = "local"
    """Which models may see the run: "local", the only value so far, is those in this process or on loopback."""
    budget: int | None = None
    """Most tokens in an answer, where that is below the model's own limit; None is the model's."""
    task: str | None = None
    """What the run is for; carried along, nothing depends on it yet."""

    def __post_init__(self) -> None:
        for name in ("user_id", "agent_id", "session_id", "tenant"):
            value = getattr(self, name)
            if value is None and name in ("agent_id", "session_id"):
                continue
            if not isinstance(value, str) or not _ID.fullmatch(value):
                raise ScopeError(
                    f"{name}={value!r} cannot be used: start with a letter or digit, then letters, digits and ._@+:- "
                    "(at most 128)."
                )
        if self.budget is not None and self.budget < 1:
            raise ScopeError(f"budget={self.budget} cannot be used: give a number of tokens above 0, or None.")


def named_in(context: Any) -> tuple[str | None, str]:
    """The user, if any, and the tenant that a run's context names; None is the default `Context`.

    A context of another class, or a dictionary, counts with its `user_id` and `tenant`.

    Example:
        >>> named_in({"user_id": "ada"}), named_in(None)
        (('ada', 'default'), ('default', 'default'))
    """
    if context is None:
        context = Context()
    user, tenant = (
        context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
        for name in ("user_id", "tenant")
    )
    return str(user) if user else None, str(tenant or Context.tenant)
