"""From a message to facts about its writer: with a chat model, or by rules alone."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from freehold.errors import SettingsError
from freehold.memory.admission import Proposal
from freehold.memory.statements import clauses, mentions_writer, questions, supports
from freehold.memory.told import told

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableConfig

__all__ = ["Extractor", "ModelExtractor", "StatementExtractor", "propose"]

logger = logging.getLogger(__name__)

_LONGEST_ANSWER = 20_000
"""Characters of an answer that are searched for JSON."""

_INSTRUCTION = "Extract the facts about the user as JSON."
_FORM = ' Answer with {"facts": ["..."]} alone: a short sentence for each fact that the message itself states.'
_ADVICE = (
    ' A fact is lasting, and a short sentence in the words of the message, without its subject: "Likes tea".'
    " Questions, requests and remarks about this conversation are no facts; the list may be empty."
)


class Extractor(Protocol):
    """Anything that finds the facts worth keeping in a message.

    One that also has `async examine(text, answer) -> Proposal` is told what the assistant said before, and says what it
    refused.
    """

    async def extract(self, text: str) -> list[str]:
        """The facts in a user's message, in their order; empty where there are none."""
        ...


async def propose(extractor: Extractor, text: str, answer: str = "") -> Proposal:
    """What any extractor finds in a message; the one that says what it refuses is asked for that too."""
    examine = getattr(extractor, "examine", None)
    if examine is None:
        return Proposal(await extractor.extract(text))
    found: Proposal = await examine(text, answer)
    return found


@dataclass(frozen=True)
class StatementExtractor:
    """Keep what a message states, in its own words; needs no model.

    Clauses in the first person stand one by one, other statements with the sentences that go on about them. Questions,
    greetings, requests and quotes of the assistant give nothing. Only the first 4,000 characters are read.

    Example:
        >>> import asyncio
        >>> asyncio.run(StatementExtractor().extract("Hi! I have a dog called Rex. The bin goes out on Monday. Right?"))
        ['I have a dog called Rex', 'The bin goes out on Monday']
    """

    max_facts: int = 8
    """Most pieces that are kept of one message."""
    max_characters: int = 300
    """Longer pieces are cut here."""

    def __post_init__(self) -> None:
        _check_limits(self.max_facts, self.max_characters)

    async def extract(self, text: str) -> list[str]:
        """The statements of the message."""
        return (await self.examine(text)).facts

    async def examine(self, text: str, answer: str = "") -> Proposal:
        """The statements of the message, and how many questions and words of the assistant it holds."""
        pieces, refused = told(text, answer)
        facts = [piece.text[: self.max_characters].strip() for piece in pieces]
        return Proposal(list(dict.fromkeys(facts))[: self.max_facts], refused + _asked(text))


