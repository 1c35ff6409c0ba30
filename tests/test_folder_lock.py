"""One owner per folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.errors import WorkspaceError, WorkspaceLockedError
from freehold.folder_lock import FolderLock


def test_a_second_owner_learns_the_first_ones_process_id(tmp_path: Path) -> None:
    """The message says which process to close."""
    with FolderLock(tmp_path), pytest.raises(WorkspaceLockedError, match=f"process {os.getpid()}"):
        FolderLock(tmp_path)


def test_closing_lets_go(tmp_path: Path) -> None:
    """A closed folder can be opened again."""
    FolderLock(tmp_path).close()
    FolderLock(tmp_path).close()
    assert (tmp_path / ".owner").read_text() == str(os.getpid())


def test_a_killed_owner_lets_go(tmp_path: Path) -> None:
    """Kill -9 leaves no folder locked."""
    code = (
        "import os, signal, sys, pathlib\nfrom freehold.folder_lock import FolderLock\n"
        "lock = FolderLock(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    FolderLock(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_a_plain_error(tmp_path: Path) -> None:
    """A file where the folder should be is the user's to mend."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="cannot be used"):
        FolderLock(tmp_path / "file" / "home")
