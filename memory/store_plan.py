"""What a batch of a LangGraph store's operations asks for, read once and checked before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.store.base import (
    GetOp,
    ListNamespacesOp,
    Op,
    PutOp,
    SearchOp,
    get_text_at_path,
    tokenize_path,
    validate_op_namespace,
)

from freehold.errors import UserError
from freehold.memory.store_filters import check_filter
from freehold.memory.store_items import NEVER, Key, Put, to_json

__all__ = ["Batch", "clean", "read_batch"]


@dataclass
class Batch:
    """A batch, its operations apart by kind, each read with its place among the results."""

    size: int = 0
    gets: list[tuple[int, GetOp]] = field(default_factory=list)
    searches: list[tuple[int, SearchOp]] = field(default_factory=list)
    listings: list[tuple[int, ListNamespacesOp]] = field(default_factory=list)
    puts: dict[Key, Put | None] = field(default_factory=dict)
    """The last one of each key, in the order of the first ones; None deletes."""

    def texts(self) -> list[str]:
        """Every text to embed, once."""
        return list(dict.fromkeys(text for put in self.puts.values() if put is not None for text in put.texts))

    def queries(self) -> list[str]:
        """Every query to embed, once."""
        return list(dict.fromkeys(op.query for _, op in self.searches if op.query))


def read_batch(ops: Iterable[Op], fields: Sequence[str] | None) -> Batch:
    """Read the operations of a batch.

    Args:
        ops: The operations.
        fields: Paths that are indexed where an operation names none; None where there is no index.

    Raises:
        InvalidNamespaceError: A label of a namespace is empty, no text, or has a period.
        UserError: A value is not JSON, a filter has an unknown operator, or an operation is of no known kind.
    """
    batch = Batch()
    last: dict[Key, PutOp] = {}
    for place, op in enumerate(ops):
        batch.size = place + 1
        if not isinstance(op, (GetOp, SearchOp, ListNamespacesOp, PutOp)):
            raise UserError(f"A store has no operation {type(op).__name__}: give GetOp, PutOp, SearchOp or such.")
        validate_op_namespace(op)
        if isinstance(op, GetOp):
            batch.gets.append((place, op))
        elif isinstance(op, SearchOp):
            _check_search(op)
            batch.searches.append((place, op))
        elif isinstance(op, ListNamespacesOp):
            for condition in op.match_conditions or ():
                if condition.match_type not in ("prefix", "suffix"):
                    raise UserError(f"Namespaces match by prefix or suffix, not by {condition.match_type!r}.")
            batch.listings.append((place, op))
        else:
            last[tuple(op.namespace), op.key] = op
    batch.puts = {key: None if op.value is None else _put(key, op, op.value, fields) for key, op in last.items()}
    return batch


def _check_search(op: SearchOp) -> None:
    if op.limit < 0 or op.offset < 0:
        raise UserError(f"limit={op.limit}, offset={op.offset} cannot be used: give whole numbers from 0.")
    check_filter(op.filter or {})


def _put(key: Key, op: PutOp, value: Mapping[str, Any], fields: Sequence[str] | None) -> Put:
    if not isinstance(value, Mapping):
        raise UserError(f"The value of {key[1]!r} in {key[0]} is {type(value).__name__}; give a dictionary.")
    if not isinstance(key[1], str):
        raise UserError(f"{key[1]!r} cannot be a key: give a text.")
    if op.ttl is not None and not abs(op.ttl) <= NEVER:
        raise UserError(f"ttl={op.ttl} of {key[1]!r} in {key[0]} cannot be used: give minutes, or None for no end.")
    json = to_json(key, value)  # first: what is not JSON has no text either
    return Put(dict(value), json, tuple(_texts(op, value, fields)), op.ttl)


def _texts(op: PutOp, value: Mapping[str, Any], fields: Sequence[str] | None) -> Iterable[str]:
    if fields is None or op.index is False:
        return
    for path in fields if op.index is None else op.index:
        for text in get_text_at_path(value, path if path == "$" else tokenize_path(path)):
            yield clean(text)


def clean(text: str) -> str:
    """A text that any embedder takes: half of a surrogate pair has no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()
