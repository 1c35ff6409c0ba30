"""`freehold models`: which models there are, whether their files are whole, and whether they fit into memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from freehold.cli.options import Home, Json, given_path
from freehold.cli.render import terminal
from freehold.errors import ModelFileError

if TYPE_CHECKING:
    from freehold.models.catalog import CatalogEntry, ModelCatalog
    from freehold.models.file_copy import Progress
    from freehold.settings import Settings

__all__ = ["models"]

models = typer.Typer(
    name="models",
    help="List, add, verify and remove the models that can be called by name.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Name = Annotated[str, typer.Argument(help="The model's name.", metavar="NAME", show_default=False)]


_USES = {"model": "answers here", "embedding_model": "embeds here", "reranker": "reranks here"}
"""What a setting that names a model means, by the setting."""


@models.command("list")
def list_models(home: Home = None, as_json: Json = False) -> None:
    """Show every model: what it is for, how much memory it would take, and whether the budget allows it."""
    from freehold.inference.machine_memory import effective_budget

    settings, catalog = _open(home)
    budget = effective_budget(settings.model_memory)
    rows = [_row(entry, settings, budget) for entry in catalog.list()]
    if as_json:
        typer.echo(json.dumps({"budget": budget, "models": rows}, ensure_ascii=False))
        return
    table = Table("name", "task", "size", "context", "memory", "fits", "", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        fits = "[green]yes[/]" if row["fits"] else "[bold red]no[/]"
        used = _USES.get(row["used_as"], "")
        table.add_row(
            escape(row["name"]),
            row["task"],
            _size(row["size"]),
            str(row["context_length"] or ""),
            _size(row["memory"]),
            fits if row["exists"] else "[bold red]file is missing[/]",
            used,
        )
    terminal().print(table)
    terminal().print(f"[dim]Loaded models may take {_size(budget)} together; FREEHOLD_MODEL_MEMORY changes it.[/]")
    paths = {Path(row["path"]) for row in rows}
    for name in _USES:
        if (chosen := getattr(settings, name)) is not None and chosen not in paths:
            terminal(soft_wrap=True).print(
                f"[dim]The setting {name} is {escape(str(chosen))}, which is not named here.[/]"
            )


@models.command()
def add(
    file: Annotated[Path, typer.Argument(help="A GGUF file.", parser=given_path, metavar="FILE", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="What to call it; without it, the file's own name.", show_default=False)
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the file into the workspace; else it stays there.")
    ] = False,
    sha256: Annotated[
        str | None, typer.Option(help="What the publisher says; another file is refused.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give a model a name, under which settings and programs find it, and remember its checksum."""
    from freehold.inference.machine_memory import effective_budget

    settings, catalog = _open(home)
    with _progress("Copying" if copy else "Reading", as_json) as progress:
        entry = catalog.add(file, name, copy=copy, sha256=sha256, progress=progress)
    budget = effective_budget(settings.model_memory)
    row = _row(entry, settings, budget)
    if as_json:
        typer.echo(json.dumps(row, ensure_ascii=False))
        return
    console = terminal(soft_wrap=True)
    console.print(f"[bold]{escape(entry.name)}[/]: {entry.task}, {_size(entry.size)}, SHA-256 {entry.sha256}.")
    fits = "which fits" if row["fits"] else "[bold red]which does not fit[/]"
    console.print(f"It takes about {_size(row['memory'])} of memory, {fits} the budget of {_size(budget)}.")
    setting = {"chat": "FREEHOLD_MODEL", "embedding": "FREEHOLD_EMBEDDING_MODEL"}.get(entry.task)
    if setting is not None:
        console.print(f"[dim]{setting}={escape(entry.name)} puts it in.[/]")


@models.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(help="One model; without it, all.", metavar="NAME", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Read the files again and compare their checksums; exits with 1 where one is changed, missing or unreadable."""
    catalog = _open(home)[1]
    with _progress("Reading", as_json) as progress:
        found = catalog.verify(name, progress=progress)
    if as_json:
        rows = [
            {
                "name": one.entry.name,
                "path": str(one.entry.path),
                "status": one.status,
                "expected": one.entry.sha256,
                "sha256": one.sha256,
            }
            for one in found
        ]
        typer.echo(json.dumps({"models": rows}, ensure_ascii=False))
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for one in found:
            mark = "[green]ok[/]" if one.status == "ok" else f"[bold red]{one.status}[/]"
            table.add_row(mark, escape(one.entry.name), escape(str(one.entry.path)))
        terminal().print(table)
    if any(one.status != "ok" for one in found):
        raise typer.Exit(1)


@models.command()
def remove(
    name: Name,
    keep_file: Annotated[bool, typer.Option("--keep-file", help="Leave a file that was copied in, too.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Forget a model. A file that was copied into the workspace is deleted; one that lies elsewhere never is."""
    entry = _open(home)[1].remove(name, keep_file=keep_file)
    deleted = entry.origin == "copied" and not keep_file
    if as_json:
        typer.echo(json.dumps({"name": entry.name, "path": str(entry.path), "deleted": deleted}, ensure_ascii=False))
        return
    what = "was deleted" if deleted else "stays"
    terminal(soft_wrap=True).print(f"{escape(entry.name)} is forgotten; {escape(str(entry.path))} {what}.")


def _open(home: Path | None) -> tuple[Settings, ModelCatalog]:
    """Settings and catalog; the workspace itself is not opened, so that it may be in use meanwhile."""
    from freehold.models.catalog import ModelCatalog
    from freehold.settings import Settings

    settings = Settings.load(home=home)
    return settings, ModelCatalog(settings.home.absolute() / "models")


def _row(entry: CatalogEntry, settings: Settings, budget: int) -> dict[str, Any]:
    from freehold.inference.gguf import read_header
    from freehold.inference.memory_estimate import loaded_memory
    from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path

    used = {
        settings.embedding_model or model_path(EMBEDDING_MODEL): "embedding_model",
        settings.model or model_path(DEMO_MODEL): "model",
        settings.reranker: "reranker",
    }
    memory, exists = entry.memory, True
    try:
        header = read_header(entry.path)
        memory = loaded_memory(
            header,
            context_length=settings.context_length,
            cache_tokens=settings.cache_tokens,
            slots=settings.slots,
            flash_attention=settings.flash_attention,
        ).total
    except ModelFileError:
        exists = entry.path.exists()
    return {
        "name": entry.name,
        "task": entry.task,
        "path": str(entry.path),
        "exists": exists,
        "size": entry.size,
        "context_length": entry.context_length,
        "memory": memory,
        "fits": memory <= budget,
        "used_as": used.get(entry.path),
        "origin": entry.origin,
        "sha256": entry.sha256,
    }


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


@contextmanager
def _progress(what: str, as_json: bool) -> Iterator[Progress]:
    """A bar while files are read; one after another where there are several."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = terminal(stderr=as_json)
    with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        bar = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(bar, completed=done, total=total)
