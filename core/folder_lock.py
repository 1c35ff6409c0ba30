"""One owner per folder, across processes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Self

import portalocker

from freehold.errors import WorkspaceError, WorkspaceLockedError

__all__ = ["FolderLock"]


class FolderLock:
    """An exclusive lock on a folder; the system lets go of it when the process ends, however it ends.

    Args:
        folder: Made where it does not exist.

    Raises:
        WorkspaceLockedError: Another process, or another owner in this one, holds it.
        WorkspaceError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / ".lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+")
        except OSError as error:
            raise WorkspaceError(
                f"The folder {folder} cannot be used: {error.strerror or error}. Choose another with FREEHOLD_HOME."
            ) from error
        try:
            portalocker.lock(self._file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.exceptions.LockException as error:
            self._file.seek(0)
            owner = self._file.read().strip()
            self._file.close()
            raise WorkspaceLockedError(folder, int(owner) if owner.isdigit() else None) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def close(self) -> None:
        """Let go of the folder."""
        if not self._file.closed:
            with contextlib.suppress(portalocker.exceptions.LockException):
                portalocker.unlock(self._file)
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
