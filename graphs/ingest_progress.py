"""How far the runs of an ingest graph in this process are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Progress"]


@dataclass
class _Run:
    left: dict[int, int] = field(default_factory=dict)
    """Files left in each lane."""
    done: int = 0
    passages: int = 0


class Progress:
    """Counts over the lanes of each run, which share no state while they work. Safe in any thread.

    A resumed run is told of the lanes that still have work when they begin; the others have ended.
    """

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()

    def begin(self, run: str, lanes: dict[int, int]) -> None:
        """Note how many files are left in some lanes, unless that is known."""
        with self._lock:
            left = self._runs.setdefault(run, _Run()).left
            left.update((lane, files) for lane, files in lanes.items() if lane not in left)

    def tell(self, event: Mapping[str, Any], writer: Callable[[Any], None]) -> None:
        """Hand a lane's event on; that of a file gets the files and passages that are done in the whole run.

        Lanes are told one after the other, so that the counts only grow.
        """
        with self._lock:
            if event["event"] != "file":
                writer(event)
                return
            run = self._runs.setdefault(event["run"], _Run())
            lane, total = event["lane"], event["total"]
            run.left[lane] = max(0, run.left.get(lane, 0) - 1)
            run.done = max(run.done + 1, total - sum(run.left.values()))
            run.passages += event["passages"]
            told = {key: value for key, value in event.items() if key not in ("run", "lane")}
            writer({**told, "done": min(run.done, total), "passages": run.passages})

    def end(self, run: str) -> None:
        """Forget a run."""
        with self._lock:
            self._runs.pop(run, None)
