"""Prebuilt graphs: factories that do no work at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.graphs.assistant import create_assistant
    from freehold.graphs.ingest import create_ingest

__all__ = ["create_assistant", "create_ingest"]


def __getattr__(name: str) -> Any:
    """Load a factory from its module when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'freehold.graphs' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"freehold.graphs.{name.removeprefix('create_')}"), name)
