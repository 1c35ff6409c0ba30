"""What the tests of the LangGraph store share: embeddings that can be foreseen, and a store to compare with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from math import isqrt
from typing import Any

from langgraph.store.base import IndexConfig, Item, ListNamespacesOp, Op, PutOp, SearchItem
from langgraph.store.memory import InMemoryStore

COMPASS = {
    "north": [1.0, 0.0],
    "northeast": [1.0, 1.0],
    "east": [0.0, 1.0],
    "south": [-1.0, 0.0],
    "nowhere": [0.0, 0.0],
}


def compass(texts: Sequence[str]) -> list[list[float]]:
    """A vector for each word of the compass."""
    return [COMPASS[text] for text in texts]


def scattered(texts: Sequence[str]) -> list[list[float]]:
    """A vector for any text; hardly two texts are equally near to a third.

    Whole numbers of length 64: 32 bits hold every product and cosine exactly, so that equal texts are equally near
    in whatever order a processor adds.
    """
    return [[float(number) for number in _whole_numbers(text)] for text in texts]


@cache
def _whole_numbers(text: str) -> list[int]:
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    first = [byte % 61 - 30 for byte in digest[:4]]
    left = 64 * 64 - sum(number * number for number in first)
    squares = product(range(isqrt(left), -1, -1), repeat=3)
    # Lagrange: every whole number is the sum of four squares.
    rest = next((*three, isqrt(last)) for three in squares if _is_square(last := left - sum(n * n for n in three)))
    turn = digest[4] % 4
    signs = [1 if byte % 2 else -1 for byte in digest[5:9]]
    return [*first, *(sign * number for sign, number in zip(signs, rest[turn:] + rest[:turn], strict=True))]


def _is_square(number: int) -> bool:
    return number >= 0 and isqrt(number) ** 2 == number


def indexed(*fields: str) -> IndexConfig:
    """An index of words of the compass."""
    return {"dims": 2, "embed": compass, "fields": list(fields)}


class Score(float):
    """A number that equals another within what the engine's 32 bits lose."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(self - other) < 1e-4

    __hash__ = None  # type: ignore[assignment]


def plain(result: Any) -> Any:
    """A result without its times."""
    if isinstance(result, list):
        return [plain(one) for one in result]
    if isinstance(result, SearchItem):
        score = None if result.score is None else Score(result.score)
        return (result.namespace, result.key, result.value, score)
    if isinstance(result, Item):
        return (result.namespace, result.key, result.value)
    return result


class Reference(InMemoryStore):
    """`InMemoryStore` without what docs/store.md calls its mistakes.

    As it stands, to get or delete an item makes its namespace exist, an item is still found by what it held before,
    and two equal texts in one batch are an error.
    """

    def _forget_empty(self) -> None:
        for namespace in [one for one, items in self._data.items() if not items]:
            del self._data[namespace]

    def _handle_list_namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        self._forget_empty()
        return super()._handle_list_namespaces(op)

    def _extract_texts(self, put_ops: dict[tuple[tuple[str, ...], str], PutOp]) -> Any:
        for namespace, key in put_ops:
            self._vectors[namespace].pop(key, None)
        return super()._extract_texts(put_ops)

    def _insertinmem_store(self, to_embed: Mapping[str, list[Any]], embeddings: list[list[float]]) -> None:
        pairs = [(one, vector) for places, vector in zip(to_embed.values(), embeddings, strict=True) for one in places]
        super()._insertinmem_store({str(n): [place] for n, (place, _) in enumerate(pairs)}, [v for _, v in pairs])

    def _apply_put_ops(self, put_ops: dict[tuple[tuple[str, ...], str], PutOp]) -> None:
        self._forget_empty()
        super()._apply_put_ops(
            {
                (namespace, key): op
                for (namespace, key), op in put_ops.items()
                if op.value is not None or namespace in self._data
            }
        )

    def batch(self, ops: Sequence[Op]) -> list[Any]:  # type: ignore[override]
        """As it is, where nothing is left of a namespace whose items were all deleted."""
        self._forget_empty()
        return super().batch(ops)
