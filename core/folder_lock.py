"""One owner per folder, across processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

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
        owner = folder / ".owner"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # memories and messages are nobody else's to read
            self._lock = FileLock(folder / ".lock", thread_local=False)
            self._lock.acquire(blocking=False)
            owner.write_text(str(os.getpid()), encoding="ascii")
        except Timeout as error:
            pid = owner.read_text(encoding="ascii", errors="replace").strip() if owner.exists() else ""
            raise WorkspaceLockedError(folder, int(pid) if pid.isdigit() else None) from error
        except OSError as error:
            raise WorkspaceError(
                f"The folder {folder} cannot be used: {error.strerror or error}. Choose another with FREEHOLD_HOME."
            ) from error

    def close(self) -> None:
        """Let go of the folder; may be called twice."""
        self._lock.release(force=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
