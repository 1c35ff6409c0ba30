"""Prebuilt graphs: factories that do no work at import. And `draw`, which shows any graph as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.lazy import lazy_exports

if TYPE_CHECKING:
    from freehold.graphs.assistant import create_assistant
    from freehold.graphs.drawing import draw
    from freehold.graphs.ingest import create_ingest
    from freehold.graphs.rag import create_rag

__all__ = ["create_assistant", "create_ingest", "create_rag", "draw"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "create_assistant": "freehold.graphs.assistant",
        "create_ingest": "freehold.graphs.ingest",
        "create_rag": "freehold.graphs.rag",
        "draw": "freehold.graphs.drawing",
    },
)
