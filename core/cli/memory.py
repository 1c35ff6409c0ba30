"""`freehold memory`: what is known about a user, for its owner to see, take along, bring back and erase."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from freehold.cli.asking import ask_before, counted
from freehold.cli.options import Home, Json
from freehold.cli.render import terminal
from freehold.errors import UserError

if TYPE_CHECKING:
    from freehold.context import Context
    from freehold.state import Memory

__all__ = ["memory"]

memory = typer.Typer(
    name="memory",
    help="List, search, forget, export and import what is known about a user.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Whose = Annotated[str, typer.Option("--user", help="Whose memories.")]
Tenant = Annotated[str, typer.Option(help="Organisation that the user belongs to.")]
Agent = Annotated[str | None, typer.Option(help="As this agent sees them.", show_default=False)]
Session = Annotated[str | None, typer.Option(help="As they are seen in this session.", show_default=False)]


@memory.command("list")
def list_memories(
    user: Whose = "default",
    tenant: Tenant = "default",
    agent: Agent = None,
    session: Session = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show every memory of a user, oldest first; with an agent or a session, only what it sees."""
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    context = _context(user, tenant, agent, session)
    with Workspace(home) as workspace:
        found = run_sync(workspace.memory.list(context, everything=agent is None and session is None))
    _show(found, context, as_json)


@memory.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.", show_default=False)],
    limit: Annotated[int, typer.Option(help="Most memories.", min=1)] = 10,
    user: Whose = "default",
    tenant: Tenant = "default",
    agent: Agent = None,
    session: Session = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show the memories that fit a question best, best first, with their scores.

    A run recalls those above its threshold and within its budget.
    """
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    context = _context(user, tenant, agent, session)
    with Workspace(home) as workspace:
        found = run_sync(workspace.memory.search(query, context, limit))
    _show(found, context, as_json, scores=True)


@memory.command()
def forget(
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", help="Only this memory, by its id or its beginning; repeatable.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    user: Whose = "default",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Erase a user everywhere, down to the bytes: memories, threads, cached answers; or single memories, with --id.

    What was interrupted is completed by the same command.
    """
    from dataclasses import asdict

    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    context = _context(user, tenant)
    with Workspace(home) as workspace:
        # For the question and the ids alone: what can be erased while the memories cannot be read must be.
        known = run_sync(workspace.memory.list(context, everything=True)) if ids or not yes else []
        if ids:
            erased = _forget_some(workspace, context, known, ids, yes=yes)
            told = f"{counted(len(erased), 'memory', 'memories')} of {_name(context)} erased."
            result: dict[str, Any] = {"memories": len(erased), "ids": erased}
        else:
            if not yes:
                threads = counted(len(workspace.checkpointer.threads_of(f"{tenant}/{user}")), "thread")
                memories = counted(len(known), "memory", "memories")
                ask_before(f"Erase {_name(context)} for good: {memories}, {threads}, and every cached answer?", yes=yes)
            found = workspace.forget(context)
            result = asdict(found)
            told = (
                f"{_name(context)} is forgotten: {counted(found.memories, 'memory', 'memories')}, "
                f"{counted(found.threads, 'thread')} and {counted(found.answers, 'cached answer')} erased."
            )
    if as_json:
        typer.echo(json.dumps({"user": user, "tenant": tenant, **result}, ensure_ascii=False))
    else:
        terminal(soft_wrap=True).print(told, markup=False)


