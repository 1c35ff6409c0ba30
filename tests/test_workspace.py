"""The workspace folder and its resources."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from freehold import Settings, Workspace
from freehold.errors import ModelFileError, NetworkRefusedError, WorkspaceError, WorkspaceLockedError


def test_a_second_process_is_told_who_owns_the_folder(tmp_path: Path) -> None:
    """Two processes on one workspace would damage it; the second one learns the first one's id."""
    code = (
        "import sys, freehold\ntry: freehold.Workspace(sys.argv[1])\nexcept Exception as e: print(type(e).__name__, e)"
    )
    with Workspace(tmp_path):
        found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("WorkspaceLockedError")
    assert f"process {os.getpid()}" in found.stdout


def test_a_second_owner_in_one_process_is_refused_too(tmp_path: Path) -> None:
    """The lock holds between objects, not only between processes."""
    with Workspace(tmp_path), pytest.raises(WorkspaceLockedError):
        Workspace(tmp_path)


def test_closed_is_closed(tmp_path: Path) -> None:
    """A resource of a closed workspace is an error that says so; closing twice is closing once."""
    workspace = Workspace(tmp_path)
    workspace.close()
    workspace.close()
    with pytest.raises(WorkspaceError, match="closed"):
        _ = workspace.documents
    Workspace(tmp_path).close()


def test_resources_are_made_once(tmp_path: Path) -> None:
    """Everybody gets the same engine, whoever asks first."""
    with Workspace(tmp_path) as workspace:
        assert workspace.embeddings is workspace.embeddings
        assert workspace.documents._client is workspace.qdrant


def test_the_guard_is_in_force_while_a_workspace_is_open(tmp_path: Path) -> None:
    """Whatever connects meanwhile, from whichever library, stays on the machine."""
    with Workspace(tmp_path), pytest.raises(NetworkRefusedError):
        socket.getaddrinfo("example.org", 80)


def test_nothing_is_loaded_before_it_is_used(tmp_path: Path) -> None:
    """Opening a workspace takes no model, no vector store, no mem0."""
    code = (
        "import sys, freehold\nfreehold.Workspace(sys.argv[1])\n"
        "print([n for n in ('llama_cpp', 'qdrant_edge', 'mem0', 'nemoguardrails', 'redis') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model", None])
def test_a_broken_model_is_a_plain_error(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty, truncated or something else: the message names the file."""
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with Workspace(tmp_path / "home", model=path) as workspace, pytest.raises(ModelFileError, match=r"model\.gguf"):
        workspace.engine.load()


def test_settings_and_single_values_exclude_each_other(tmp_path: Path) -> None:
    """Two sources for one value would leave open which one counts."""
    with pytest.raises(WorkspaceError, match="not both"):
        Workspace(tmp_path, settings=Settings.load())
