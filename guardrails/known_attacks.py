"""Similarity to known attacks: a message that means what an attack means is one, whatever its words."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from freehold.errors import GuardrailError

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from numpy import ndarray

__all__ = ["KnownAttacks"]


class KnownAttacks:
    """Examples of attacks as embeddings, and how near a text comes to the nearest of them.

    Args:
        embedder: Anybody's LangChain embeddings.
        attacks: Texts that are attacks.
        ordinary: Texts that look like them and are none; a text must be nearer to the attacks than to these.

    Raises:
        GuardrailError: No attack is given.

    Source: nearest-neighbour detection, as in vector-store scanners such as Vigil and Rebuff.
    """

    def __init__(self, embedder: Embeddings, attacks: Sequence[str], ordinary: Sequence[str] = ()) -> None:
        if not attacks:
            raise GuardrailError("The rail of known attacks has no examples; list some under known_attacks.attacks.")
        self._embedder = embedder
        self._attacks = tuple(attacks)
        self._ordinary = tuple(ordinary)
        self._vectors: ndarray[Any, Any] | None = None
        self._lock = threading.Lock()

    async def warm(self) -> None:
        """Embed the examples once; later calls return at once."""
        if self._vectors is not None:
            return
        vectors = _unit(await self._embedder.aembed_documents([*self._attacks, *self._ordinary]))
        with self._lock:
            self._vectors = vectors

    async def score(self, text: str) -> float:
        """Cosine similarity to the nearest attack, -1 to 1; less what the text is nearer to an ordinary example.

        Long texts are judged by their first 300 characters: attacks state themselves early, an embedding of more says
        less about each part, and its time grows with the length.
        """
        await self.warm()
        vectors = self._vectors
        assert vectors is not None  # noqa: S101 - warm() set it; tells the type checker
        query = _unit([await self._embedder.aembed_query(text[:300])])[0]
        similarities = vectors @ query
        attack = float(similarities[: len(self._attacks)].max())
        ordinary = float(similarities[len(self._attacks) :].max()) if self._ordinary else -1.0
        return attack - max(0.0, ordinary - attack)


def _unit(vectors: Sequence[Sequence[float]]) -> ndarray[Any, Any]:
    import numpy as np

    matrix = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(matrix).all() or (norms == 0).any():
        raise GuardrailError("The embedder gave a vector that is zero or not finite; check the embedding model.")
    return np.asarray(matrix / norms)