@memory.command()
def export(
    file: Annotated[str, typer.Argument(help="Where to; - is standard output.", metavar="FILE")] = "-",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    user: Whose = "default",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write every memory of a user as JSON Lines, with its times, its scope and its history."""
    from freehold.cli.memory_file import lines, write
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    context = _context(user, tenant)
    path = _path(file)
    if path is None and as_json:
        raise UserError("--json reports on a file: name one, or leave --json out, since the export is JSON itself.")
    with Workspace(home) as workspace:
        entries = run_sync(workspace.memory.export(context))
    if path is None:
        for line in lines(entries):
            typer.echo(line, nl=False)
        return
    write(path, entries, force=force)
    if as_json:
        typer.echo(json.dumps({"file": str(path), "memories": len(entries)}, ensure_ascii=False))
    else:
        told = f"{counted(len(entries), 'memory', 'memories')} of {_name(context)} written to {path}."
        terminal(soft_wrap=True).print(told, markup=False)


@memory.command("import")
def import_memories(
    file: Annotated[str, typer.Argument(help="What `export` wrote; - is standard input.", metavar="FILE")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be imported.")] = False,
    user: Whose = "default",
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Read memories from a file, as those of the user named here, whoever's they were.

    Every line is checked before anything is stored; what is known already, or has expired, is left out.
    """
    from freehold.cli.memory_import import Import
    from freehold.workspace import Workspace

    context = _context(user, tenant)
    path = _path(file)
    name = "standard input" if path is None else str(path)
    try:
        data = sys.stdin.buffer.read() if path is None else path.read_bytes()
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}.") from error
    plan = Import.read(data, name, context)
    with Workspace(home) as workspace:
        result = plan.run(workspace.memory, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps({**result, "dry_run": dry_run}, ensure_ascii=False))
        return
    told = (
        f"{counted(result['imported'], 'memory', 'memories')} {'would be ' if dry_run else ''}imported for "
        f"{_name(context)}; {result['known']} known already, {result['expired']} expired."
    )
    terminal(soft_wrap=True).print(told, markup=False)


def _forget_some(workspace: Any, context: Context, known: Iterable[Memory], ids: list[str], *, yes: bool) -> list[str]:
    """Delete single memories, all of which must be the user's."""
    from dataclasses import replace

    from freehold.portal import run_sync

    texts = {found["id"]: found for found in known}
    fitting = {given: [found for found in texts if given and found.startswith(given.lower())] for given in ids}
    for given, found in fitting.items():
        if len(found) != 1:
            raise UserError(
                f"{_name(context)} has {len(found) or 'no'} memor{'ies' if found else 'y'} whose id begins with "
                f"{given!r}; `freehold memory list` shows the ids. Nothing was erased."
            )
    wanted = list(dict.fromkeys(found[0] for found in fitting.values()))
    shown = "".join(f"\n  {texts[given]['text']}" for given in wanted)
    ask_before(f"Erase {counted(len(wanted), 'memory', 'memories')} of {_name(context)}?{shown}\n", yes=yes)
    for given in wanted:
        one = texts[given]
        seen_by = replace(context, session_id=one.get("session_id"), agent_id=one.get("agent_id"))
        run_sync(workspace.memory.delete(given, seen_by))
    return wanted


def _context(user: str, tenant: str, agent: str | None = None, session: str | None = None) -> Context:
    from freehold.context import Context

    return Context(user_id=user, tenant=tenant, agent_id=agent, session_id=session)


def _path(file: str) -> Path | None:
    """The file, or None for standard input and output.

    Raises:
        BadParameter: The path is empty.
    """
    from freehold.cli.options import given_path

    return None if file == "-" else given_path(file)


def _name(context: Context) -> str:
    return context.user_id if context.tenant == "default" else f"{context.user_id} of {context.tenant}"


def _show(found: list[Memory], context: Context, as_json: bool, *, scores: bool = False) -> None:
    if as_json:
        value = {"user": context.user_id, "tenant": context.tenant, "memories": found}
        typer.echo(json.dumps(value, ensure_ascii=False))
        return
    console = terminal()
    if not found:
        what = "fits" if scores else "is known"
        console.print(f"Nothing {what} about {_name(context)}.", markup=False)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in (["score"] if scores else []) + ["since", "memory", "seen by", "until", "id"]:
        table.add_column(column, overflow="fold", no_wrap=column in ("score", "since", "until", "id"))
    for row in found:
        seen_by = row.get("scope", "user")
        name = row.get("session_id") if seen_by == "session" else row.get("agent_id") if seen_by == "agent" else None
        cells = [f"{row['score']:.2f}"] if scores else []
        cells += [
            row["created_at"][:10],
            row["text"],
            f"{seen_by} {name}" if name else "all",
            row.get("expires_at", "")[:16].replace("T", " "),
            row["id"][:8],
        ]
        table.add_row(*map(escape, cells))
    console.print(table)
