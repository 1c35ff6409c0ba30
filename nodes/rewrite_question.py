"""The node `RewriteQuestion`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, convert_to_messages
from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.model_reply import ASIDE, said
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.nodes.words import content_words, stems

__all__ = ["RewriteQuestion"]

_INSTRUCTION = (
    "A search for the user's last question found nothing that fits. Write one question to search for instead, which "
    "can be understood without the conversation: put in what words like 'it' and 'there' stand for, keep names and "
    "numbers, and choose the words that a document would use. Reply with that question alone."
)
_LONGEST = 500
_MOST_WORDS = 8
# "Sure! The rewritten question: ..."; not "What does the query: prefix do?", which is a question itself.
_PREFIX = re.compile(
    r"^(?!\W*(?:wh|how|is|are|do|does|did|can|could|may|must|should)).{0,60}?\b(?:question|query)\W*:\W*", re.IGNORECASE
)
_AROUND = " >\"'“”`*"
# What asks, and names nothing that could stand in a document.
_FILLER = (
    "please tell explain describe show know find look search want need say mean give help me wonder thank hello hi hey "
    "anything something information question answer document documents text passage whether else about okay "
    "can could would should may might must"
)


@dataclass(frozen=True, eq=False)
class RewriteQuestion(Node):
    """Put the question into other words, so that a second search may find what the first did not.

    Reads `question` (or `messages`), `messages`, `decisions`; writes `question` and `decisions`. A model makes a
    question that stands on its own, also of one that hangs on the turns before. Without a model, or where it fails,
    rules do: words that only ask go, and the words of the user's turn before come in front, as in historical query
    expansion (Lin et al., TOIS 2021). `messages` keep the user's own words.

    The decision is `rewritten`, or `unchanged` where nothing new came out; never is a text tried twice in a turn. The
    details hold the question as it was.

    Example:
        >>> turns = [("user", "Where is the boiler?"), ("ai", "In the cellar."), ("user", "Who cleans it?")]
        >>> RewriteQuestion()({"messages": turns})["question"]
        'boiler: Who cleans it?'
    """

    model: BaseChatModel | None = None
    """Writes the question; None leaves it to rules."""
    instruction: str = _INSTRUCTION
    history: int = 6
    """Most earlier messages of the thread that are read."""
    language: str = "english"
    """Of stop words and word endings, for the rules."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Ask the model, then the rules, for a text that was not tried yet."""
        question = newest_user_text(state)
        earlier = _earlier(state, self.history)
        tried = {_key(question), *(_key(text) for text in self._tried(state))}
        by_model, note = "", ""
        if self.model is not None:
            try:
                by_model = await self._ask(self.model, question, earlier)
            except Exception as error:  # noqa: BLE001 - a model that is down leaves it to the rules
                note = f" The model: {report_failure(self.node, error)}"
        for text, reason in ((by_model, "By the model."), (self._by_rules(question, earlier), f"By rules.{note}")):
            if text and _key(text) not in tried:
                return {"question": text, **_decided("rewritten", reason, question)}
        return _decided("unchanged", f"There is no other way to put it.{note}", question)

    def _tried(self, state: Mapping[str, Any]) -> list[str]:
        """Questions of this turn that were given up before."""
        made = (decision for decision in state.get("decisions") or () if decision["node"] == self.node)
        return [str(decision["details"]["question"]) for decision in made]

    async def _ask(self, model: BaseChatModel, question: str, earlier: Sequence[BaseMessage]) -> str:
        """The model's question; empty where its reply is no such thing."""
        turns = "\n".join(f"{'User' if m.type == 'human' else 'Assistant'}: {m.text}" for m in earlier)
        conversation = f"Conversation:\n{turns}\n\n" if turns else ""
        prompt = [SystemMessage(self.instruction), HumanMessage(f"{conversation}Last question: {question}")]
        lines = said(str((await model.ainvoke(prompt, ASIDE)).text)).splitlines()
        # A line that only announces the question is none.
        bare = [_PREFIX.sub("", line).strip(_AROUND) for line in lines]
        text = next((line for line in bare if line and not line.endswith(":")), "")
        return text if len(text) <= _LONGEST and content_words(text, self.language) else ""

    def _by_rules(self, question: str, earlier: Sequence[BaseMessage]) -> str:
        """The question with what the user spoke of before; where that is nothing new, its words alone."""
        filler = stems(_FILLER)
        known = filler | stems(question, self.language)
        topic: list[str] = []
        for message in reversed(earlier):
            if message.type == "human" and not topic:
                words = content_words(str(message.text), self.language)
                topic = [word for word in words if not stems(word, self.language) & known][:_MOST_WORDS]
        if topic:
            return f"{' '.join(topic)}: {question}"
        return " ".join(
            word for word in content_words(question, self.language) if not stems(word, self.language) & filler
        )


def _decided(decision: str, reason: str, question: str) -> dict[str, Any]:
    return {"decisions": [{"decision": decision, "reason": reason, "details": {"question": question}}]}


def _earlier(state: Mapping[str, Any], limit: int) -> list[BaseMessage]:
    """The newest messages before the one that is answered."""
    messages = [m for m in convert_to_messages(state.get("messages", [])) if m.type in ("human", "ai") and m.text]
    newest = max((index for index, message in enumerate(messages) if message.type == "human"), default=0)
    return messages[:newest][-limit:] if limit else []


def _key(text: str) -> str:
    """Equal for texts that differ in case, spaces and punctuation only."""
    return " ".join(re.findall(r"\w+", text.casefold()))
