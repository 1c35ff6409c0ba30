"""Prebuilt graphs: factories that do no work at import. And `draw`, which shows any graph as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.graphs.assistant import create_assistant
    from freehold.graphs.drawing import draw
    from freehold.graphs.ingest import create_ingest

__all__ = ["create_assistant", "create_ingest", "draw"]

_HOMES = {"create_assistant": "assistant", "create_ingest": "ingest", "draw": "drawing"}


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'freehold.graphs' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"freehold.graphs.{_HOMES[name]}"), name)
