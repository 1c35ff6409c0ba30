"""Training examples for the demonstration model: quote the sentence that answers and cite it, or say what is not known.

Dialogues come in groups that share their beginning (the same passages under several questions), so that training reads
the passages once.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from .corpus import Chunk, Part
from .dialogue import Dialogue, Turn
from .facts import Fact, make_facts, recall_lines
from .phrases import TALK
from .questions import ask
from .search import Bm25, words
from .talk import Answered, Talk

__all__ = ["DOCUMENT_SYSTEM", "NOT_IN_DOCUMENTS", "Examples"]

NOT_IN_DOCUMENTS = "The documents do not say."
DOCUMENT_SYSTEM = "Answer from the context and cite it."

_Passage = tuple[str, list[str]]
"""A passage's text, and the sentences that can be quoted as they stand in it."""


class Examples:
    """Makes groups of dialogues from a collection of chunks.

    Args:
        chunks: The collection; a retriever would search all of it.
        seed: Where chance starts.
    """

    def __init__(self, chunks: list[Chunk], seed: int) -> None:
        self.chunks = chunks
        self.rng = random.Random(seed)
        self.index = Bm25([f"{chunk.heading}\n{chunk.text()}" for chunk in chunks])
        self.talk = Talk(self.rng, lambda: self._quoted()[0], self._quoted)
        self._by_source: dict[str, list[int]] = defaultdict(list)
        for number, chunk in enumerate(chunks):
            self._by_source[chunk.source].append(number)

    def group(self) -> list[Dialogue]:
        """Make one group: mostly documents, then facts, extraction and small talk."""
        chance = self.rng.random()
        if chance < 0.72:
            return self.documents()
        if chance < 0.83:
            return self.talk.recall()
        return self.talk.extraction() if chance < 0.94 else self.talk.chat()

    def documents(self, branches: int = 5) -> list[Dialogue]:
        """Questions on a few passages in the order that a retriever gives them, some without an answer there."""
        rng = self.rng
        target, first = self._target()
        scores = self.index.scores(first)
        numbers = self._retrieved(target, scores)
        passages = [self._passage(self.chunks[number]) for number in numbers]
        opening, before, facts = self._frame([text for text, _ in passages])
        out: list[Dialogue] = []
        for attempt in range(branches * 3):
            if len(out) == branches:
                break
            chance = rng.random()
            if chance < 0.08:
                made = self._unanswerable(passages, numbers, scores)
            elif chance < (0.24 if facts else 0.09):
                made = self.talk.personal(facts)
            else:
                made = self._answerable(passages, numbers.index(target) if attempt == 0 else None)
            # The same sentence twice would teach nothing new, unless the passages have no other.
            again = made and made[2] == "quote" and any(made[1] == one.answer for one in out)
            if made and not (again and attempt < branches * 2):
                out.append(Dialogue((*opening, ("user", before + made[0])), made[1], made[2]))
        if not out:
            return self.documents(branches)
        if not before and rng.random() < 0.12:
            out = _as_history(out)
        if rng.random() < 0.1:
            text, answer, kind = self.talk.small()
            out.append(Dialogue((*opening, ("user", text)), answer, kind))
        return out

    def _ask(self, sentence: str) -> str | None:
        return ask(sentence, self.rng, lambda word: self.index.rarity((words(word) or [word])[0]))

    def _target(self) -> tuple[int, str]:
        """A chunk, and a question that one of its sentences answers."""
        while True:
            number = self.rng.randrange(len(self.chunks))
            question = self._ask(self.rng.choice([part.text for part in self.chunks[number].parts if part.quotable]))
            if question:
                return number, question

    def _quoted(self) -> tuple[str, str]:
        """A question on some document and its answer, as an earlier turn."""
        while True:
            sentence = next(part.text for part in self.rng.choice(self.chunks).parts if part.quotable)
            question = self._ask(sentence)
            if question:
                found = f"{sentence} [{self.rng.choice([1, 1, 1, 2, 3])}]"
                return question, NOT_IN_DOCUMENTS if self.rng.random() < 0.2 else found

    def _retrieved(self, target: int, scores: NDArray[np.float64]) -> list[int]:
        """The target and its rivals: found by its words, from its document, or by chance; best score first, nearly."""
        rng = self.rng
        count = min(rng.choices([1, 2, 3, 4, 5], weights=[8, 10, 22, 42, 18])[0], len(self.chunks))
        best = [int(number) for number in scores.argsort()[::-1][:24]]
        same = self._by_source[self.chunks[target].source]
        chosen = {target}
        while len(chosen) < count:
            chance = rng.random()
            chosen.add(rng.choice(best if chance < 0.35 else same if chance < 0.7 else range(len(self.chunks))))
        # A real retriever errs: with this noise the right passage comes first two times in three.
        ranks = {number: scores[number] * rng.lognormvariate(0, 0.45) for number in sorted(chosen)}
        return sorted(ranks, key=lambda number: -ranks[number])

    def _passage(self, chunk: Chunk) -> _Passage:
        """A chunk as a prompt shows it: with or without marks, heading, line ends."""
        rng = self.rng
        parts = [
            Part(one.lead, self._linked(one.text) if one.quotable else one.text, one.quotable) for one in chunk.parts
        ]
        if rng.random() < 0.3:
            parts = [Part(one.lead, re.sub(r"`|\*\*|(?<!\w)\*|\*(?!\w)", "", one.text), one.quotable) for one in parts]
        text = "".join(one.lead + one.text for one in parts).strip()
        chance = rng.random()
        if chunk.heading and chance < 0.4:
            text = (
                f"{'#' * rng.randint(1, 3)} {chunk.heading}\n\n{text}" if chance < 0.32 else f"{chunk.heading}\n{text}"
            )
        # `Generate` puts each passage on one line; other people's prompts may not.
        flat = rng.random() < 0.7
        return (" ".join(text.split()) if flat else text), [one.text for one in parts if one.quotable]

    def _linked(self, sentence: str) -> str:
        """The sentence with one word as a Markdown link, now and then."""
        plain = [word for word in sentence.split() if word.isalpha() and len(word) > 4]
        if not plain or self.rng.random() > 0.04:
            return sentence
        word, ending = self.rng.choice(plain), self.rng.choice([".md", ".html", "/", ".md#usage"])
        return sentence.replace(word, f"[{word}]({word.lower()}{ending})", 1)

    def _frame(self, passages: list[str]) -> tuple[tuple[Turn, ...], str, list[Fact]]:
        """The messages before the question, what stands before it in its own message, and what is known of the user."""
        rng = self.rng
        glue = "\n\n" if rng.random() < 0.12 else "\n"
        context = "Context:\n" + glue.join(f"[{number}] {text}" for number, text in enumerate(passages, 1))
        instruction = DOCUMENT_SYSTEM if rng.random() < 0.75 else rng.choice(TALK["document_systems"])
        facts = make_facts(rng, rng.randint(1, 4)) if rng.random() < 0.2 else []
        known = recall_lines(facts, rng) if facts else ""
        if rng.random() < 0.15:
            system = "\n\n".join(filter(None, [instruction, known]))
            return (("system", system),), f"{context}\n\nQuestion: ", facts
        parts = [instruction, known, context] if rng.random() < 0.2 else [instruction, context, known]
        return (("system", "\n\n".join(filter(None, parts))), *self.talk.history()), "", facts

    def _overlap(self, question: str, sentence: str) -> float:
        return sum(self.index.rarity(word) for word in set(words(question)) & set(words(sentence)))

    def _answerable(self, passages: list[_Passage], place: int | None) -> Answered | None:
        """A question whose best sentence, by shared rare words, is the one it was made from; the earlier wins a tie."""
        rng = self.rng
        if place is None:
            place = rng.choices(range(len(passages)), weights=[(rank + 1) ** -2 for rank in range(len(passages))])[0]
        sentence = rng.choice(passages[place][1])
        question = self._ask(sentence)
        if not question:
            return None
        mine = self._overlap(question, sentence)
        if mine < 0.5 * self._overlap(question, question):
            return None
        for number, (_, sentences) in enumerate(passages):
            for other in sentences:
                theirs = self._overlap(question, other)
                if other != sentence and (theirs > mine or (theirs == mine and number < place)):
                    return None
        return question, f"{sentence} [{place + 1}]", "quote"

    def _unanswerable(
        self, passages: list[_Passage], numbers: list[int], scores: NDArray[np.float64]
    ) -> Answered | None:
        """A question on other chunks, near or far, or on nothing at all."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.15:
            return self.talk.trivia(), NOT_IN_DOCUMENTS, "unanswerable"
        near = [int(number) for number in scores.argsort()[::-1][:30] if number not in numbers]
        other = self.chunks[rng.choice(near) if near and chance < 0.5 else rng.randrange(len(self.chunks))]
        question = self._ask(rng.choice([part.text for part in other.parts if part.quotable]))
        if not question:
            return None
        best = max(self._overlap(question, text) for text, _ in passages)
        unknown = best < 0.4 * self._overlap(question, question)
        return (question, NOT_IN_DOCUMENTS, "unanswerable") if unknown else None


def _as_history(dialogues: list[Dialogue]) -> list[Dialogue]:
    """The same dialogues one after another, each with those before it as its history."""
    out = [dialogues[0]]
    for dialogue in dialogues[1:3]:
        history = (*out[-1].messages, ("assistant", out[-1].answer), dialogue.messages[-1])
        out.append(Dialogue(history, dialogue.answer, dialogue.kind))
    return out
