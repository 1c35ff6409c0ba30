"""Embeddings through llama.cpp: many texts in a batch, concurrent callers merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from langchain_core.embeddings import Embeddings

from freehold.errors import ModelFileError, UserError
from freehold.inference.embedding_worker import EmbeddingWorker
from freehold.inference.pooled_model import PooledModel
from freehold.inference.token_counter import TokenCounter
from freehold.inference.vector_cache import VectorCache
from freehold.portal import run_sync

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LlamaEmbeddings"]


class LlamaEmbeddings(PooledModel[str], Embeddings):
    """A GGUF embedding model as LangChain embeddings: vectors of length 1, so that a dot product is the cosine.

    The model loads on first use. A text longer than the model's context is cut to its beginning. Every method may be
    called from any thread and any event loop; the `a...` methods never block the loop.

    Args:
        path: The GGUF file.
        threads: Processor threads; by default those the process may use, at most 8; 1 for a small model.
        cache_size: Vectors kept, least recently used first out; 0 keeps none.
        before_load: Called before the weights load, in the model's own thread; what it raises goes to the callers.

    Raises:
        ModelFileError: The file is missing, truncated, not a GGUF, or not an embedding model.

    Example:
        >>> embeddings = LlamaEmbeddings("all-minilm-l6-v2.Q8_0.gguf")  # doctest: +SKIP
        >>> len(embeddings.embed_query("What does a heron eat?"))  # doctest: +SKIP
        384
    """

    _kind = "embedding model"

    def __init__(
        self,
        path: str | Path,
        *,
        threads: int | None = None,
        cache_size: int = 4096,
        before_load: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(path, threads=threads, cache_size=cache_size, before_load=before_load)
        if self._header.pooling == "rank":
            raise ModelFileError(
                f"{self._header.path} is a reranker and gives no embeddings. Choose an embedding model."
            )

        self._count = TokenCounter(self._header.path)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._header.embedding_length

    def _start_worker(self) -> EmbeddingWorker[str]:
        return EmbeddingWorker(self._header.path, self._threads, self._cache, self._before_load)

    @staticmethod
    def _key(item: str) -> bytes:
        return VectorCache.key(item)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, with those that the model puts around it; the weights need not be loaded."""
        return self._count(text)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the texts, one row each: shape (n, dimension), float32, length 1.

        Raises:
            ModelFileError: llama.cpp refuses the file.
            InferenceError: llama.cpp failed, or the model was closed.
        """
        if isinstance(texts, str):
            raise UserError("embed takes a list of texts, not one text: put it into a list.")
        rows = await self._rows(texts)
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.dimension)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of the texts, as lists."""
        rows: list[list[float]] = (await self.embed(texts)).tolist()
        return rows

    async def aembed_query(self, text: str) -> list[float]:
        """Vector of one text, as a list."""
        return (await self.aembed_documents([text]))[0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """`aembed_documents` for synchronous callers."""
        return run_sync(self.aembed_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """`aembed_query` for synchronous callers."""
        return run_sync(self.aembed_query(text))
