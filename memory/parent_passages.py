"""Parent passages: what was found is read together with what stands around it in its section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from freehold.state import Passage

if TYPE_CHECKING:
    from qdrant_client.http import models

__all__ = ["MOST_NEIGHBOURS", "neighbours_filter", "widen"]

_Section = tuple[str, int]
"""A document's source, and the place of the section in it."""

_REACH = 50
"""Passages to each side of one that are read: some 20,000 characters with the shipped sizes."""
MOST_NEIGHBOURS = 2 * _REACH + 1
"""Passages that the filter lets through for each one that was found, itself among them."""


def _section(payload: Mapping[str, Any]) -> _Section | None:
    """The section that a passage is of; None where an earlier version stored it without one."""
    if payload.get("section") is None or payload.get("index") is None:
        return None
    return str(payload["source"]), int(payload["section"])


def neighbours_filter(passages: Sequence[Passage]) -> models.Filter | None:
    """What stands around these passages in their sections; None where that is not known of any."""
    from qdrant_client.http import models

    # A range for each: from the first to the last of one section, a long table would be read whole.
    ranges: list[models.Condition] = [
        models.Filter(
            must=[
                models.FieldCondition(key="source", match=models.MatchValue(value=section[0])),
                models.FieldCondition(key="section", match=models.MatchValue(value=section[1])),
                models.FieldCondition(
                    key="index", range=models.Range(gte=passage["index"] - _REACH, lte=passage["index"] + _REACH)
                ),
            ]
        )
        for passage in passages
        if (section := _section(passage)) is not None
    ]
    return models.Filter(should=ranges) if ranges else None


def widen(
    passages: Sequence[Passage], neighbours: Iterable[Mapping[str, Any]], characters: int
) -> list[Passage | None]:
    """Each passage with what stands around it in its section, as far as both together keep within `characters`.

    A passage grows at both sides in turn, until its section or the room ends. One that stands in an earlier one's text
    already is None: no text comes twice. What stood between two passages is not stored, and is blanks as a rule: up to
    two line breaks stand for it, so that `start` and `end` are exact and the text's length may differ by a few blanks.

    Args:
        passages: What was found, best first. Ids and scores stay theirs; `start`, `end` and `text` widen.
        neighbours: Payloads of what `neighbours_filter` finds.
        characters: Most characters of a widened passage; one that is longer itself stays as it is.
    """
    around: dict[_Section, dict[int, Mapping[str, Any]]] = {}
    for payload in neighbours:
        if (section := _section(payload)) is not None:
            around.setdefault(section, {})[int(payload["index"])] = payload
    widened: list[Passage | None] = []
    taken: set[tuple[_Section, int]] = set()
    for passage in passages:
        section = _section(passage)
        left = around.get(section, {}) if section is not None else {}
        if section is None or (passage["index"] not in left and (section, passage["index"]) not in taken):
            widened.append(passage)  # what stands around it is not known, or was removed since it was found
            continue
        if passage["index"] not in left:
            widened.append(None)
            continue
        run = _run(passage["index"], left, characters)
        taken.update((section, index) for index in run)
        parts = [left.pop(index) for index in run]
        start, end = int(parts[0]["start"]), int(parts[-1]["end"])
        widened.append({**passage, "text": _joined(parts), "start": start, "end": end})
    return widened


def _run(index: int, around: Mapping[int, Mapping[str, Any]], characters: int) -> list[int]:
    """The indexes around this one, without a gap, whose texts have room together."""
    first = last = index
    sides = [1, -1]  # what follows explains more often than what comes before
    while sides:
        for side in tuple(sides):
            low, high = (first, last + 1) if side > 0 else (first - 1, last)
            known = low in around and high in around
            if known and int(around[high]["end"]) - int(around[low]["start"]) <= characters:
                first, last = low, high
            else:
                sides.remove(side)
    return list(range(first, last + 1))


def _joined(parts: Sequence[Mapping[str, Any]]) -> str:
    texts = [str(parts[0]["text"])]
    for before, part in pairwise(parts):
        gap = int(part["start"]) - int(before["end"])
        texts += ["\n" * min(max(gap, 0), 2), str(part["text"])[max(-gap, 0) :]]
    return "".join(texts)
