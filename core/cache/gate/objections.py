"""Objections: every rule of the gate, in the order in which its reason is given."""

from __future__ import annotations

from collections.abc import Iterator

from freehold.cache.gate.additions import added_limit
from freehold.cache.gate.contrasts import contrast_objection
from freehold.cache.gate.dates import date_objection
from freehold.cache.gate.direction import reversed_roles, swap
from freehold.cache.gate.name_conflicts import name_conflict
from freehold.cache.gate.numbers import number_objection
from freehold.cache.gate.pair import Pair
from freehold.cache.gate.polarity import negated_apart, opposed
from freehold.cache.gate.question_types import type_objection
from freehold.cache.gate.units import unit_objection

__all__ = ["objections"]


def objections(pair: Pair) -> Iterator[tuple[str, str]]:
    """Go through the rules, the surest first.

    Yields:
        The kind of an objection, and its reason in one sentence.

    Example:
        >>> from freehold.cache.gate.pair import pair
        >>> from freehold.cache.gate.question import parse
        >>> [kind for kind, reason in objections(pair(parse("Is 5 kg heavy?"), parse("Is 6 pounds heavy?")))]
        ['number', 'unit']
    """
    one, other = pair.ours, pair.theirs
    if reason := number_objection(one.numbers, other.numbers, one.operators, other.operators):
        yield "number", reason
    if reason := unit_objection(one.units, other.units):
        yield "unit", reason
    if reason := date_objection(one.dates, other.dates):
        yield "date", reason
    if names := name_conflict(pair):
        yield "name", f"The names differ: {names[0]} against {names[1]}."
    if reason := contrast_objection(pair):
        yield "contrast", reason
    if (word := negated_apart(pair)) is not None:
        yield "negation", f"Only one of them is negated: {word}."
    yield from _reversals(pair)
    if limit := added_limit(pair):
        yield "addition", f"Only one of them is limited: {limit}."
    if pair.extra == 0 and (reason := type_objection(one.types, other.types)):
        yield "question_type", reason


def _reversals(pair: Pair) -> Iterator[tuple[str, str]]:
    """Opposite words, and things in each other's place; both together ask for the same."""
    opposites = opposed(pair)
    roles = reversed_roles(pair)
    swapped = swap(pair)
    if opposites:
        kind, ours, theirs = opposites
        yield kind, f"They are opposites: {ours} against {theirs}."
    if roles:
        yield "direction", f"The direction differs: from {roles[0]} to {roles[1]}, and the other way round."
    elif swapped and not opposites:
        kind = "comparison" if "than" in swapped[2] else "direction"
        yield kind, f"They have changed places: {swapped[0]} and {swapped[1]}."
