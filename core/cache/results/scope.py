"""Who shares what is cached."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from freehold.cache.situation import Situation
from freehold.context import named_in
from freehold.errors import ScopeError, SettingsError

__all__ = ["Scope", "check_scope", "scope_prefix"]

Scope: TypeAlias = Literal["user", "tenant", "all"]
"""The runs of one user of one tenant, all runs of a tenant, or all runs."""


def check_scope(scope: str) -> None:
    """Refuse what is not a scope.

    Raises:
        SettingsError: It is not.
    """
    if scope not in get_args(Scope):
        raise SettingsError(f"scope={scope!r} cannot be used: give one of {', '.join(get_args(Scope))}.")


def scope_prefix(scope: Scope, context: Any) -> str:
    """What the keys of a run's scope begin with: the owner's digest, by which all of a user's entries are found.

    Args:
        scope: Who shares.
        context: The run's context; None counts as the default `Context`. One of another class, or a dictionary, counts
            with its `user_id` and `tenant`.

    Raises:
        ScopeError: The scope is the user and the context names none.

    Example:
        >>> from freehold.context import Context
        >>> scope_prefix("tenant", Context(user_id="ada")) == scope_prefix("tenant", Context(user_id="bob"))
        True
    """
    if scope == "all":
        return Situation(model="", tenant="", user_id="").owner
    user, tenant = named_in(context)
    if scope == "user" and not user:
        raise ScopeError(
            f"The run's context, a {type(context).__name__}, names no user_id, so nothing can be kept for one user "
            "alone. Give the run a freehold.Context, or share with scope='tenant' or scope='all'."
        )
    return Situation(model="", tenant=tenant, user_id=user if user and scope == "user" else "").owner
