"""The retrieval benchmark's own arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.retrieval import ndcg, read, recall


def test_ndcg_and_recall() -> None:
    """Figures worked out by hand: graded gains, the tenth place, and what stands behind it."""
    assert ndcg(["a", "b"], {"a": 1}) == 1
    assert ndcg(["b", "a"], {"a": 1}) == pytest.approx(0.63093, abs=1e-5)
    assert ndcg(["b", "a"], {"a": 2, "b": 1}) == pytest.approx((1 + 2 * 0.63093) / (2 + 0.63093), abs=1e-5)
    assert ndcg([*"0123456789", "a"], {"a": 1}) == 0
    assert recall([*"abcdefghij", "k"], {"a": 1, "k": 1}) == 0.5


def test_beirs_form_is_read(tmp_path: Path) -> None:
    """Queries without a relevant document are left out; `qrels/test.tsv` is read where there is no `qrels.tsv`."""
    rows = [{"_id": "d1", "title": "", "text": "One."}, {"_id": "d2", "title": "Two", "text": "Two."}]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "one?"}\n{"_id": "q2", "text": "two?"}\n')
    (tmp_path / "qrels").mkdir()
    judged = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td2\t0\nq3\td1\t1\n"
    (tmp_path / "qrels" / "test.tsv").write_text(judged)
    collection = read(tmp_path, quick=False)
    assert collection.documents["d2"] == ("Two", "Two.")
    assert collection.judgements == {"q1": {"d1": 2}}
    assert collection.queries == {"q1": "one?"}
