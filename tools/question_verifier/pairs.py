"""The labelled question pairs: reading them, and holding some out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

__all__ = ["Groups", "Pair", "read_labelled", "read_pairs"]

_HELD_OUT_OF_256 = 16


@dataclass(frozen=True)
class Pair:
    """Two questions and how sure it is that they ask the same."""

    a: str
    b: str
    same: float
    """1 the same, 0 not."""

    def swapped(self) -> Pair:
        """The same pair, told the other way round."""
        return replace(self, a=self.b, b=self.a)


class Groups:
    """Texts joined into groups: what `join` was called with lies in one group.

    Args:
        pairs: Pairs to join at once.
    """

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._parent: dict[str, str] = {}
        for pair in pairs:
            self.join(pair.a, pair.b)

    def of(self, text: str) -> str:
        """The text that stands for the group of this one: its alphabetically first."""
        root = text
        while (parent := self._parent.setdefault(root, root)) != root:
            root = parent
        while self._parent[text] != root:
            self._parent[text], text = root, self._parent[text]
        return root

    def join(self, first: str, second: str) -> None:
        """Make one group of the groups of two texts."""
        low, high = sorted((self.of(first), self.of(second)))
        self._parent[high] = low


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file of JSON lines with the keys `a`, `b` and `same`, in its order."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line)
    return [Pair(row["a"], row["b"], float(row["same"])) for row in rows]


def read_labelled(path: Path) -> tuple[list[Pair], list[Pair]]:
    """The labelled pairs to train on, and those that are never trained on: about one in sixteen.

    Pairs that share a text, directly or through others, are held out together, so that no held-out text is ever seen.
    The sha1 of the alphabetically first text of such a group decides.
    """
    pairs = read_pairs(path)
    groups = Groups(pairs)
    held_out = [_is_held_out(groups.of(pair.a)) for pair in pairs]
    return [pair for pair, held in zip(pairs, held_out, strict=True) if not held], [*compress(pairs, held_out)]


def _is_held_out(text: str) -> bool:
    return hashlib.sha1(text.encode()).digest()[0] < _HELD_OUT_OF_256
