"""Local inference: a llama.cpp engine, and over it LangChain's chat model, embeddings and cross-encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.lazy import lazy_exports

if TYPE_CHECKING:
    from freehold.inference.chat_model import ChatLlama
    from freehold.inference.embeddings import LlamaEmbeddings
    from freehold.inference.engine import Engine
    from freehold.inference.generation import GenerationChunk, GenerationRequest, GenerationResult, TokenLogprob
    from freehold.inference.gguf import ModelHeader, read_header, sha256
    from freehold.inference.reranker import LlamaReranker
    from freehold.inference.stats import EngineStats

__all__ = [
    "ChatLlama",
    "Engine",
    "EngineStats",
    "GenerationChunk",
    "GenerationRequest",
    "GenerationResult",
    "LlamaEmbeddings",
    "LlamaReranker",
    "ModelHeader",
    "TokenLogprob",
    "read_header",
    "sha256",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ChatLlama": "freehold.inference.chat_model",
        "Engine": "freehold.inference.engine",
        "EngineStats": "freehold.inference.stats",
        "GenerationChunk": "freehold.inference.generation",
        "GenerationRequest": "freehold.inference.generation",
        "GenerationResult": "freehold.inference.generation",
        "LlamaEmbeddings": "freehold.inference.embeddings",
        "LlamaReranker": "freehold.inference.reranker",
        "ModelHeader": "freehold.inference.gguf",
        "TokenLogprob": "freehold.inference.generation",
        "read_header": "freehold.inference.gguf",
        "sha256": "freehold.inference.gguf",
    },
)
