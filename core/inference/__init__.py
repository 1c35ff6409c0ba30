"""Local inference: a llama.cpp engine, a LangChain chat model and LangChain embeddings over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.inference.chat_model import ChatLlama
    from freehold.inference.embeddings import LlamaEmbeddings
    from freehold.inference.engine import Engine
    from freehold.inference.generation import GenerationChunk, GenerationRequest, GenerationResult
    from freehold.inference.gguf import ModelHeader, read_header, sha256

__all__ = [
    "ChatLlama",
    "Engine",
    "GenerationChunk",
    "GenerationRequest",
    "GenerationResult",
    "LlamaEmbeddings",
    "ModelHeader",
    "read_header",
    "sha256",
]

_HOMES = {
    "ChatLlama": "chat_model",
    "Engine": "engine",
    "GenerationChunk": "generation",
    "GenerationRequest": "generation",
    "GenerationResult": "generation",
    "LlamaEmbeddings": "embeddings",
    "ModelHeader": "gguf",
    "read_header": "gguf",
    "sha256": "gguf",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for: LangChain's base classes take half a second."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
