"""Tests of memory/document_table.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from freehold.memory.document_table import DocumentTable, StoredDocument

_CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "1", "2", None])), max_size=12)


@given(_CHANGES)
def test_the_version_tells_the_content_and_not_the_way_there(changes: list[tuple[str, str | None]]) -> None:
    """Two tables have one version where they hold the same documents, however they came to it: caches key on it."""
    table, held = DocumentTable(), dict[str, str]()
    for source, digest in changes:
        before = table.version
        changed = held.get(source) != digest
        if digest is None:
            table.forget(source)
            held.pop(source, None)
        else:
            table.set(source, StoredDocument(digest, "stamp"))
            held[source] = digest
        assert (table.version != before) == changed
    fresh = DocumentTable()
    for source, digest in sorted(held.items(), reverse=True):
        fresh.set(source, StoredDocument(digest))
    assert table.version == fresh.version
    assert {source: document.digest for source, document in table.items()} == held


def test_a_document_is_whole_where_all_its_passages_are() -> None:
    """Missing passages, or passages of two contents, leave no digest: the next run reads the file again."""
    table = DocumentTable.counted(
        [
            {"source": "whole", "digest": "1", "total": 2, "stamp": "s"},
            {"source": "whole", "digest": "1", "total": 2, "stamp": "s"},
            {"source": "cut", "digest": "1", "total": 2},
            {"source": "mixed", "digest": "1", "total": 1},
            {"source": "mixed", "digest": "2", "total": 1},
        ]
    )
    assert dict(table.items()) == {
        "whole": StoredDocument("1", "s"),
        "cut": StoredDocument(""),
        "mixed": StoredDocument(""),
    }
