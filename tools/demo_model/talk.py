"""Dialogues about the user and small talk: recall of facts, extraction, acknowledgement, greetings."""

from __future__ import annotations

import random
from collections.abc import Callable

from .dialogue import Dialogue, Turn
from .facts import ACKNOWLEDGED, UNKNOWN, Fact, clash, make_fact, make_facts, message, recall_lines, to_json
from .phrases import TALK, USER

__all__ = ["EXTRACT", "PLAIN_SYSTEM", "SMALL_MODEL", "Answered", "Talk"]

SMALL_MODEL = "I am a small demonstration model. Load a larger model for real work."
PLAIN_SYSTEM = "You are a helpful assistant."
EXTRACT = "Extract the facts about the user as JSON."

Answered = tuple[str, str, str]
"""What the user says, the answer, and its kind."""


class Talk:
    """Makes dialogues that need no passages.

    Args:
        rng: Where chance comes from.
        document_question: Makes a question on some document, which nobody can answer without one.
        quoted: Makes such a question with its answer, as an earlier turn.
    """

    def __init__(
        self, rng: random.Random, document_question: Callable[[], str], quoted: Callable[[], tuple[str, str]]
    ) -> None:
        self.rng = rng
        self._document_question = document_question
        self._quoted = quoted

    def personal(self, facts: list[Fact]) -> Answered:
        """A question about the user: mostly one that the facts answer, if there are any."""
        if facts and self.rng.random() < 0.72:
            fact = self.rng.choice(facts)
            return self._worn(self.rng.choice(fact.questions)), fact.answer, "fact"
        other = make_fact(self.rng)
        while any(clash(other, fact) for fact in facts):
            other = make_fact(self.rng)
        return self._worn(self.rng.choice(other.questions)), UNKNOWN, "unknown_fact"

    def small(self) -> Answered:
        """A statement about oneself, a greeting, thanks, or a question about the assistant."""
        if self.rng.random() < 0.6:
            facts = make_facts(self.rng, self.rng.randint(1, 3))
            return message(facts, self.rng), ACKNOWLEDGED, "acknowledge"
        text, answer = self.rng.choice(TALK["chat"])
        return (text if self.rng.random() < 0.7 else text.lower().rstrip("!.?")), answer, "chat"

    def trivia(self) -> str:
        """A question about the world at large."""
        subjects = TALK["trivia_subjects"]
        return str(self.rng.choice(TALK["trivia"]).format(self.rng.choice(subjects), self.rng.choice(subjects)))

    def history(self) -> list[Turn]:
        """Earlier turns of the thread, often none: small talk, or a question on passages that are gone."""
        turns: list[Turn] = []
        while self.rng.random() < 0.15 and len(turns) < 4:
            question, answer = self._quoted() if self.rng.random() < 0.6 else self.small()[:2]
            turns += [("user", question), ("assistant", answer)]
        return turns

    def recall(self, branches: int = 4) -> list[Dialogue]:
        """Questions about what memory holds of the user, some about what it does not hold, and new statements."""
        rng = self.rng
        facts = make_facts(rng, rng.choices([1, 2, 3, 4, 5], weights=[3, 4, 4, 2, 1])[0])
        known, plain, chance = recall_lines(facts, rng), self._plain_system(), rng.random()
        system = known if chance < 0.6 else f"{plain}\n\n{known}" if chance < 0.9 else f"{known}\n\n{plain}"

        def one() -> Answered:
            chance = rng.random()
            if chance < 0.05:
                return rng.choice(USER["everything"]), " ".join(fact.answer for fact in facts), "fact"
            return self.personal(facts) if chance < 0.84 else self.small()

        return self._group(system, one, branches)

    def extraction(self, branches: int = 4) -> list[Dialogue]:
        """Messages of the user and the facts in them, as JSON; none in a fifth of them."""
        rng = self.rng

        def one() -> Answered:
            if rng.random() < 0.2:
                idle, chat = rng.choice(TALK["idle"]), rng.choice(TALK["chat"])[0]
                asked = rng.choice(make_fact(rng).questions)
                return rng.choice([idle, chat, self.trivia(), asked, self._document_question()]), to_json([]), "extract"
            facts = make_facts(rng, rng.choices([1, 2, 3, 4], weights=[4, 5, 3, 1])[0])
            return message(facts, rng), to_json(facts), "extract"

        return self._group(EXTRACT, one, branches, history=False)

    def chat(self, branches: int = 4) -> list[Dialogue]:
        """Small talk, statements and questions under a system message without passages or facts."""

        def one() -> Answered:
            chance = self.rng.random()
            if chance < 0.7:
                return self.small()
            if chance < 0.85:
                return self.personal([])
            return self.rng.choice([self.trivia(), self._document_question()]), SMALL_MODEL, "chat"

        return self._group(self._plain_system(), one, branches)

    def _plain_system(self) -> str:
        return PLAIN_SYSTEM if self.rng.random() < 0.5 else str(self.rng.choice(TALK["plain_systems"]))

    def _group(
        self, system: str, one: Callable[[], Answered], branches: int, *, history: bool = True
    ) -> list[Dialogue]:
        opening = (("system", system), *(self.history() if history else ()))
        made = [one() for _ in range(branches)]
        return [Dialogue((*opening, ("user", text)), answer, kind) for text, answer, kind in made]

    def _worn(self, question: str) -> str:
        chance = self.rng.random()
        if chance < 0.1:
            return question.lower()
        if chance < 0.2:
            return question.rstrip("?.")
        return (
            f"{self.rng.choice(['Hi!', 'And', 'Please,', 'So,', 'Hello,'])} {question}" if chance < 0.26 else question
        )
