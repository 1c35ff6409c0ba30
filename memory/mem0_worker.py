"""The one thread that calls mem0, which is imported and opened at first use."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from freehold.errors import FreeholdError, StorageError

if TYPE_CHECKING:
    import numpy as np
    from qdrant_client import QdrantClient

__all__ = ["Mem0Worker"]

T = TypeVar("T")


class Mem0Worker:
    """Runs work on mem0, a piece at a time and always on the same thread: mem0's own locks do not hold.

    Args:
        client: The Qdrant client; whoever opened it closes it, after this.
        compute: Computes the vector of a text.
        dimension: Length of a vector.
        folder: Where mem0's history database lies; made where it is missing.
        collection: Collection of the client.
        opened: Called with mem0 whenever it was opened.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what mem0 is made of
        self,
        client: QdrantClient,
        compute: Callable[[str], np.ndarray[Any, Any]],
        dimension: Callable[[], int],
        folder: Path,
        collection: str,
        opened: Callable[[Any], None],
    ) -> None:
        self._client, self._compute, self._dimension = client, compute, dimension
        self._folder, self._collection, self._opened = folder, collection, opened
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="freehold-memory")
        self._closing = threading.Lock()
        self._closed = False
        self._mem0: Any = None

    async def run(self, work: Callable[[Any], T]) -> T:
        """Do the work and give its result.

        Raises:
            StorageError: The store failed, or is closed.
        """
        with self._closing:
            if self._closed:
                raise StorageError(f"The long-term memory in {self._folder} is closed; open the workspace again.")
            future = self._executor.submit(self._guarded, work)
        return await asyncio.wrap_future(future)

    def reset(self) -> None:
        """Close mem0, so that the next work opens it anew; only work itself calls this."""
        if self._mem0 is not None:
            self._mem0.close()
            self._mem0 = None

    def close(self) -> None:
        """Finish what is under way and close mem0's database; the client stays open. May be called again."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            closing = self._executor.submit(self.reset)
        closing.result()
        self._executor.shutdown()

    def _guarded(self, work: Callable[[Any], T]) -> T:
        try:
            if self._mem0 is None:
                self._mem0 = self._open()
                self._opened(self._mem0)
            return work(self._mem0)
        except FreeholdError:
            raise
        except Exception as error:
            raise StorageError(
                f"The long-term memory in {self._folder} failed: {type(error).__name__}: {error}. "
                "Check the disk's space and rights."
            ) from error

    def _open(self) -> Any:
        from freehold.memory.erasure import finish_rewrite

        self._folder.mkdir(parents=True, exist_ok=True)
        with _mem0_directory(self._folder):
            from freehold.memory.mem0_parts import build_mem0
        for name in (self._collection, f"{self._collection}_entities"):
            finish_rewrite(self._client, name, self._folder)
        return build_mem0(self._client, self._compute, self._dimension(), self._collection, self._folder / "history.db")


@contextmanager
def _mem0_directory(folder: Path) -> Iterator[None]:
    """Give mem0's first import a folder that is gone afterwards: it writes an identifier there, for its telemetry."""
    before = os.environ.get("MEM0_DIR")
    with tempfile.TemporaryDirectory(dir=folder) as passing:
        os.environ["MEM0_DIR"] = passing
        try:
            yield
        finally:
            if before is None:
                del os.environ["MEM0_DIR"]
            else:
                os.environ["MEM0_DIR"] = before
