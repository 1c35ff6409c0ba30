"""`freehold cache`: what the response cache holds, what it did, and what of it is wrong."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from freehold.cli.asking import ask_before, counted
from freehold.cli.cache_report import report_object, report_table
from freehold.cli.options import Home, Json
from freehold.cli.render import terminal
from freehold.errors import UserError

if TYPE_CHECKING:
    from freehold.cache import Entry

__all__ = ["cache"]

cache = typer.Typer(
    name="cache",
    help="Show what the response cache holds and did, mark answers as wrong, clear it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Name = Annotated[str, typer.Argument(help="An entry's id, or its beginning.", metavar="ID", show_default=False)]


@cache.command()
def stats(home: Home = None, as_json: Json = False) -> None:
    """Show how many answers are kept, how they are served, and how often they were."""
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    with Workspace(home) as workspace:
        settings, summary = workspace.settings, run_sync(workspace.cache.summary())
        found: dict[str, Any] = {
            "entries": run_sync(workspace.cache.count()),
            "most_entries": settings.cache_entries,
            "store": "redis" if settings.redis_url else "sqlite",
            "encrypted": settings.cache_encryption_key is not None,
            "strategy": settings.cache_strategy,
            "max_error": settings.cache_max_error,
            "scope": settings.cache_scope,
            "requests": summary.requests,
            "hits": dict(summary.hits),
            "hit_rate": round(summary.hit_rate, 4),
        }
    if as_json:
        typer.echo(json.dumps(found))
        return
    bound = f", at most {found['max_error']:.1%} wrong" if found["strategy"] == "verified" else ""
    console = terminal()
    console.print(
        f"{counted(found['entries'], 'entry', 'entries')} of at most {found['most_entries']:,}, in {found['store']}"
        f"{', encrypted' if found['encrypted'] else ''}; strategy {found['strategy']}{bound}; scope {found['scope']}."
    )
    tiers = ", ".join(f"{hits} {tier}" for tier, hits in summary.hits.items())
    console.print(f"{counted(summary.requests, 'request')}, {summary.hit_rate:.1%} answered from the cache ({tiers}).")


@cache.command("list")
def list_entries(
    limit: Annotated[int, typer.Option(help="Most entries.", min=1)] = 20,
    wrong: Annotated[bool, typer.Option("--wrong", help="Only those that were reported wrong.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show the answers that are kept, the most recently used first."""
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    with Workspace(home) as workspace:
        entries = run_sync(workspace.cache.entries(limit=10**6 if wrong else limit))
    entries = [entry for entry in entries if entry.answer.quarantined or not wrong][:limit]
    if as_json:
        typer.echo(json.dumps({"entries": [_object(entry) for entry in entries]}, ensure_ascii=False))
        return
    console = terminal()
    if not entries:
        console.print("The cache holds no such answer." if wrong else "The cache holds no answers.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("id", "used", "last", "expires", "question", "answer"):
        table.add_column(name, no_wrap=name not in ("question", "answer"), overflow="fold")
    for entry in entries:
        answer = "(reported wrong)" if entry.answer.quarantined else _short(entry.answer.answer)
        used = [str(entry.uses), _ago(entry.used_at), _left(entry.expires_at)]
        table.add_row(entry.id, *used, escape(_short(entry.answer.question)), escape(answer))
    console.print(table)


@cache.command()
def inspect(name: Name, home: Home = None, as_json: Json = False) -> None:
    """Show one answer with everything that is known about it."""
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    with Workspace(home) as workspace:
        entry = run_sync(workspace.cache.entry(name))
    if as_json:
        typer.echo(json.dumps(_object(entry, whole=True), ensure_ascii=False))
        return
    answer = entry.answer
    rows = {
        "id": entry.id,
        "question": answer.question,
        "answer": answer.answer,
        "state": "reported wrong, served to nobody" if answer.quarantined else "served",
        "model": answer.model,
        "route": answer.route,
        "written": answer.created_at,
        "used": f"{counted(entry.uses, 'time')}, last {_ago(entry.used_at)}",
        "expires": f"in {_left(entry.expires_at)}",
        "documents": ", ".join(answer.sources) or "none",
        "compared": f"{counted(entry.comparisons, 'time')} with answers to other questions, {entry.same} the same",
        "took": f"{answer.seconds:.2f} s, {counted(answer.tokens, 'token')}",
        "key": entry.key,
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows.items():
        table.add_row(label, escape(value))
    terminal().print(table)


@cache.command()
def mark(
    name: Name,
    wrong: Annotated[
        bool | None, typer.Option("--wrong/--right", help="Whether the answer is wrong.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Say that an answer is wrong, and it is served to nobody from now on; or that it is right after all."""
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    if wrong is None:
        raise UserError("Say which: --wrong or --right.")
    with Workspace(home) as workspace:
        entry = run_sync(workspace.cache.entry(name))
        run_sync(workspace.cache.report(entry.key, correct=not wrong))
    if as_json:
        typer.echo(json.dumps({"id": entry.id, "wrong": wrong}))
    else:
        told = "is served to nobody any more" if wrong else "is served again"
        terminal().print(f"The answer to {entry.answer.question!r} {told}.", markup=False)


@cache.command()
def clear(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Erase every cached answer, and what was counted and learned.

    One user's answers go with `freehold memory forget --user NAME`, which erases everything else of theirs too.
    """
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    with Workspace(home) as workspace:
        ask_before(f"Erase {counted(run_sync(workspace.cache.count()), 'cached answer')} for good?", yes=yes)
        erased = run_sync(workspace.cache.clear())
    if as_json:
        typer.echo(json.dumps({"erased": erased}))
    else:
        terminal().print(f"{counted(erased, 'cached answer')} erased.")


@cache.command()
def report(home: Home = None, as_json: Json = False) -> None:
    """Show hit rates, what they saved, how many were wrong, and how long lookups took, since the cache was cleared."""
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    with Workspace(home) as workspace:
        summary = run_sync(workspace.cache.summary())
        bound = workspace.settings.cache_max_error if workspace.settings.cache_strategy == "verified" else None
    if as_json:
        typer.echo(json.dumps(report_object(summary, bound)))
    else:
        terminal().print(report_table(summary, bound))


def _object(entry: Entry, *, whole: bool = False) -> dict[str, Any]:
    answer = entry.answer
    found = {
        "id": entry.id,
        "question": answer.question,
        "answer": answer.answer,
        "wrong": answer.quarantined,
        "uses": entry.uses,
        "used_at": _iso(entry.used_at),
        "expires_at": _iso(entry.expires_at),
    }
    return (
        {**asdict(answer), **found, "key": entry.key, "compared": entry.comparisons, "same": entry.same}
        if whole
        else found
    )


def _short(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _ago(seconds: float) -> str:
    return f"{_span(time.time() - seconds)} ago"


def _left(seconds: float) -> str:
    return _span(seconds - time.time())


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
