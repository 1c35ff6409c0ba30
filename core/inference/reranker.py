"""Reranking through llama.cpp: a cross-encoder reads query and passage together and says how well they fit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from langchain_core.cross_encoders import BaseCrossEncoder

from freehold.errors import ModelFileError
from freehold.inference.pooled_model import PooledModel
from freehold.inference.rerank_worker import RerankWorker
from freehold.portal import run_sync

__all__ = ["LlamaReranker"]


class LlamaReranker(PooledModel[tuple[str, str]], BaseCrossEncoder):
    """A GGUF cross-encoder with rank pooling, as LangChain's cross-encoder: a score from 0 to 1 for each pair of texts.

    Models of one logit (BERT, XLM-RoBERTa: bge-reranker, jina-reranker, MS MARCO's) give its sigmoid; those with a
    prompt of their own in the file (Qwen3-Reranker) the probability of "yes". What is too long for the context is cut
    at its end, the passage before the query. llama.cpp gives both segments of BERT the token type 0.

    The model loads on first use; pairs share batches, and concurrent callers are merged. Every method may be called
    from any thread and any event loop; `ascore` never blocks the loop.

    Args:
        path: The GGUF file.
        threads: Processor threads; by default those the process may use, at most 8; 1 for a small model.
        cache_size: Scores kept, least recently used first out; 0 keeps none.
        before_load: Called before the weights load, in the model's own thread; what it raises goes to the callers.

    Raises:
        ModelFileError: The file is missing, truncated, not a GGUF, or not a reranker.

    Example:
        >>> reranker = LlamaReranker("bge-reranker-v2-m3.Q8_0.gguf")  # doctest: +SKIP
        >>> reranker.score([("What does a heron eat?", "The grey heron eats fish.")])  # doctest: +SKIP
        [0.98]
    """

    _kind = "reranker"

    def __init__(
        self,
        path: str | Path,
        *,
        threads: int | None = None,
        cache_size: int = 4096,
        before_load: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(path, threads=threads, cache_size=cache_size, before_load=before_load)
        if self._header.pooling != "rank":
            raise ModelFileError(
                f"{self._header.path} is no reranker: its pooling is {self._header.pooling or 'not given'}, not rank. "
                "Choose a cross-encoder that was converted with rank pooling."
            )

    def _start_worker(self) -> RerankWorker:
        return RerankWorker(self._header.path, self._threads, self._cache, self._before_load)

    @staticmethod
    def _key(item: tuple[str, str]) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        for text in item:
            data = text.encode("utf-8", "replace")
            digest.update(len(data).to_bytes(8, "little") + data)
        return digest.digest()

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """How well the second text of each pair answers, or equals, the first: 0 to 1, in the order of the pairs.

        Raises:
            ModelFileError: llama.cpp refuses the file, or it gives several scores.
            InferenceError: llama.cpp failed, or the model was closed.
        """
        return [float(row[0]) for row in await self._rows([(first, second) for first, second in text_pairs])]

    def score(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """`ascore` for synchronous callers."""
        return run_sync(self.ascore(text_pairs))
