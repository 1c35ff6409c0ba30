"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Home", "Json", "Model", "Thread", "User"]

Home = Annotated[
    Path | None,
    typer.Option(help="The workspace folder; `FREEHOLD_HOME`, else ~/.freehold.", show_default=False),
]
Model = Annotated[
    Path | None,
    typer.Option(help="A GGUF model; `FREEHOLD_MODEL`, else the small demonstration model.", show_default=False),
]
User = Annotated[str, typer.Option(help="Whose memories and cached answers are used.")]
Thread = Annotated[
    str | None, typer.Option(help="The conversation to go on with; without it, a new one.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
