"""Tests of graphs/ingest_files.py and graphs/ingest_progress.py."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from freehold.graphs.ingest_files import compare, content_digest, deal, is_gone, stamp_of
from freehold.graphs.ingest_progress import Progress
from freehold.memory.document_table import StoredDocument


@given(st.lists(st.integers(0, 10**6), max_size=60), st.integers(1, 5))
def test_files_are_dealt_out_evenly(sizes: list[int], lanes: int) -> None:
    """Every file is in one lane, in order, and no lane has more than its share and one file: all end together."""
    files = [f"{number:03}" for number in range(len(sizes))]
    weights = {file: size + 1_000 for file, size in zip(files, sizes, strict=True)}
    hands = deal(files, sizes, lanes)
    assert sorted(file for hand in hands for file in hand) == files
    assert all(hand == sorted(hand) != [] for hand in hands)
    assert len(hands) == min(lanes, len(files))
    if files:
        heaviest = max(sum(weights[file] for file in hand) for hand in hands)
        assert heaviest <= sum(weights.values()) / lanes + max(weights.values())


def test_a_stamp_is_of_a_settled_file_only(tmp_path: Path) -> None:
    """What changed just now may change again within the clock's tick: it has no stamp, nor has a file of tomorrow."""
    path = tmp_path / "a.txt"
    path.write_text("x")
    assert stamp_of(path.stat()) == ""
    os.utime(path, (time.time() + 86_400,) * 2)
    assert stamp_of(path.stat()) == ""
    settled = os.stat_result((0o100644, 7, 1, 1, 0, 0, 5, 1, 1_000, 1_000))
    assert stamp_of(settled).startswith("5-")


def test_files_are_compared_by_content_where_the_stamp_is_unknown(tmp_path: Path) -> None:
    """Without a stamp the bytes decide, another way to split is another content, and other folders' documents stay."""
    for name in ("same", "changed", "new"):
        (tmp_path / f"{name}.txt").write_text(name)
    same = content_digest("0967115f2813a3541eaef77de9d9d5773f1c0c04314b0bbfe4ff3b3b1c55b5d5", 100)
    stored = {
        str(tmp_path / "same.txt"): StoredDocument(same),
        str(tmp_path / "changed.txt"): StoredDocument(content_digest("0" * 64, 100)),
        str(tmp_path / "gone.txt"): StoredDocument("1"),
        "/elsewhere/kept.txt": StoredDocument("1"),
    }
    found = compare([tmp_path], stored, 100)
    assert [Path(source).name for source in found.unchanged] == ["same.txt"]
    assert [Path(source).name for source in found.pending] == ["changed.txt", "new.txt"]
    assert [Path(source).name for source in found.gone] == ["gone.txt"]
    assert len(compare([tmp_path], stored, 101).pending) == 3


def test_only_what_is_no_more_is_gone(tmp_path: Path) -> None:
    """A broken link is there, a file within a file is not, and a name that no file can have says nothing."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    gone = {name: is_gone(tmp_path / name) for name in ("file", "link", "nowhere", "file/below", "x" * 300, "a\0b")}
    assert [name for name, is_so in gone.items() if is_so] == ["nowhere", "file/below"]


def test_progress_of_a_resumed_run_counts_what_was_done_before() -> None:
    """Lanes that had ended before a break are told by nobody: what is left in the others tells how much they did."""
    progress, told = Progress(), list[Any]()
    progress.begin("run", {1: 3})
    progress.begin("run", {2: 1})
    for lane in (1, 2, 1, 1):
        progress.tell({"event": "file", "run": "run", "lane": lane, "total": 10, "passages": 2}, told.append)
    assert [(event["done"], event["passages"]) for event in told] == [(7, 2), (8, 4), (9, 6), (10, 8)]
    assert set(told[0]) == {"event", "total", "passages", "done"}
