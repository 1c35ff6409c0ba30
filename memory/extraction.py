"""From a message to facts about its writer: with a chat model, or by rules alone."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from freehold.errors import SettingsError
from freehold.memory.statements import clauses, is_about_writer, mentions_writer, statements, supports

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableConfig

__all__ = ["Extractor", "ModelExtractor", "StatementExtractor"]

logger = logging.getLogger(__name__)

_LONGEST_ANSWER = 20_000
"""Characters of an answer that are searched for JSON."""

_INSTRUCTION = "Extract the facts about the user as JSON."
_FORM = ' Answer with {"facts": ["..."]} alone: a short sentence for each fact that the message itself states.'


class Extractor(Protocol):
    """Anything that finds the facts worth keeping in a message."""

    async def extract(self, text: str) -> list[str]:
        """The facts in a user's message, in their order; empty where there are none."""
        ...


@dataclass(frozen=True)
class StatementExtractor:
    """Keep what a message says in the first person, word for word; needs no model.

    Questions, greetings and requests give nothing. Only the first 4,000 characters are read.

    Example:
        >>> import asyncio
        >>> asyncio.run(StatementExtractor().extract("Hi! I have a dog called Rex. What do dogs eat?"))
        ['I have a dog called Rex']
    """

    max_facts: int = 8
    """Most clauses that are kept of one message."""
    max_characters: int = 300
    """Longer clauses are cut here."""

    def __post_init__(self) -> None:
        _check_limits(self.max_facts, self.max_characters)

    async def extract(self, text: str) -> list[str]:
        """The first-person clauses of the message."""
        found = (clause[: self.max_characters].strip() for clause in clauses(text) if is_about_writer(clause))
        return list(dict.fromkeys(found))[: self.max_facts]


@dataclass(frozen=True)
class ModelExtractor:
    """Ask a chat model for the facts, and keep those that the message bears out.

    A fact is kept where one clause of the message holds its content words, is as negative as the fact is, and does not
    speak of somebody else. A first-person clause for which the model gave no such fact is kept word for word: a weak
    model, a failing one, or one that answers with anything but JSON loses nothing (the last two are logged). Messages
    that only ask, or that do not mention their writer, never reach the model.

    `ChatLlama` is held to the form by a grammar; other models are told the form, and read leniently.

    Example:
        >>> import asyncio
        >>> from langchain_core.language_models import FakeListChatModel
        >>> model = FakeListChatModel(responses=['{"facts": ["Name is Ada", "Lives on the moon"]}'])
        >>> asyncio.run(ModelExtractor(model).extract("My name is Ada, and I have a dog."))
        ['Name is Ada', 'I have a dog']
    """

    model: BaseChatModel
    max_facts: int = 8
    """Most facts that are kept of one message."""
    max_characters: int = 300
    """Longer facts are not kept; longer clauses are cut here."""
    max_tokens: int = 256
    """Most tokens that `ChatLlama` may generate; other models keep their own limit."""

    def __post_init__(self) -> None:
        _check_limits(self.max_facts, self.max_characters)

    async def extract(self, text: str) -> list[str]:
        """The facts that the message bears out, in the order of its clauses."""
        stated = clauses(text)
        if not any(mentions_writer(clause) for clause in stated):
            return []
        try:
            proposed = parse_facts(await self._ask(" ".join(statements(text))))
        except Exception as error:  # noqa: BLE001 - the owner's own words are safer than nothing, whatever failed
            # The error's own text may quote the message.
            kind = type(error).__name__
            logger.warning("The model could not extract facts (%s); the message's own words are kept.", kind)
            proposed = []
        kept: list[str] = []
        for clause in stated:
            facts = [fact for fact in proposed if len(fact) <= self.max_characters and supports(clause, fact)]
            if not facts and is_about_writer(clause):
                facts = [clause[: self.max_characters].strip()]
            kept.extend(facts)
        return list(dict.fromkeys(kept))[: self.max_facts]

    async def _ask(self, text: str) -> str:
        from langchain_core.messages import HumanMessage, SystemMessage
        from langgraph.constants import TAG_NOSTREAM

        from freehold.inference import ChatLlama

        said = HumanMessage(text)
        quiet: RunnableConfig = {"tags": [TAG_NOSTREAM]}  # nobody waits for these tokens
        if not isinstance(self.model, ChatLlama):
            return str((await self.model.ainvoke([SystemMessage(_INSTRUCTION + _FORM), said], quiet)).text)
        form = {"type": "json_object", "schema": self._schema()}
        held = self.model.bind(response_format=form, max_tokens=self.max_tokens, temperature=0.0)
        return str((await held.ainvoke([SystemMessage(_INSTRUCTION), said], quiet)).text)

    def _schema(self) -> dict[str, Any]:
        facts = {"type": "array", "items": {"type": "string"}, "maxItems": self.max_facts}
        return {"type": "object", "properties": {"facts": facts}, "required": ["facts"], "additionalProperties": False}


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
