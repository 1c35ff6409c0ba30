"""How answers, decisions and complaints look in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from freehold.state import AssistantState, Decision
    from freehold.workspace import Workspace

__all__ = ["answer_object", "answer_text", "complain", "decisions_table", "model_line", "shown_path", "terminal"]


_SERVED = {
    "memory": "Answered from the cache.",
    "exact": "Answered from the cache.",
    "semantic": "Answered from the cache: the same was asked in other words.",
    "flight": "Answered together with the same question that was being answered.",
}


def terminal(*, stderr: bool = False, soft_wrap: bool = False, highlight: bool = True) -> Console:
    """A console that leaves `:name:` in file names, thread ids and answers as it is, instead of making an emoji of it.

    Square brackets are still markup: what a user or a file gave is printed escaped, or with `markup=False`.
    """
    return Console(stderr=stderr, soft_wrap=soft_wrap, highlight=highlight, emoji=False)


def complain(message: str) -> None:
    """One plain message on standard error."""
    terminal(stderr=True, soft_wrap=True).print(f"[bold red]freehold:[/] {escape(message)}")


def model_line(workspace: Workspace, state: Mapping[str, Any] | None = None) -> str:
    """Which model answers, in one sentence."""
    if state is not None and state.get("route") == "refuse":
        return "Refused before any answer was kept."
    cache = (state or {}).get("cache") or {}
    if cache.get("outcome") == "hit":
        return _SERVED[cache["tier"]]
    name = workspace.engine.model_name
    if workspace.is_demonstration:
        return f"Answered by {name}, the demonstration model: it only quotes. FREEHOLD_MODEL=x.gguf puts a real one in."
    return f"Answered by {name}."


def decisions_table(decisions: Iterable[Decision]) -> Table:
    """Node, decision, score against threshold, milliseconds, reason: a row each."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("node", "decision"):
        table.add_column(name, no_wrap=True)
    table.add_column("score / threshold", justify="right", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold", style="dim")
    for decision in decisions:
        score, threshold = decision.get("score"), decision.get("threshold")
        shown = "" if score is None else f"{score:.2f}" + ("" if threshold is None else f" / {threshold:.2f}")
        milliseconds = f"{decision.get('milliseconds', 0):.1f}"
        node, decided, reason = (escape(str(decision[key])) for key in ("node", "decision", "reason"))
        table.add_row(node, decided, shown, milliseconds, reason)
    return table


def answer_text(state: AssistantState | Mapping[str, Any], *, quotes: bool = True) -> RenderableType:
    """The answer, and under it the passages that it cites."""
    parts: list[RenderableType] = [Text(state.get("answer", ""), style="bold")]
    for citation in state.get("citations", ()):
        place = shown_path(citation["source"])
        if citation["page"]:
            place += f", page {citation['page']}"
        elif citation["heading"]:
            place += f" > {citation['heading']}"
        parts.append(
            Text(f"  [{citation['number']}] {place}, characters {citation['start']}-{citation['end']}", "cyan")
        )
        if quotes:
            passage = " ".join(citation["text"].split())
            parts.append(Text(f"      {passage[:240]}{'...' if len(passage) > 240 else ''}", style="dim"))
    return Group(*parts)


def shown_path(source: str) -> str:
    """The path as seen from the working directory, where it lies below it."""
    path = Path(source)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else source


def answer_object(
    state: AssistantState | Mapping[str, Any], *, model: str, thread: str, milliseconds: float
) -> dict[str, Any]:
    """The run as one JSON object: answer, citations, route, cache outcome, verdicts, decisions, timings."""
    decisions = list(state.get("decisions") or ())
    timings: dict[str, float] = {}
    for decision in decisions:
        spent = timings.get(decision["node"], 0.0) + decision.get("milliseconds", 0.0)
        timings[decision["node"]] = round(spent, 3)
    cache = dict(state.get("cache") or {"outcome": "skipped", "tier": None, "score": None, "threshold": None})
    for internal in ("situation", "ticket"):
        cache.pop(internal, None)
    return {
        "answer": state.get("answer", ""),
        "citations": [
            {"number": c["number"], "file": c["source"], "passage": c["passage"], "heading": c["heading"],
             "page": c["page"], "start": c["start"], "end": c["end"], "text": c["text"]}
            for c in state.get("citations", ())
        ],
        "route": state.get("route", ""),
        "cache": cache,
        "verdicts": list(state.get("verdicts") or ()),
        "decisions": decisions,
        "timings": {"total_milliseconds": round(milliseconds, 3), "nodes_milliseconds": timings},
        "model": model,
        "thread": thread,
    }  # fmt: skip
