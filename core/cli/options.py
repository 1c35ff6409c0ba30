"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Home", "Json", "Model", "Thread", "User", "given_path"]


def given_path(text: str) -> Path:
    """The path that was given; an empty one would mean the current folder, and is a mistake such as an unset variable.

    Raises:
        BadParameter: The text is empty.
    """
    if not str(text).strip():
        raise typer.BadParameter("the path is empty; write . for the current folder")
    return Path(text)


Home = Annotated[
    Path | None,
    typer.Option(
        help="The workspace folder; `FREEHOLD_HOME`, else ~/.freehold.",
        show_default=False,
        parser=given_path,
        metavar="FOLDER",
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        help="A GGUF model, or its name in `freehold models list`; `FREEHOLD_MODEL`, else the demonstration model.",
        show_default=False,
        parser=given_path,
        metavar="FILE",
    ),
]
User = Annotated[str, typer.Option(help="Whose memories and cached answers are used.")]
Thread = Annotated[
    str | None, typer.Option(help="The conversation to go on with; without it, a new one.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
