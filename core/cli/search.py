"""`freehold search`: the passages that a question finds, and how each stage of the search judged them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from freehold.cli.options import Home, Json
from freehold.cli.render import shown_path, terminal
from freehold.errors import UserError

if TYPE_CHECKING:
    from freehold.memory.search_hit import SearchHit
    from freehold.settings import Settings
    from freehold.state import Passage

__all__ = ["search"]

_OPERATORS = {">=": "gte", "<=": "lte", "!=": "not", ">": "gt", "<": "lt", "=": "is"}


def search(
    question: Annotated[str, typer.Argument(help="What you look for.", show_default=False)],
    home: Home = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most passages.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only passages of which this holds, such as format=pdf, page<=3, modified>=2026-01-01, title!=Draft, "
            "or format=pdf,docx for either. May be given again.",
            metavar="CONDITION",
            show_default=False,
        ),
    ] = None,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="How much a passage loses for what better ones say already.")
    ] = 0.0,
    parents: Annotated[
        int, typer.Option(min=0, help="Widen each passage to so many characters of its section.", metavar="CHARACTERS")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Find passages, with their rank and score in every stage; no model answers.

    Exit code 0 also where nothing is found, 2 for a mistake that you can mend.
    """
    from freehold.portal import run_sync
    from freehold.workspace import Workspace

    conditions = [_condition(text) for text in where or ()]
    console = terminal(soft_wrap=as_json)
    with Workspace(home) as workspace:
        options: dict[str, Any] = {"where": conditions, "diversity": diversity, "parents": parents}
        hits = run_sync(
            workspace.documents.explain(question, limit, reranker=workspace.reranker, **options),
        )
        kept = [_kept(hit, workspace.settings) for hit in hits]
        if as_json:
            rows = [asdict(hit) | {"kept": fate} for hit, fate in zip(hits, kept, strict=True)]
            typer.echo(json.dumps({"question": question, "hits": rows}, ensure_ascii=False))
            return
        if not workspace.documents.count():
            console.print("[yellow]The workspace holds no documents yet: freehold ingest PATH[/]")
        elif not hits:
            console.print("Nothing was found.")
        else:
            console.print(_table(hits, kept))
            console.print(_summary(kept, workspace.settings, reranked=workspace.reranker is not None), style="dim")


def _condition(text: str) -> dict[str, Any]:
    """`page<=3` as a condition of `Documents.search`.

    Raises:
        UserError: The text is no condition.
    """
    places = [(text.index(sign), -len(sign), sign) for sign in _OPERATORS if sign in text]
    if not places or not min(places)[0]:
        raise UserError(
            f"{text!r} is no condition: write KEY=VALUE, or >=, <=, >, <, != in place of =, such as page<=3."
        )
    sign = min(places)[2]
    key, _, given = text.partition(sign)
    operator = _OPERATORS[sign]
    value: Any = _value(given)
    if operator in ("is", "not") and "," in given:
        value = [_value(part) for part in given.split(",")]
    return {key.strip(): value if operator == "is" else {operator: value}}


def _value(text: str) -> Any:
    """A number or a truth value where it reads as one; what is in double quotes is text as it stands."""
    text = text.strip()
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, bool | int | float | str) else text


def _kept(hit: SearchHit, settings: Settings) -> bool:
    """Whether an answer could draw on it."""
    if hit.rerank_score is not None:
        return hit.rerank_score >= settings.rerank_threshold
    return hit.dense_score >= settings.passage_threshold


def _table(hits: Sequence[SearchHit], kept: Iterable[bool]) -> Table:
    reranked = any(hit.rerank_score is not None for hit in hits)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "meaning", "words", "fused", *(["reranked"] if reranked else []), ""):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("passage", overflow="fold")
    for place, (hit, fate) in enumerate(zip(hits, kept, strict=True), 1):
        row = [
            str(place),
            _stage(hit.dense_score, hit.dense_rank, 2),
            _stage(hit.bm25_score, hit.bm25_rank, 1),
            _stage(hit.fused_score, hit.fused_rank, 4),
            *([_stage(hit.rerank_score, hit.rerank_rank, 2)] if reranked else []),
            "[green]kept[/]" if fate else "[yellow]dropped[/]",
        ]
        text = " ".join(hit.passage["text"].split())
        beginning = text[:160] + ("..." if len(text) > 160 else "")
        table.add_row(*row, f"[cyan]{escape(_place(hit.passage))}[/]\n[dim]{escape(beginning)}[/]")
    return table


def _stage(score: float | None, rank: int | None, digits: int) -> str:
    """Score and, behind it, the place in that stage."""
    if score is None:
        return "-"
    return f"{score:.{digits}f}" + (f" #{rank}" if rank is not None else "")


def _place(passage: Passage) -> str:
    place = shown_path(passage["source"])
    if passage["heading"]:
        place += f" > {passage['heading']}"
    if passage["page"]:
        place += f", page {passage['page']}"
    return f"{place}, characters {passage['start']}-{passage['end']}"


def _summary(kept: Sequence[bool], settings: Settings, *, reranked: bool) -> str:
    judged = (
        f"score at least {settings.rerank_threshold:g} (rerank_threshold)"
        if reranked
        else f"cosine similarity at least {settings.passage_threshold:g} (passage_threshold)"
    )
    return (
        f"\n{sum(kept)} of {len(kept)} kept: {judged}; an answer draws on the first {settings.passages} at most. "
        "#n is the place in that stage."
    )
