"""Which documents there are, and whether all their passages are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DocumentTable", "StoredDocument"]


@dataclass(frozen=True)
class StoredDocument:
    """A document as the store has it."""

    digest: str
    """Of its content; empty where passages are missing or left from other content."""
    stamp: str = ""
    """Tells without reading the file that it is still the one that was read; empty where that is not known."""


class DocumentTable:
    """The documents with their passages counted, and a version that changes with any of them. Not thread-safe."""

    def __init__(self) -> None:
        self._stored: dict[str, StoredDocument] = {}
        self._sum = 0

    def __contains__(self, source: object) -> bool:
        return source in self._stored

    @classmethod
    def counted(cls, passages: Iterable[Mapping[str, Any]]) -> DocumentTable:
        """The table of what a store holds.

        Args:
            passages: `source`, `digest`, `total` and, not from earlier versions, `stamp` of every passage.
        """
        counts: dict[str, _Counted] = {}
        for passage in passages:
            counted = counts.setdefault(passage["source"], _Counted({}, {}, passage.get("stamp", "")))
            digest = passage["digest"]
            counted.present[digest] = counted.present.get(digest, 0) + 1
            counted.totals[digest] = passage["total"]
        table = cls()
        for source, counted in counts.items():
            table.set(source, counted.document())
        return table

    def set(self, source: str, document: StoredDocument) -> None:
        """Note what the store has of a document."""
        self.forget(source)
        self._stored[source] = document
        self._sum += _number(source, document)

    def forget(self, source: str) -> None:
        """Note that the store has nothing of a document."""
        known = self._stored.pop(source, None)
        if known is not None:
            self._sum -= _number(source, known)

    def get(self, source: str) -> StoredDocument | None:
        """What the store has of a document."""
        return self._stored.get(source)

    def items(self) -> Iterator[tuple[str, StoredDocument]]:
        """Every source with its document."""
        return iter(self._stored.items())

    @property
    def version(self) -> str:
        """Digest of all sources and their content: a sum, so that a change costs the same however many there are.

        The sum of digests is the hash MSet-Add-Hash (Clarke et al., ASIACRYPT 2003) without its key.
        """
        return f"{self._sum % 2**256:064x}"[:32]


@dataclass(frozen=True)
class _Counted:
    """How many passages there are for each digest, and how many there should be."""

    present: dict[str, int]
    totals: dict[str, int]
    stamp: str

    def document(self) -> StoredDocument:
        whole = len(self.present) == 1 and self.present == self.totals
        return StoredDocument(next(iter(self.present)), self.stamp) if whole else StoredDocument("")


def _number(source: str, document: StoredDocument) -> int:
    return int.from_bytes(hashlib.sha256(f"{source}\0{document.digest}".encode()).digest(), "big")
