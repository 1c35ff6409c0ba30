"""The typed state that Freehold's nodes read and write: plain JSON values, so that a checkpoint can be read back."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

__all__ = [
    "AssistantState",
    "CacheOutcome",
    "Citation",
    "Decision",
    "Memory",
    "Passage",
    "VerdictRecord",
    "append",
]


class Decision(TypedDict):
    """What a node decided in this turn, and on which evidence."""

    node: str
    """Name of the node, such as `lookup_cache`."""
    decision: str
    """One word: `allowed`, `refused`, `masked`, `hit`, `miss`, `documents`, `stored`, ..."""
    reason: str
    """One sentence for a person."""
    score: NotRequired[float | None]
    """What was measured, where something was: a cosine similarity, a share, a count."""
    threshold: NotRequired[float | None]
    """What the score was held against, in the same unit."""
    milliseconds: NotRequired[float]
    """Wall-clock time in the node."""
    details: NotRequired[dict[str, Any]]
    """Further evidence, plain JSON."""


class Passage(TypedDict):
    """A piece of a document."""

    id: str
    text: str
    source: str
    """Path of the file, as it was ingested."""
    heading: str
    """Headings above the passage, outermost first, joined by " > "; empty where there are none."""
    page: int | None
    """Page, from 1, where the file has pages."""
    start: int
    """Offset of the passage's first character in the document's text."""
    end: int
    """Offset behind its last character."""
    score: float
    """Similarity to the question; see the retriever for its scale."""
    index: NotRequired[int]
    """Place among the document's passages, from 0."""
    section: NotRequired[int]
    """Place of its section among the document's sections, from 0: passages of one section share a heading path."""
    metadata: NotRequired[dict[str, Any]]
    """What filters can ask for, plain JSON: `format`, `modified`, and what the file says of itself."""
    rerank_score: NotRequired[float]
    """The reranker's score, 0 to 1, where one read the passage."""


class Citation(TypedDict):
    """A passage that the answer quotes or relies on."""

    number: int
    """The number in the answer's `[n]`."""
    source: str
    passage: str
    """Id of the passage."""
    heading: str
    page: int | None
    start: int
    end: int
    text: str


class Memory(TypedDict):
    """A fact about the user, from long-term memory."""

    id: str
    text: str
    score: float
    """Cosine similarity to the question, 0 to 1."""
    created_at: str
    """ISO 8601, UTC."""
    updated_at: NotRequired[str]
    """When its text last changed, where it did; ISO 8601, UTC."""
    expires_at: NotRequired[str]
    """When it is deleted, where it is; ISO 8601, UTC."""
    scope: NotRequired[Literal["user", "session", "agent"]]
    """Who sees it: every run of the user, those of one session, or those of one agent."""
    session_id: NotRequired[str]
    """The session that it belongs to, where its scope is one."""
    agent_id: NotRequired[str]
    """The agent that it belongs to, where its scope is one."""


class CacheOutcome(TypedDict):
    """What the response cache did in this turn; `ResponseCache.report` takes it."""

    outcome: Literal["hit", "miss", "skipped", "error"]
    tier: str | None
    """Tier that answered: `memory`, `exact`, `semantic` or `flight`."""
    situation: dict[str, str] | None
    """What the answer depends on besides the question, as it was when the cache was asked."""
    entry: str | None
    """Key of the answer that was served."""
    evidence: dict[str, Any] | None
    """What was found out about the earlier question that came nearest."""
    ticket: dict[str, Any] | None
    """Without a hit, what `StoreCache` needs to keep the answer and to give it to those who wait for it."""
    score: float | None
    """What decided, where the semantic tier was asked: a similarity, or the probability that the answer is right."""
    threshold: float | None


class VerdictRecord(TypedDict):
    """A guardrail's verdict, as state holds it."""

    surface: Literal["input", "output"]
    rail: str
    decision: Literal["allow", "block", "mask"]
    explanation: str
    failed: bool
    """True where the rail itself failed; a failing rail blocks."""


def append(left: list[Any] | None, right: list[Any] | None) -> list[Any]:
    """Reducer: the earlier items, then the new ones; None begins anew."""
    return [] if right is None else [*(left or []), *right]


class AssistantState(TypedDict, total=False):
    """State of the prebuilt assistant: `messages` goes in, the nodes write the rest, anew in each turn."""

    messages: Annotated[list[AnyMessage], add_messages]
    question: str
    """The newest user message after input rails: normalised and masked."""
    memories: list[Memory]
    passages: list[Passage]
    route: str
    """`direct`, `documents` or `refuse`."""
    answer: str
    citations: list[Citation]
    cache: CacheOutcome
    checked: int
    """How many of the thread's messages went through the input rails; like `messages`, it outlives the turn."""
    remembered: int
    """How many of the thread's messages were considered for long-term memory; it outlives the turn too."""
    remembered_for: dict[str, int]
    """Whose memories the turn's message may become, and from which message on each of them has been."""
    attempts: int
    """How many answers were generated in this turn."""
    verdicts: Annotated[list[VerdictRecord], append]
    decisions: Annotated[list[Decision], append]
