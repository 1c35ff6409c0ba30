"""`freehold ingest`: put documents into the workspace."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from freehold.cli.options import Home, Json, given_path
from freehold.cli.render import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from freehold.workspace import Workspace

__all__ = ["ingest", "ingest_paths"]


def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Files and folders: Markdown, text, HTML, PDF, DOCX, CSV, JSON, source code.",
            parser=given_path,
            metavar="PATHS",
        ),
    ],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Read documents into the workspace; unchanged files are skipped, changed ones replaced, deleted ones removed.

    A file that cannot be read is reported and skipped; where none can be read, the exit code is 2.
    """
    from freehold.workspace import Workspace

    console = terminal(stderr=as_json)
    with Workspace(home) as workspace:
        started = time.perf_counter()
        result = ingest_paths(workspace, paths, console)
        seconds = time.perf_counter() - started
        if as_json:
            typer.echo(json.dumps({**result, "seconds": round(seconds, 3)}, ensure_ascii=False))
        else:
            console.print(
                f"{len(result['ingested'])} files read, {len(result['skipped'])} unchanged, "
                f"{len(result['removed'])} removed, {len(result['failed'])} failed; "
                f"{result['passages']} passages in {seconds:.1f} s."
            )
        if result["failed"] and not (result["ingested"] or result["skipped"]):
            raise typer.Exit(2)


def ingest_paths(workspace: Workspace, paths: list[Path], console: Console) -> dict[str, Any]:
    """Run the ingest graph with a progress bar; each file that failed is named with its reason.

    Returns:
        `ingested`, `skipped`, `removed` (sources), `failed` (source and reason), `passages` (how many were written).

    Raises:
        DocumentError: A path does not exist.
    """
    from freehold.graphs import create_ingest

    graph = create_ingest(workspace.documents)
    state: dict[str, Any] = {}
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files [dim]{task.fields[passages]} passages, {task.fields[rate]:.0f}/s[/]"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        bar = progress.add_task("Reading", total=None, passages=0, rate=0.0)
        embedded, started = 0, time.perf_counter()
        given: Any = {"paths": [str(path) for path in paths]}
        for event in graph.stream(given, stream_mode=["custom", "values"]):
            mode, part = cast("tuple[str, Any]", event)
            if mode == "values":
                state = dict(part)
            elif part["event"] == "found":
                progress.update(bar, total=part["total"])
            elif part["event"] == "embedded":  # a long file takes minutes: its passages show that something happens
                embedded += part["passages"]
                progress.update(bar, passages=embedded, rate=embedded / (time.perf_counter() - started))
            else:
                progress.update(bar, completed=part["done"])
    for failure in state.get("failed", ()):
        console.print(f"[yellow]skipped[/] {escape(failure['source'])}: {escape(failure['reason'])}")
    return {
        **{name: state.get(name, []) for name in ("ingested", "skipped", "removed", "failed")},
        "passages": state.get("passages", 0),
    }
