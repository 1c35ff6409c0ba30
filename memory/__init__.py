"""Documents, long-term memory and the semantic index, on one embedded Qdrant.

Names load on first use: importing this package loads neither qdrant nor mem0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.memory.documents import Documents, Embedder
    from freehold.memory.edge_client import EdgeQdrantClient
    from freehold.memory.extraction import Extractor, ModelExtractor, StatementExtractor
    from freehold.memory.loaders import LoadedDocument
    from freehold.memory.long_term import LongTermMemory
    from freehold.memory.retriever import DocumentRetriever
    from freehold.memory.semantic_index import SemanticIndex

__all__ = [
    "DocumentRetriever",
    "Documents",
    "EdgeQdrantClient",
    "Embedder",
    "Extractor",
    "LoadedDocument",
    "LongTermMemory",
    "ModelExtractor",
    "SemanticIndex",
    "StatementExtractor",
    "find_documents",
    "load",
    "split",
]

_HOMES = {
    "DocumentRetriever": "freehold.memory.retriever",
    "Documents": "freehold.memory.documents",
    "EdgeQdrantClient": "freehold.memory.edge_client",
    "Embedder": "freehold.memory.documents",
    "Extractor": "freehold.memory.extraction",
    "LoadedDocument": "freehold.memory.loaders",
    "LongTermMemory": "freehold.memory.long_term",
    "ModelExtractor": "freehold.memory.extraction",
    "SemanticIndex": "freehold.memory.semantic_index",
    "StatementExtractor": "freehold.memory.extraction",
    "find_documents": "freehold.memory.loaders",
    "load": "freehold.memory.loaders",
    "split": "freehold.memory.chunking",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'freehold.memory' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
