"""Tests of what an ingest removes: what is no more, and nothing else."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from freehold.errors import DocumentError
from freehold.graphs import create_ingest
from freehold.memory import Documents
from tests.graphs.conftest import names


def test_what_was_not_found_and_exists_stays(store: Documents, folder: Path) -> None:
    """A hidden file that was given by its name stays when its folder is read, until it is gone."""
    graph, hidden = create_ingest(store), folder / ".hidden.md"
    hidden.write_text("A hidden note.")
    assert names(graph.invoke({"paths": [str(hidden)]})["ingested"]) == [".hidden.md"]
    assert graph.invoke({"paths": [str(folder)]})["removed"] == []
    hidden.unlink()
    assert names(graph.invoke({"paths": [str(folder)]})["removed"]) == [".hidden.md"]


def test_a_folder_that_cannot_be_listed_loses_nothing(
    store: Documents, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without rights is told among what failed, and what is stored of it stays."""
    graph, scandir = create_ingest(store), os.scandir
    graph.invoke({"paths": [str(folder)]})

    def refuses(path: Any) -> Any:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)  # the system refuses root nothing
    result = graph.invoke({"paths": [str(folder)]})
    assert result["removed"] == []
    assert [Path(one["source"]).name for one in result["failed"]] == ["deep", "broken.pdf"]
    assert "Permission denied" in result["failed"][0]["reason"]
    assert "swift.html" in names(list(asyncio.run(store.sources())))


def test_a_file_that_came_back_keeps_its_document(store: Documents, folder: Path) -> None:
    """A run that is resumed removes what is gone then, not what was gone when it began."""
    graph, config = create_ingest(store, checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    graph.invoke({"paths": [str(folder)]}, config)  # type: ignore[call-overload]
    text = (folder / "owl.txt").read_text()
    (folder / "owl.txt").unlink()
    (folder / "heron.md").unlink()
    graph.invoke({"paths": [str(folder)]}, config, interrupt_before=["remove_deleted"])  # type: ignore[call-overload]
    (folder / "owl.txt").write_text(text)
    assert names(graph.invoke(None, config)["removed"]) == ["heron.md"]  # type: ignore[call-overload]
    assert names(list(asyncio.run(store.sources()))) == ["owl.txt", "swift.html"]


def test_a_folder_that_is_gone_takes_its_documents_along(store: Documents, folder: Path) -> None:
    """A path that is no more, and of which something is stored, is a deletion; what never was is a mistake."""
    graph, beside = create_ingest(store), folder.parent / "library2.md"
    beside.write_text("A note beside it.")
    graph.invoke({"paths": [str(folder), str(beside)]})
    shutil.rmtree(folder)
    result = graph.invoke({"paths": [str(folder), str(beside)]})
    assert names(result["removed"]) == ["heron.md", "owl.txt", "swift.html"]
    assert names(result["skipped"]) == ["library2.md"]
    beside.unlink()
    assert names(graph.invoke({"paths": [str(beside)]})["removed"]) == ["library2.md"]
    with pytest.raises(DocumentError, match=r"library2\.md does not exist"):
        graph.invoke({"paths": [str(beside)]})