@dataclass(frozen=True)
class ModelExtractor:
    """Ask a chat model for the facts, and keep those that the message bears out.

    A fact is kept where one clause of the message holds its content words, is as negative as the fact is, and does not
    speak of somebody else. Whatever else the message states is kept in its own words: a weak model, a failing one, or
    one that answers with anything but JSON loses nothing (the last two are logged). A model that is `capable` decides
    by itself what is not worth keeping. Messages that only ask, or that do not mention their writer, never reach the
    model.

    `ChatLlama` is held to the form by a grammar; other models are told the form, and read leniently.

    Example:
        >>> import asyncio
        >>> from langchain_core.language_models import FakeListChatModel
        >>> model = FakeListChatModel(responses=['{"facts": ["Name is Ada", "Lives on the moon"]}'])
        >>> found = asyncio.run(ModelExtractor(model).examine("My name is Ada, and I have a dog."))
        >>> found.facts, dict(found.refused)
        (['Name is Ada', 'I have a dog'], {'no_evidence': 1})
    """

    model: BaseChatModel
    max_facts: int = 8
    """Most facts that are kept of one message."""
    max_characters: int = 300
    """Longer facts are not kept; longer statements are cut here."""
    max_tokens: int = 256
    """Most tokens that `ChatLlama` may generate; other models keep their own limit."""
    capable: bool = False
    """Whether what the model leaves out is not kept either; the demonstration model knows a few kinds of facts only."""

    def __post_init__(self) -> None:
        _check_limits(self.max_facts, self.max_characters)

    async def extract(self, text: str) -> list[str]:
        """The facts that the message bears out, in the order of its clauses."""
        return (await self.examine(text)).facts

    async def examine(self, text: str, answer: str = "") -> Proposal:
        """The facts that the message bears out, and what was refused."""
        pieces, refused = told(text, answer)
        refused += _asked(text)
        said = ". ".join(piece.text for piece in pieces)
        proposed = await self._ask(said) if any(mentions_writer(piece.text) for piece in pieces) else []
        rest = proposed is None or not self.capable
        kept: list[str] = []
        borne_out: set[str] = set()
        for piece in pieces:
            facts = [fact for fact in proposed or () if any(supports(clause, fact) for clause in clauses(piece.text))]
            borne_out.update(facts)
            kept += facts or ([piece.text[: self.max_characters].strip()] if rest else [])
        for fact in set(proposed or ()) - borne_out:
            refused["assistant" if any(supports(clause, fact) for clause in clauses(answer)) else "no_evidence"] += 1
        fitting = [fact for fact in dict.fromkeys(kept) if len(fact) <= self.max_characters]
        refused["too_long"] += len(set(kept)) - len(fitting)
        return Proposal(fitting[: self.max_facts], +refused)

    async def _ask(self, text: str) -> list[str] | None:
        """What the model proposes; None where it failed."""
        try:
            return parse_facts(await self._answer(text))
        except Exception as error:  # noqa: BLE001 - the owner's own words are safer than nothing, whatever failed
            # The error's own text may quote the message.
            kind = type(error).__name__
            logger.warning("The model could not extract facts (%s); the message's own words are kept.", kind)
            return None

    async def _answer(self, text: str) -> str:
        from langchain_core.messages import HumanMessage, SystemMessage
        from langgraph.constants import TAG_NOSTREAM

        from freehold.inference import ChatLlama

        said = HumanMessage(text)
        quiet: RunnableConfig = {"tags": [TAG_NOSTREAM]}  # nobody waits for these tokens
        asked = _INSTRUCTION + (_ADVICE if self.capable else "")
        if not isinstance(self.model, ChatLlama):
            return str((await self.model.ainvoke([SystemMessage(asked + _FORM), said], quiet)).text)
        form = {"type": "json_object", "schema": self._schema()}
        held = self.model.bind(response_format=form, max_tokens=self.max_tokens, temperature=0.0)
        return str((await held.ainvoke([SystemMessage(asked), said], quiet)).text)

    def _schema(self) -> dict[str, Any]:
        facts = {"type": "array", "items": {"type": "string"}, "maxItems": self.max_facts}
        return {"type": "object", "properties": {"facts": facts}, "required": ["facts"], "additionalProperties": False}


def _asked(text: str) -> Counter[str]:
    """The questions of a message, as refused."""
    return +Counter(question=questions(text))


def parse_facts(answer: str) -> list[str]:
    """Read a model's answer leniently: the first JSON value in it, as `{"facts": [...]}` or a bare list.

    Entries may be strings, or objects with a `text` or `fact`; anything else is left out. An answer without a list is
    logged.

    Example:
        >>> parse_facts('Sure! {"facts": ["Likes tea", 7, {"text": "Lives in Porto"}]}')
        ['Likes tea', 'Lives in Porto']
    """
    value = _first_json(answer)
    if isinstance(value, dict):
        value = next((value[key] for key in ("facts", "memory", "memories") if key in value), None)
    if not isinstance(value, list):
        logger.warning("The model's answer of %d characters holds no list of facts.", len(answer))
        return []
    found = []
    for entry in value:
        text = entry.get("text", entry.get("fact")) if isinstance(entry, dict) else entry
        if isinstance(text, str) and text.strip():
            found.append(" ".join(text.split()).rstrip(".!;, "))
    return found


def _first_json(answer: str) -> object:
    decoder = json.JSONDecoder(strict=False)
    for start, character in enumerate(answer[:_LONGEST_ANSWER]):
        if character in "{[":
            try:
                return decoder.raw_decode(answer, start)[0]
            except (json.JSONDecodeError, RecursionError):
                continue
    return None


def _check_limits(max_facts: int, max_characters: int) -> None:
    if max_facts < 1 or max_characters < 1:
        raise SettingsError(f"max_facts={max_facts} and max_characters={max_characters}: both must be at least 1.")
