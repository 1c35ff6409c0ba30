"""The node `CompressContext`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.nodes.sentences import Span, sentences
from freehold.state import Passage
from freehold.token_estimate import estimate_tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from freehold.nodes.sentence_selection import Sentence

__all__ = ["CompressContext", "Embedder"]


class Embedder(Protocol):
    """Anything that turns texts into vectors of length 1."""

    def embed(self, texts: Sequence[str]) -> Coroutine[Any, Any, NDArray[np.float32]]:
        """One row for each text."""
        ...


@dataclass(frozen=True, eq=False)
class CompressContext(Node):
    """Shorten the passages to a budget of tokens: the sentences that bear on the question stay.

    Reads `question` (or `messages`), `passages`; writes `passages` and `decisions`. Passages that fit are left as they
    are, and nothing is embedded. Otherwise sentences are kept by meaning and by words, none that says what another
    says, in the order of their documents, " … " where something between two was left out. A passage keeps its id,
    source, heading and offsets, so that a citation of it opens the right place, and each kept sentence stands in it to
    the letter; one that keeps no sentence goes. A single sentence beyond the budget is cut to its first words. This is
    extractive compression as in RECOMP (Xu, Shi and Choi, ICLR 2024), with a general embedding model.

    The decision is `kept`, `compressed` or `nothing` (there were no passages), its score the tokens and its threshold
    the budget. An embedder that is down leaves the choice to words, and the decision says so.

    Raises:
        ValueError: The budget is below 1.

    Example:
        >>> text = "The shed is green. The spare key hangs in the shed. Tea is in the kitchen. Mind the step."
        >>> passage = {"id": "1", "text": text, "source": "notes.md", "heading": "", "page": None}
        >>> passage |= {"start": 0, "end": len(text), "score": 0.9}
        >>> state = {"messages": [("user", "Where is the spare key?")], "passages": [passage]}
        >>> CompressContext(None, token_budget=10)(state)["passages"][0]["text"]
        'The spare key hangs in the shed.'
    """

    embedder: Embedder | None
    """Measures meaning; None leaves the choice to words."""
    token_budget: int = 2048
    """Most tokens of all passages together."""
    count_tokens: Callable[[str], int] = estimate_tokens
    """Tokens of a text, best by the model's own tokenizer; called in a thread."""
    language: str = "english"
    """Of stop words, word endings and abbreviations."""

    def __post_init__(self) -> None:
        if self.token_budget < 1:
            raise ValueError(f"token_budget={self.token_budget} cannot be used: give a number of tokens above 0.")

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Count, and where there is too much, choose sentences."""
        passages: list[Passage] = list(state.get("passages") or ())
        if not passages:
            return self._decided("nothing", "There are no passages.", 0)
        # Off the loop: a tokenizer may load its model first, and choosing among many sentences takes milliseconds.
        before = await asyncio.to_thread(self._total, passages)
        if before <= self.token_budget:
            return self._decided("kept", f"{before} tokens are within the budget.", before)
        spans, found = await asyncio.to_thread(self._sentences, passages)
        question, note = newest_user_text(state), ""
        vectors: NDArray[np.float32] | None = None
        if self.embedder is not None:
            try:
                vectors = await self.embedder.embed([question, *(sentence.text for sentence in found)])
            except Exception as error:  # noqa: BLE001 - an embedder that is down leaves the choice to words
                note = f" The embedder: {report_failure(self.node, error)} Chosen by words alone."
        shorter, kept = await asyncio.to_thread(self._shorter, question, passages, spans, found, vectors)
        after = await asyncio.to_thread(self._total, shorter)
        stayed = {passage["id"] for passage in shorter}
        return {
            "passages": shorter,
            **self._decided(
                "compressed",
                f"{kept} of {len(found)} sentences were kept, {after} of {before} tokens.{note}",
                after,
                tokens_before=before,
                dropped=[passage["id"] for passage in passages if passage["id"] not in stayed],
            ),
        }

    def _decided(self, decision: str, reason: str, tokens: int, **details: Any) -> dict[str, Any]:
        entry = {"decision": decision, "reason": reason, "score": tokens, "threshold": self.token_budget}
        return {"decisions": [{**entry, **({"details": details} if details else {})}]}

    def _total(self, passages: Sequence[Passage]) -> int:
        return sum(self.count_tokens(passage["text"]) for passage in passages)

    def _sentences(self, passages: Sequence[Passage]) -> tuple[list[list[Span]], list[Sentence]]:
        """Where the sentences of each passage are, and the sentences of all."""
        from freehold.nodes.sentence_selection import Sentence

        # A passage without a letter has no sentence; it is one whole, as far as it fits.
        spans = [sentences(passage["text"], self.language) or [(0, len(passage["text"]))] for passage in passages]
        return spans, [
            Sentence(text, number, index, self.count_tokens(text))
            for number, passage in enumerate(passages)
            for index, (start, end) in enumerate(spans[number])
            for text in [passage["text"][start:end]]
        ]

    def _shorter(
        self,
        question: str,
        passages: Sequence[Passage],
        spans: Sequence[Sequence[Span]],
        found: Sequence[Sentence],
        vectors: NDArray[np.float32] | None,
    ) -> tuple[list[Passage], int]:
        """The passages with the sentences that are worth their tokens, and how many those are."""
        from freehold.nodes import sentence_selection as selection

        cosine = None if vectors is None else vectors[1:] @ vectors[0]
        scores = selection.relevance(question, found, cosine, self.language)
        similar = selection.similarity([sentence.text for sentence in found], vectors, self.language)
        mark = self.count_tokens(selection.ELISION)
        chosen = selection.select(found, scores, similar, self.token_budget, mark)
        while chosen:
            shorter = self._composed(passages, spans, [found[index] for index in chosen])
            if self._total(shorter) <= self.token_budget:
                return shorter, len(chosen)
            chosen.pop()  # a tokenizer need not count a whole as the sum of its parts
        best = found[int(scores.argmax())]
        text = selection.cut(best.text, lambda text: self.count_tokens(text) <= self.token_budget)
        return [{**passages[best.passage], "text": text}], 1

    @staticmethod
    def _composed(
        passages: Sequence[Passage], spans: Sequence[Sequence[Span]], kept: Sequence[Sentence]
    ) -> list[Passage]:
        from freehold.nodes.sentence_selection import compose

        places: dict[int, list[int]] = {}
        for sentence in kept:
            places.setdefault(sentence.passage, []).append(sentence.index)
        return [
            {**passage, "text": compose(passage["text"], spans[number], sorted(places[number]))}
            for number, passage in enumerate(passages)
            if number in places
        ]
