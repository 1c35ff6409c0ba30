"""Asking before something is erased, and counting it in words."""

from __future__ import annotations

import sys

import typer

from freehold.errors import UserError

__all__ = ["ask_before", "counted"]


def ask_before(question: str, *, yes: bool) -> None:
    """Ask before something is erased.

    Raises:
        UserError: Nobody is there to answer.
        Abort: The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("Nothing was erased: nobody is there to be asked. Give --yes.")
    typer.confirm(question, abort=True, err=True)


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and what it is of.

    Example:
        >>> counted(1, "memory", "memories"), counted(2, "thread")
        ('1 memory', '2 threads')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
