"""Graders for `GradePassages`: a chat model, a reranker, or the likeness of question and passage."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel

from freehold.memory.indexed_text import indexed_text
from freehold.model_reply import Answer, yes_or_no
from freehold.nodes.sentences import sentences
from freehold.nodes.words import coverage, stems
from freehold.state import Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ModelGrader", "Reranker", "RerankerGrader", "SimilarityGrader"]

_INSTRUCTION = (
    "You check what a search found. Does the passage hold something that helps to answer the question? It need not "
    'hold the whole answer. Reply with {"relevant": "yes"} or {"relevant": "no"} and nothing else.'
)
_DOUBT = 0.5


class Relevance(BaseModel):
    """Whether the passage helps to answer the question."""

    relevant: Answer


@dataclass(frozen=True)
class ModelGrader:
    """Ask a chat model about each passage: yes is 1, no is 0, anything else counts as doubt, 0.5, and is kept.

    A model that can be held to a form is (a grammar does it for `ChatLlama`); of others the reply is read. The question
    stands before the passage, so that a local model reads it once for all passages.

    Raises:
        Exception: What the model raised, from `grade`.
    """

    model: BaseChatModel
    threshold: float = 0.5
    instruction: str = _INSTRUCTION
    at_once: int = 8
    """Most passages that are asked about at the same time."""

    async def grade(self, question: str, passages: Sequence[Passage]) -> list[float]:
        """1, 0.5 or 0 for each passage."""
        gate = asyncio.Semaphore(self.at_once)

        async def one(passage: Passage) -> float:
            async with gate:
                return await self._ask(question, passage)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(passage)) for passage in passages]
        except ExceptionGroup as failed:  # the others were cancelled; one error tells what is wrong
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _ask(self, question: str, passage: Passage) -> float:
        prompt: list[BaseMessage] = [
            SystemMessage(self.instruction),
            HumanMessage(f"Question: {question}\n\nPassage: {indexed_text(passage)}"),
        ]
        verdict = await yes_or_no(self.model, prompt, Relevance)
        return _DOUBT if verdict is None else float(verdict)


class Embedder(Protocol):
    """Anything that turns texts into vectors of length 1."""

    def embed(self, texts: Sequence[str]) -> Coroutine[Any, Any, NDArray[np.float32]]:
        """One row for each text."""
        ...


@dataclass(frozen=True)
class SimilarityGrader:
    """Grade by likeness, without a language model: 0.7 of meaning and 0.3 of the question's words that are there.

    Meaning is the cosine similarity of the question to the passage, or to the sentence of it that is nearest; sentences
    are embedded only where the whole passage does not reach the threshold. This tells what is about something else, not
    what comes close and lacks the answer: of 35 questions that Freehold's own pages answer the passage with the answer
    was kept for 34, of 30 about other things a passage was kept for one; of 100 claims whose abstract was taken out of
    SciFact a neighbour was kept for 54. A model or a reranker tells more.
    """

    embedder: Embedder
    threshold: float = 0.45
    language: str = "english"
    """Of stop words, word endings and abbreviations."""

    async def grade(self, question: str, passages: Sequence[Passage]) -> list[float]:
        """0 to 1 for each passage."""
        texts = [indexed_text(passage) for passage in passages]
        vectors = await self.embedder.embed([question, *texts])
        cosine = [max(0.0, float(vectors[0] @ vector)) for vector in vectors[1:]]
        asked = stems(question, self.language)
        words = [coverage(asked, stems(text, self.language)) for text in texts]
        unsure = [index for index in range(len(passages)) if _grade(cosine[index], words[index]) < self.threshold]
        parts = [
            (index, text[start:end])
            for index in unsure
            for text in [passages[index]["text"]]
            for start, end in sentences(text, self.language)
        ]
        if parts:
            nearest = (await self.embedder.embed([text for _, text in parts])) @ vectors[0]
            for (index, _), similarity in zip(parts, nearest, strict=True):
                cosine[index] = max(cosine[index], float(similarity))
        return [_grade(*pair) for pair in zip(cosine, words, strict=True)]


def _grade(cosine: float, words: float) -> float:
    return 0.7 * cosine + 0.3 * words


class Reranker(Protocol):
    """Anything that scores pairs of question and text, such as `LlamaReranker`."""

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """A score for each pair, higher is better."""
        ...


@dataclass(frozen=True)
class RerankerGrader:
    """Grade with a cross-encoder, which reads question and passage together."""

    reranker: Reranker
    threshold: float = 0.5
    """On the reranker's scale."""

    async def grade(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        """The reranker's score of each passage."""
        return await self.reranker.ascore([(question, indexed_text(passage)) for passage in passages])
