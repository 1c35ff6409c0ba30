"""The `freehold` command and how it ends: 0 done, 1 failed, 2 the user can mend it, 130 interrupted."""

from __future__ import annotations

import sys

import typer

from freehold.cli.ask import ask
from freehold.cli.chat import chat
from freehold.cli.demo import demo
from freehold.cli.doctor import doctor
from freehold.cli.ingest import ingest
from freehold.cli.render import complain
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
for command in (ingest, ask, chat, serve, doctor, demo):
    app.command()(command)


def main() -> None:
    """Run a command; an error that the user can mend is one plain message, never a traceback."""
    try:
        app()
    except UserError as error:
        complain(str(error))
        sys.exit(2)
    except FreeholdError as error:
        complain(f"{type(error).__name__}: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        complain("Interrupted.")
        sys.exit(130)
