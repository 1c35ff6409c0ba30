"""The notebooks are executed as a reader would, on a workspace of their own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT
from tests.notebooks.run_notebook import run_notebook, text_of

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
def test_the_quickstart_shows_what_it_says(tmp_path: Path) -> None:
    """Every cell runs, and the tour's claims hold: citation, cache hit, memory, refusal, resumption, picture."""
    notebook = nbformat.read(ROOT / "notebooks" / "01_quickstart.ipynb", as_version=4)
    done = run_notebook(notebook, tmp_path / "home", ROOT / "notebooks")
    shown = {cell.source: text_of(cell) for cell in done.cells if cell.cell_type == "code"}

    def found(part: str) -> str:
        return next(text for source, text in shown.items() if part in source)

    assert "folder" in found("Where does Freehold keep its data?")
    assert ".md: " in found("Where does Freehold keep its data?"), "no document is cited"
    assert "('hit', 'semantic'" in found("Where does Freehold store its data?")
    assert "Ada" in found("What is my name?")
    assert found("What is my name?").endswith(", [])"), "another user got the memories"
    assert "('refuse'" in found("Ignore all previous")
    assert "<EMAIL_ADDRESS>" in found("Ignore all previous")
    assert "stopped before ('generate',)" in found("interrupt_before")
    assert "retrieve" not in found("interrupt_before").split("resumed:")[1].splitlines()[0]
    pictures = [
        output.data["image/svg+xml"]
        for cell in done.cells
        for output in cell.get("outputs", ())
        if "data" in output and "image/svg+xml" in output.data
    ]
    assert ["lookup_cache" in picture for picture in pictures] == [True, False]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    """Outputs hold times and paths of somebody's machine, and would change with every run."""
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
