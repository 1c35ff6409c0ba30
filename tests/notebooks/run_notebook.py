"""Run a notebook in a kernel of its own."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import nbformat
from nbclient import NotebookClient

__all__ = ["run_notebook", "text_of"]


def run_notebook(notebook: nbformat.NotebookNode, home: Path, folder: Path) -> nbformat.NotebookNode:
    """Execute every cell and return the notebook with its outputs; nothing is written to its file.

    Args:
        notebook: What to execute.
        home: The workspace folder.
        folder: The kernel's working directory.

    Raises:
        CellExecutionError: A cell raised.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FREEHOLD_")}
    client = NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own libraries, not what is tested
        return client.execute(env={**environment, "FREEHOLD_HOME": str(home)})


def text_of(cell: nbformat.NotebookNode) -> str:
    """What a cell printed, without standard error, and the plain text of what it showed."""
    outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return "\n".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)
