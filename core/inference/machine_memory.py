"""How much memory models may take on this machine."""

from __future__ import annotations

from pathlib import Path

import psutil

__all__ = ["effective_budget", "machine_memory", "room_now"]

KEPT_FREE = 0.2
"""Share of the machine's memory that models leave to everything else."""

_CGROUPS = (  # version 2, then 1: limit, use, statistics
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def _container() -> tuple[int, int] | None:
    """The limit of the container that this process runs in, and what is left of it; None where there is no limit."""
    for folder, limit_file, used_file in _CGROUPS:
        try:
            limit = (folder / limit_file).read_text(encoding="ascii").strip()
            used = int((folder / used_file).read_text(encoding="ascii"))
            rows = dict(row.split() for row in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        except (OSError, ValueError):
            continue
        if limit.isdigit():
            cached = int(rows.get("inactive_file", 0)) + int(rows.get("active_file", 0))  # goes when memory is short
            return int(limit), max(0, int(limit) - used + cached)
    return None


def machine_memory() -> tuple[int, int]:
    """Bytes of memory, and how many of them can be had now; in a container, those of its limit."""
    memory = psutil.virtual_memory()
    total, available = int(memory.total), int(memory.available)
    container = _container()
    if container is not None and container[0] < total:
        total, available = container[0], min(available, container[1])
    return total, available


def effective_budget(model_memory: int) -> int:
    """Bytes that models may take together: `model_memory`, but never the last 20 % of the machine's memory."""
    return min(model_memory, int(machine_memory()[0] * (1 - KEPT_FREE)))


def room_now() -> int:
    """Bytes that models may still take at this moment, whatever else runs on the machine; 20 % of all stays free."""
    total, available = machine_memory()
    return max(0, available - int(total * KEPT_FREE))
