"""The node `Generate`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    BaseMessageChunk,
    HumanMessage,
    SystemMessage,
    convert_to_messages,
    message_chunk_to_message,
)
from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.coordination.flights import Leading
from freehold.errors import InferenceError, UserError
from freehold.nodes.citations import cited
from freehold.nodes.finish import is_complete
from freehold.nodes.flight import flight_of
from freehold.nodes.node import Node, newest_user_text, report_failure
from freehold.state import Memory, Passage

__all__ = ["Generate", "Prompts"]


@dataclass(frozen=True)
class Prompts:
    """The instructions of the system message. The demonstration model knows these words and no others."""

    documents: str = "Answer from the context and cite it."
    direct: str = "You are a helpful assistant."
    context: str = "Context:"
    memories: str = "What is known about the user:"

    def system(self, passages: Sequence[Passage], memories: Sequence[Memory], route: str) -> str:
        """The system message for a route: instruction, passages numbered from 1, memories."""
        parts = [self.documents if route == "documents" else "" if memories else self.direct]
        if passages:
            numbered = [f"[{number}] {' '.join(p['text'].split())}" for number, p in enumerate(passages, 1)]
            parts.append("\n".join([self.context, *numbered]))
        if memories:
            parts.append("\n".join([self.memories, *(f"- {memory['text']}" for memory in memories)]))
        return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True, eq=False)
class Generate(Node):
    """Generate the answer with any LangChain chat model.

    Reads `question` (or `messages`), `messages`, `route`, `passages`, `memories`, `attempts`, `verdicts`; writes
    `answer`, `citations` (the passages that the answer cites as `[n]`), `messages`, `attempts`, `decisions`. Tokens
    stream where the graph streams messages. The decision is `generated`, `truncated` (the limit of tokens was reached,
    or a filter ended the answer), or `fell_back` (the model failed and the fallback answered).

    Raises:
        ContextLengthError: The question alone does not fit the model's context.
        Exception: What the model raised, where it fails and there is no fallback.
    """

    model: BaseChatModel
    fallback: BaseChatModel | None = None
    """Answers where the model fails."""
    prompts: Prompts = Prompts()
    history: int = 6
    """Most earlier messages of the thread that the model sees."""
    fits: Callable[[list[BaseMessage]], Awaitable[bool]] | None = None
    """Whether a prompt leaves room for an answer; where not, history and then the last passages are left out."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Build the prompt, ask the model, find the citations."""
        route = state.get("route") or "documents"
        passages: list[Passage] = list(state.get("passages") or ()) if route == "documents" else []
        memories: list[Memory] = list(state.get("memories") or ())
        prompt, used = await self._prompt(state, route, passages, memories)
        options = self._limit(runtime.context.budget)
        decision, reason = (
            "generated",
            f"{used} passages, {len(memories)} memories, {len(prompt) - 2} earlier messages.",
        )
        # A second attempt is not shared as it is written: those who wait have the first one's words already.
        seat = flight_of(state) if not state.get("attempts") else None
        if seat is not None and _is_own(state, route):
            seat.decline("The answer is for its own user.")
            seat = None
        try:
            message = await _answered(self.model, prompt, options, seat)
        except UserError:
            raise
        except Exception as error:
            if self.fallback is None:
                raise
            report_failure(self.node, error)
            if seat is not None:
                seat.decline("The model failed.")
            message = await self.fallback.ainvoke(prompt, **options)
            decision, reason = "fell_back", f"The model failed ({type(error).__name__}); the fallback answered."
        answer = str(message.text).strip()
        if not is_complete(message):
            decision, reason = "truncated", f"The answer was cut short. {reason}"
        attempts = state.get("attempts", 0)
        earlier = state["messages"][-1] if attempts and state.get("messages") else None
        replaced = earlier.id if isinstance(earlier, AIMessage) else message.id
        return {
            "answer": answer,
            "citations": cited(answer, passages[:used]),
            "messages": [message.model_copy(update={"content": answer, "id": replaced})],
            "attempts": attempts + 1,
            "decisions": [{"decision": decision, "reason": reason, "details": _measured(message)}],
        }

    def _limit(self, budget: int | None) -> dict[str, Any]:
        """The run's budget as an option of the model, where it is below the model's own limit."""
        own = getattr(self.model, "max_tokens", None)
        return {} if budget is None or (own is not None and own <= budget) else {"max_tokens": budget}

    async def _prompt(
        self, state: Mapping[str, Any], route: str, passages: Sequence[Passage], memories: Sequence[Memory]
    ) -> tuple[list[BaseMessage], int]:
        """The messages for the model, and how many passages are in them."""
        question = HumanMessage(newest_user_text(state))
        history = _history(state, self.history)
        note = _objection(state)
        while True:
            system = SystemMessage(self.prompts.system(passages, memories, route) + note)
            prompt = [system, *history, question]
            if self.fits is None or not (history or passages) or await self.fits(prompt):
                return prompt, len(passages)
            if history:
                history = history[2:]
            else:
                passages = passages[:-1]


async def _answered(
    model: BaseChatModel, prompt: list[BaseMessage], options: Mapping[str, Any], seat: Leading | None
) -> BaseMessage:
    """The model's answer; where others wait for it, they get its pieces as they come."""
    if seat is None:
        return await model.ainvoke(prompt, **options)
    whole: BaseMessageChunk | None = None
    async for chunk in model.astream(prompt, **options):
        whole = chunk if whole is None else whole + chunk
        if piece := str(chunk.text):
            seat.emit(piece)
    if whole is None:
        raise InferenceError("The model ended without an answer.")
    return message_chunk_to_message(whole)


def _is_own(state: Mapping[str, Any], route: str) -> bool:
    """Whether the answer is for this user alone: it draws on memories, or might have, had the user others."""
    shared = not state["cache"]["situation"]["user_id"]
    return bool(state.get("memories")) or (shared and route != "documents")


def _history(state: Mapping[str, Any], limit: int) -> list[BaseMessage]:
    """The newest whole turns before this one, at most `limit` messages."""
    messages = [m for m in convert_to_messages(state.get("messages", [])) if m.type in ("human", "ai")]
    newest = max((index for index, message in enumerate(messages) if message.type == "human"), default=0)
    earlier = [message for message in messages[:newest] if message.text][-limit:] if limit else []
    if earlier and earlier[0].type == "ai":
        earlier = earlier[1:]
    # As text alone: a picture in an earlier turn must not end a conversation with a model that only reads.
    return [HumanMessage(m.text) if m.type == "human" else AIMessage(m.text) for m in earlier]


def _objection(state: Mapping[str, Any]) -> str:
    """What the output check had against the answer before, as an instruction."""
    verdicts = [v for v in state.get("verdicts", ()) if v["surface"] == "output" and v["decision"] == "block"]
    return f"\n\nYour last answer was refused: {verdicts[-1]['explanation']} Answer without that." if verdicts else ""


def _measured(message: BaseMessage) -> dict[str, Any]:
    """Tokens and speed, where the model reports them."""
    usage = getattr(message, "usage_metadata", None) or {}
    metadata = message.response_metadata
    names = ("model_name", "finish_reason", "prefill_seconds", "seconds", "tokens_per_second")
    return {
        **{name: metadata[name] for name in names if name in metadata},
        **{name: usage[name] for name in ("input_tokens", "output_tokens") if name in usage},
    }
