"""The `freehold` command and how it ends: 0 done, 1 failed, 2 the user can mend it, 130 interrupted."""

from __future__ import annotations

import io
import os
import sys
import traceback

import typer

from freehold.cli.ask import ask
from freehold.cli.cache import cache
from freehold.cli.chat import chat
from freehold.cli.demo import demo
from freehold.cli.doctor import doctor
from freehold.cli.ingest import ingest
from freehold.cli.memory import memory
from freehold.cli.models import models
from freehold.cli.render import complain
from freehold.cli.search import search
from freehold.cli.serve import serve
from freehold.errors import FreeholdError, UserError

__all__ = ["app", "main"]

app = typer.Typer(
    name="freehold",
    help="An assistant for your documents that runs on this machine and nowhere else.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (ingest, search, ask, chat, serve, doctor, demo):
    app.command()(command)
app.add_typer(cache)
app.add_typer(memory)
app.add_typer(models)


def main() -> None:
    """Run a command; whatever goes wrong is one plain message. `FREEHOLD_TRACEBACK=1` shows the traceback as well."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # arguments and file names that are no UTF-8 are shown as they can be
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        complain("Interrupted.")
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last place where an error can be told in plain words
        if os.environ.get("FREEHOLD_TRACEBACK", "0") not in ("", "0"):
            traceback.print_exc()
        if isinstance(error, UserError):
            complain(str(error))
            sys.exit(2)
        if isinstance(error, FreeholdError):
            complain(f"{type(error).__name__}: {error}")
        else:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            complain(f"unexpected error: {told} (FREEHOLD_TRACEBACK=1 shows the traceback)")
        sys.exit(1)
