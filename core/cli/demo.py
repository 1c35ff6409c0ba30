"""`freehold demo`: the assistant end to end on real documents, in a new workspace, offline."""

from __future__ import annotations

import json
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from freehold.cli.demo_steps import Demonstration, DemoStepError
from freehold.cli.options import Json, Model, given_path
from freehold.cli.render import terminal
from freehold.errors import UserError

__all__ = ["demo", "demo_documents"]


def demo(
    docs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Your documents; without them, Freehold's own.",
            show_default=False,
            parser=given_path,
            metavar="DOCS",
        ),
    ] = None,
    question: Annotated[str | None, typer.Option(help="What to ask them.", show_default=False)] = None,
    paraphrase: Annotated[str | None, typer.Option(help="The same in other words.", show_default=False)] = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Show every part of Freehold on real documents; exits with 1 when a step does not do what it says.

    Of your settings only the model, `context_length` and `threads` count: the workspace is a new one, on this machine.
    """
    console = terminal(stderr=as_json, highlight=False)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="freehold-demo-") as folder, demo_documents(docs, Path(folder)) as paths:
        demonstration = Demonstration(Path(folder) / "workspace", paths, console, model=model, own=not docs)
        try:
            report = demonstration.run(question, paraphrase)
        except DemoStepError as error:
            console.print(f"\n[bold red]Step failed:[/] {escape(str(error))}")
            raise typer.Exit(1) from error
        finally:
            demonstration.close()
    report["seconds"] = round(time.perf_counter() - started, 1)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        console.print(f"\nAll steps did what they say, in {report['seconds']} s. The workspace was deleted again.")


@contextmanager
def demo_documents(given: list[Path] | None, folder: Path) -> Iterator[list[Path]]:
    """The documents given, else the project's own, else the README that is installed with the package.

    Raises:
        UserError: None are given, and the package was installed without its README.
    """
    own = [path for path in (Path("docs"), Path("README.md")) if path.exists()] if _in_the_project() else []
    if given or own:
        yield given or own
        return
    text = str(metadata("freehold").json.get("description", ""))
    if not text.strip():
        raise UserError("Freehold is installed without its README, so there is nothing to show: freehold demo DOCS...")
    readme = folder / "README.md"
    readme.write_text(text, encoding="utf-8")
    yield [readme]


def _in_the_project() -> bool:
    """Whether the current folder is Freehold's own; another project's `docs` and README say nothing of Freehold."""
    try:
        project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):  # ValueError: neither UTF-8 nor TOML
        return False
    return isinstance(project, dict) and project.get("name") == "freehold"
