"""Similarity to known attacks: a message that means what an attack means is one, whatever its words."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from freehold.errors import GuardrailError

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from numpy import ndarray

__all__ = ["KnownAttacks"]

# An embedding of more says less about each part, and its time grows with the length.
_LONGEST = 300
# Shorter sentences are read with what follows them.
_SHORTEST = 60
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_WORD = re.compile(r"[a-z]{3,}")


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
        # Words of the attacks that no ordinary example has point to the part of a long text that is worth an embedding.
        self._telling = frozenset(_WORD.findall(" ".join(self._attacks).lower())) - frozenset(
            _WORD.findall(" ".join(self._ordinary).lower())
        )
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

        A text above 300 characters is judged by its first 300, by its last sentence and by the sentence with the most
        words that only attacks have, each for itself; the highest score counts. At most three embeddings; a shorter
        text is embedded as it is, so that a cache of embeddings knows it.
        """
        await self.warm()
        vectors = self._vectors
        assert vectors is not None  # noqa: S101 - warm() set it; tells the type checker
        queries = _unit([await self._embedder.aembed_query(part) for part in self._parts(text)])
        similarities = queries @ vectors.T
        attack = similarities[:, : len(self._attacks)].max(axis=1)
        if not self._ordinary:
            return float(attack.max())
        ordinary = similarities[:, len(self._attacks) :].max(axis=1)
        return float((attack - (ordinary - attack).clip(min=0.0)).max())

    def _parts(self, text: str) -> list[str]:
        """What is embedded of a text: all of a short one, at most three parts of a long one."""
        if len(text) <= _LONGEST:
            return [text]
        sentences = _sentences(text) or [text[:_LONGEST]]  # of nothing but line breaks, for example
        telling = max(sentences, key=lambda sentence: len(self._telling.intersection(_WORD.findall(sentence.lower()))))
        return list(dict.fromkeys([text[:_LONGEST], telling, sentences[-1]]))


def _sentences(text: str) -> list[str]:
    """The text in sentences of 60 to 300 characters; short ones are joined, long ones cut."""
    sentences: list[str] = []
    current = ""
    for sentence in _SENTENCE_END.split(text):
        current = f"{current} {sentence}".strip()
        if len(current) < _SHORTEST:
            continue
        sentences += [current[start : start + _LONGEST] for start in range(0, len(current), _LONGEST)]
        current = ""
    return [*sentences, current] if current else sentences


def _unit(vectors: Sequence[Sequence[float]]) -> ndarray[Any, Any]:
    import numpy as np

    matrix = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(matrix).all() or (norms == 0).any():
        raise GuardrailError("The embedder gave a vector that is zero or not finite; check the embedding model.")
    return np.asarray(matrix / norms)
