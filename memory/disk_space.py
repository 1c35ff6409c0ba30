"""Room on the disk, asked for before the engine needs it.

The engine maps its files into memory. On a full disk a mapped page has no place to go, and the system ends the whole
process (SIGBUS) where an ordinary write would get an error. So whoever writes asks here first.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from freehold.errors import StorageError

__all__ = ["ROOM_TO_DELETE", "ROOM_TO_OPEN", "ROOM_TO_WRITE", "require_room"]

ROOM_TO_OPEN = 48 * 2**20
"""Bytes that opening a collection may take: the log that is read again, and a page of each file."""
ROOM_TO_DELETE = 96 * 2**20
"""Bytes below which nothing is deleted either; deleting is how a user makes room, and takes a little itself."""
ROOM_TO_WRITE = 160 * 2**20
"""Bytes below which nothing is written: the engine's log and its vectors grow by 32 MB at a time."""


def require_room(folder: Path, action: str, least: int) -> None:
    """Refuse an action while the disk is full.

    Args:
        folder: On the disk that is asked.
        action: What is refused, as a verb phrase, for the message.
        least: Bytes that must be free.

    Raises:
        StorageError: Fewer are.
    """
    free = shutil.disk_usage(folder).free
    if free < least:
        raise StorageError(
            f"The disk of {folder} is full: {free / 2**20:.0f} MB are free, and to {action} takes {least / 2**20:.0f}. "
            "Nothing was written and nothing is lost; make room and try again."
        )
