"""What this process takes from the machine."""

from __future__ import annotations

from functools import cache

import psutil

__all__ = ["resident_bytes", "resident_bytes_without_models"]


@cache
def _process() -> psutil.Process:
    return psutil.Process()


def resident_bytes() -> float:
    """Resident memory of this process in bytes, memory-mapped model files included."""
    return float(_process().memory_info().rss)


def resident_bytes_without_models() -> float:
    """Resident memory in bytes without the pages of memory-mapped GGUF files, which the system can drop at any time."""
    maps = _process().memory_maps(grouped=True) if hasattr(psutil.Process, "memory_maps") else []
    return resident_bytes() - sum(float(part.rss) for part in maps if str(part.path).endswith(".gguf"))
