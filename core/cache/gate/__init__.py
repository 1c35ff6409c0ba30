"""The gate before a semantic hit: it refuses look-alikes that an encoder scores as the same question."""

from __future__ import annotations

from freehold.cache.gate.comparison import Comparison, compare, refusal

__all__ = ["Comparison", "compare", "refusal"]
