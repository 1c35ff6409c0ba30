"""Documents, long-term memory and the semantic index, on one embedded Qdrant.

Names load on first use: importing this package loads neither qdrant nor mem0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.lazy import lazy_exports

if TYPE_CHECKING:
    from freehold.memory.chunking import split
    from freehold.memory.documents import Documents, Embedder
    from freehold.memory.edge_client import EdgeQdrantClient
    from freehold.memory.extraction import Extractor, ModelExtractor, StatementExtractor
    from freehold.memory.langgraph_store import QdrantStore
    from freehold.memory.loaders import LoadedDocument, find_documents, load
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
    "QdrantStore",
    "SemanticIndex",
    "StatementExtractor",
    "find_documents",
    "load",
    "split",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "DocumentRetriever": "freehold.memory.retriever",
        "Documents": "freehold.memory.documents",
        "EdgeQdrantClient": "freehold.memory.edge_client",
        "Embedder": "freehold.memory.documents",
        "Extractor": "freehold.memory.extraction",
        "LoadedDocument": "freehold.memory.loaders",
        "LongTermMemory": "freehold.memory.long_term",
        "ModelExtractor": "freehold.memory.extraction",
        "QdrantStore": "freehold.memory.langgraph_store",
        "SemanticIndex": "freehold.memory.semantic_index",
        "StatementExtractor": "freehold.memory.extraction",
        "find_documents": "freehold.memory.loaders",
        "load": "freehold.memory.loaders",
        "split": "freehold.memory.chunking",
    },
)
