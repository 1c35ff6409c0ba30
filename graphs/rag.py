"""The prebuilt graph that answers from documents and checks what it found: corrective retrieval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from langchain_core.messages import AnyMessage, convert_to_messages
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from freehold.context import Context
from freehold.graphs.choice import Choice
from freehold.graphs.run_metrics import RunMetrics
from freehold.masking_serializer import MaskingSerializer
from freehold.nodes import BeginTurn, Generate, GradePassages, Node, Prompts, Retrieve
from freehold.nodes.check_citations import UNKNOWN, CheckCitations
from freehold.nodes.compress_context import CompressContext
from freehold.nodes.decisions import newest_decision
from freehold.nodes.graders import ModelGrader, RerankerGrader, SimilarityGrader
from freehold.nodes.node import newest_user_text
from freehold.nodes.rewrite_question import RewriteQuestion
from freehold.nodes.say_unknown import SayUnknown
from freehold.state import Citation, Decision, Passage, append
from freehold.token_estimate import estimate_tokens

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.retrievers import BaseRetriever

    from freehold.nodes.grade_passages import Grader
    from freehold.workspace import Workspace

__all__ = ["RagState", "create_rag"]

_INSTRUCTION = (
    "Answer from the context and cite it. Use nothing but the passages below, and put the number of the passage in "
    f"brackets behind each sentence, such as [1]. Where they do not hold the answer, reply: {UNKNOWN}"
)
_OWN_MODEL_BUDGET = 4096


class RagState(TypedDict, total=False):
    """State of the rag graph: `messages` goes in, the nodes write the rest, anew in each turn."""

    messages: Annotated[list[AnyMessage], add_messages]
    where: dict[str, Any] | None
    """Narrows the search, as `Retrieve` takes it; goes in too, and holds until another is given."""
    question: str
    """What was searched for last: the newest user message, or the question that it was rewritten to."""
    passages: list[Passage]
    """What the answer was made from: graded, and shortened where they were too long."""
    route: str
    """`documents`: the answer was generated from passages. `unanswered`: the documents do not hold it, or could not be
    searched."""
    answer: str
    citations: list[Citation]
    """The passages that the answer cites; empty where `route` is `unanswered`."""
    decisions: Annotated[list[Decision], append]


@dataclass(frozen=True, eq=False)
class ReadQuestion(BeginTurn):
    """Clear what the turn before left, mask user messages, and take the newest one as the question.

    Reads `messages`; writes every key of `RagState` but `where`: of `messages`, those that were masked. The checkpoints
    mask messages alone, and the question goes on into other keys.
    """

    mask: Callable[[str], str] | None = None
    """Gives a text as it may be kept; None leaves it as it is."""

    async def acall(self, state: Mapping[str, Any], runtime: Runtime[Context]) -> dict[str, Any]:
        """Clear the keys, set the question."""
        cleared = await super().acall(state, runtime)
        messages = convert_to_messages(state.get("messages", []))
        kept = messages if self.mask is None else MaskingSerializer(self.mask).masked(messages)
        masked = [after for before, after in zip(messages, kept, strict=True) if after != before]
        question = {"question": newest_user_text({"messages": kept})}
        return {**cleared, **question, **({"messages": masked} if masked else {})}


def create_rag(  # noqa: PLR0913 - each is a part that a user may put in
    workspace: Workspace,
    *,
    model: BaseChatModel | None = None,
    retriever: BaseRetriever | None = None,
    grader: Grader | None = None,
    token_budget: int | None = None,
    prompts: Prompts | None = None,
    checkpointer: BaseCheckpointSaver[Any] | bool = True,
) -> CompiledStateGraph[RagState, Context, Any, RagState]:
    """A graph that answers from documents, with citations, or says that they do not hold the answer.

        read_question -> retrieve -> grade_passages -> compress_context -> generate -> check_citations
                            ^              |
                            +- rewrite_question (once) or say_unknown, where no passage fits

    This is corrective retrieval (Yan et al. 2024) without a web search. The input is `{"messages": [...]}` with the run
    context as `context`; the result is a `RagState`. There are no guardrails, no memory of users and no response cache
    in it: `create_assistant` has them.

    Args:
        workspace: Gives every resource that the arguments below do not replace.
        model: Generates, grades and rewrites; None is the workspace's local model. Where yours fails to answer, the
            local model does, unless that is the demonstration model and the prompts are others than it knows.
        retriever: Finds passages; None searches the workspace's documents.
        grader: Says which passages bear on the question. None asks the model; where that is the demonstration model,
            which can only quote, the workspace's reranker, or likeness where it has none.
        token_budget: Most tokens of passages in the prompt. None is half of the local model's context, and 4,096 by
            estimate for a model of your own.
        prompts: The instructions to the model; None asks for citations, and for "The documents do not say." where
            the passages do not hold the answer.
        checkpointer: Keeps the threads; True is the workspace's own, False keeps none.

    Example:
        >>> from freehold import Workspace
        >>> with Workspace("/tmp/freehold-example") as workspace:  # doctest: +SKIP
        ...     create_rag(workspace).invoke({"messages": [("user", "Who cleans the burner?")]})["answer"]
        'The documents do not say.'
    """
    settings, local = workspace.settings, workspace.chat_model
    capable = model or (None if workspace.is_demonstration else local)
    embeddings = workspace.embeddings
    if prompts is None:
        prompts = Prompts(documents=_INSTRUCTION) if capable else Prompts()
    # The demonstration model knows its own words and no others; under others it quotes the instruction.
    stands_in = model is not None and (not workspace.is_demonstration or prompts == Prompts())
    if token_budget is None:
        token_budget = local.engine.context_length // 2 if model is None else _OWN_MODEL_BUDGET
    nodes: list[Node] = [
        ReadQuestion(workspace.mask),
        Retrieve(
            retriever or workspace.retriever,
            settings.passages,
            settings.passage_threshold,
            rerank_threshold=settings.rerank_threshold,
        ),
        GradePassages(grader or _grader(workspace, capable)),
        RewriteQuestion(capable),
        CompressContext(embeddings, token_budget, local.engine.count_tokens if model is None else estimate_tokens),
        Generate(
            model or local,
            fallback=local if stands_in else None,
            prompts=prompts,
            fits=local.fits if model is None else None,
        ),
        CheckCitations(),
        SayUnknown(),
    ]
    graph: StateGraph[RagState, Context, Any, RagState] = StateGraph(RagState, Context)
    for node in nodes:
        graph.add_node(node.node, cast("Any", node))  # a Runnable over any mapping; the stub asks for the state
    _connect(graph)
    saver: BaseCheckpointSaver[Any] | None = workspace.checkpointer if checkpointer is True else checkpointer or None
    return graph.compile(checkpointer=saver, name="rag").with_config(callbacks=[RunMetrics("rag")])


def _grader(workspace: Workspace, model: BaseChatModel | None) -> Grader:
    """The one that can tell most of what there is."""
    if model is not None:
        return ModelGrader(model)
    if workspace.reranker is not None:
        return RerankerGrader(workspace.reranker, workspace.settings.rerank_threshold)
    return SimilarityGrader(workspace.embeddings)


def _connect(graph: StateGraph[RagState, Context, Any, RagState]) -> None:
    """The edges, top to bottom as a turn runs."""
    graph.add_edge(START, "read_question")
    graph.add_conditional_edges("read_question", Choice(_after_question), ["retrieve", "say_unknown"])
    graph.add_edge("retrieve", "grade_passages")
    found = ["compress_context", "rewrite_question", "say_unknown"]
    graph.add_conditional_edges("grade_passages", Choice(_after_grades), found)
    graph.add_conditional_edges("rewrite_question", Choice(_after_rewriting), ["retrieve", "say_unknown"])
    graph.add_edge("compress_context", "generate")
    graph.add_edge("generate", "check_citations")
    graph.add_edge("check_citations", END)
    graph.add_edge("say_unknown", END)


def _after_question(state: RagState) -> str:
    return "retrieve" if state["question"].strip() else "say_unknown"


def _after_grades(state: RagState) -> str:
    if state["passages"]:
        return "compress_context"
    searched = newest_decision(state, "retrieve")
    down = searched is not None and searched["decision"] == "error"
    return "say_unknown" if down or newest_decision(state, "rewrite_question") else "rewrite_question"


def _after_rewriting(state: RagState) -> str:
    rewriting = newest_decision(state, "rewrite_question")
    return "retrieve" if rewriting is not None and rewriting["decision"] == "rewritten" else "say_unknown"
