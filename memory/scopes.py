"""Whose a memory is: the one place where a run's context becomes a filter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from freehold.context import Context
from freehold.errors import ScopeError
from freehold.ownership import owner_of as owner

if TYPE_CHECKING:
    from qdrant_client import models

__all__ = ["Scope", "audience", "audiences", "expired", "owner", "scope_of", "visible"]

Scope: TypeAlias = Literal["user", "session", "agent"]
"""Who sees a memory of a user: every run of the user, only those of one session, or only those of one agent."""


def audience(context: Context, scope: Scope) -> str:
    """The mark that a memory of this scope carries: `tenant/user`, and behind a space `session:<id>` or `agent:<id>`.

    Raises:
        ScopeError: There is no such scope, or the context does not name the session or the agent.
    """
    if scope not in get_args(Scope):
        raise ScopeError(f"scope={scope!r} is no scope of memories: give one of {', '.join(get_args(Scope))}.")
    if scope == "user":
        return owner(context)
    name = getattr(context, f"{scope}_id")
    if name is None:
        raise ScopeError(f"scope={scope!r} needs a run context with a {scope}_id; give Context({scope}_id=...).")
    return f"{owner(context)} {scope}:{name}"


def audiences(context: Context) -> list[str]:
    """The marks of the memories that a context sees."""
    named: list[Scope] = ["user"]
    named += ["session"] if context.session_id is not None else []
    named += ["agent"] if context.agent_id is not None else []
    return [audience(context, scope) for scope in named]


def scope_of(mark: str) -> tuple[Scope, str]:
    """The scope that a mark stands for, and the session's or agent's id; empty for the scope `user`."""
    kind, _, name = mark.partition(" ")[2].partition(":")
    return (kind, name) if kind in ("session", "agent") else ("user", "")  # type: ignore[return-value]


def visible(context: Context, *, everything: bool = False) -> models.Filter:
    """Qdrant's filter for what a context sees; what has expired is left out, also before it is deleted.

    Args:
        context: Whose memories.
        everything: Those of every session and agent of the user too: for the owner's own look at all of it.
    """
    from qdrant_client import models

    if everything:
        whose = models.FieldCondition(key="user_id", match=models.MatchValue(value=owner(context)))
    else:
        # One condition and not two: each costs a millisecond at ten thousand memories.
        whose = models.FieldCondition(key="audience", match=models.MatchAny(any=audiences(context)))
    return models.Filter(must=[whose], must_not=[expired()])


def expired(now: float | None = None) -> models.FieldCondition:
    """What is past its time."""
    from qdrant_client import models

    return models.FieldCondition(key="expires_at", range=models.Range(lte=time.time() if now is None else now))
