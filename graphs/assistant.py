"""The prebuilt assistant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from freehold.cache import Situation, digest
from freehold.context import Context
from freehold.graphs.choice import Choice
from freehold.graphs.run_metrics import RunMetrics
from freehold.nodes import (
    BeginTurn,
    CheckInput,
    CheckOutput,
    Generate,
    LookupCache,
    Node,
    Prompts,
    RecallMemory,
    Refuse,
    Retrieve,
    SaveMemory,
    SelectRoute,
    StoreCache,
)
from freehold.state import AssistantState
from freehold.token_estimate import estimate_tokens

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.retrievers import BaseRetriever

    from freehold.guardrails.verdict import Guardrail
    from freehold.workspace import Workspace

__all__ = ["create_assistant"]


def create_assistant(  # noqa: PLR0913 - each is a part that a user may put in
    workspace: Workspace,
    *,
    model: BaseChatModel | None = None,
    retriever: BaseRetriever | None = None,
    guardrail: Guardrail | None = None,
    prompts: Prompts | None = None,
    cache_key: str | None = None,
    checkpointer: BaseCheckpointSaver[Any] | bool = True,
) -> CompiledStateGraph[AssistantState, Context, Any, AssistantState]:
    """An assistant that answers from the workspace's documents and from what it knows about the user.

    The input is `{"messages": [...]}` with the run context as `context`; the result is an `AssistantState`.

        check_input -> lookup_cache -> recall_memory + retrieve -> select_route -> generate -> check_output ->
        store_cache -> save_memory

    Args:
        workspace: Gives every resource that the arguments below do not replace.
        model: Generates; None is the workspace's local model.
        retriever: Finds passages; None searches the workspace's documents.
        guardrail: Checks input and output; None is the workspace's rails.
        prompts: The instructions to the model; None is the ones that the demonstration model knows.
        cache_key: Names your own model, retriever and guardrail and their versions in the keys of the response cache.
            Without it, an assistant with parts of your own does not use the cache: it could not tell when they change.
        checkpointer: Keeps the threads; True is the workspace's own, False keeps none.

    Example:
        >>> from freehold import Workspace
        >>> with Workspace("/tmp/freehold-example") as workspace:  # doctest: +SKIP
        ...     create_assistant(workspace).invoke({"messages": [("user", "Hello")]})["route"]
        'direct'
    """
    settings = workspace.settings
    local = workspace.chat_model
    own = any(part is not None for part in (model, retriever, guardrail))
    model, retriever, guardrail = model or local, retriever or workspace.retriever, guardrail or workspace.rails
    prompts = prompts or Prompts()
    situation = None if own and cache_key is None else _situation(workspace, prompts, cache_key or "")
    nodes: list[Node] = [
        BeginTurn(),
        CheckInput(guardrail),
        LookupCache(workspace.cache, lambda _: situation, scope=settings.cache_scope),
        RecallMemory(
            workspace.memory,
            settings.memories,
            settings.memory_threshold,
            settings.memory_tokens,
            local.engine.count_tokens if model is local else estimate_tokens,
        ),
        Retrieve(retriever, settings.passages, settings.passage_threshold, settings.rerank_threshold),
        SelectRoute(workspace.router, settings.route_threshold),
        Generate(
            model,
            fallback=local if model is not local else None,
            prompts=prompts,
            fits=local.fits if model is local else None,
        ),
        CheckOutput(guardrail),
        StoreCache(workspace.cache),
        SaveMemory(workspace.memory),
        Refuse(),
    ]
    graph: StateGraph[AssistantState, Context, Any, AssistantState] = StateGraph(AssistantState, Context)
    for node in nodes:
        graph.add_node(node.node, cast("Any", node))  # a Runnable over any mapping; the stub asks for the state
    _connect(graph)
    saver: BaseCheckpointSaver[Any] | None = workspace.checkpointer if checkpointer is True else checkpointer or None
    compiled = graph.compile(checkpointer=saver, name="assistant")
    return compiled.with_config(callbacks=[RunMetrics("assistant")])


def _situation(workspace: Workspace, prompts: Prompts, cache_key: str) -> Situation:
    """What an answer depends on that stays the same from run to run: the files of model and rails, and the settings."""
    from freehold.inference import sha256

    settings, path = workspace.settings, workspace.rails_path
    rules = [file.read_text("utf-8") for file in sorted(path.glob("*.y*ml") if path.is_dir() else [path])]
    return Situation(
        model=digest([sha256(workspace.model_path), cache_key]),
        prompt=digest(
            [
                repr(prompts),
                settings.passages,
                settings.passage_threshold,
                str(settings.embedding_model),
                str(settings.reranker),
                settings.rerank_threshold,
                settings.route_threshold,
            ]
        ),
        guardrails=digest(rules),
        sampling=digest([settings.max_tokens, settings.context_length]),
        documents=workspace.documents.collection,
    )


def _connect(graph: StateGraph[AssistantState, Context, Any, AssistantState]) -> None:
    """The edges, top to bottom as a turn runs."""
    graph.add_edge(START, "begin_turn")
    graph.add_edge("begin_turn", "check_input")
    graph.add_conditional_edges("check_input", Choice(_after_input), ["lookup_cache", "refuse"])
    graph.add_conditional_edges("lookup_cache", Choice(_after_lookup), ["check_output", "recall_memory", "retrieve"])
    graph.add_edge(["recall_memory", "retrieve"], "select_route")
    graph.add_conditional_edges("select_route", Choice(_after_route), ["generate", "refuse"])
    graph.add_edge("generate", "check_output")
    graph.add_conditional_edges("check_output", Choice(_after_output), ["generate", "refuse", "store_cache", END])
    graph.add_edge("store_cache", "save_memory")
    graph.add_edge("save_memory", END)
    graph.add_edge("refuse", END)


def _after_input(state: AssistantState) -> str:
    return "refuse" if state["route"] == "refuse" else "lookup_cache"


def _after_lookup(state: AssistantState) -> str | list[str]:
    return "check_output" if state["cache"]["outcome"] == "hit" else ["recall_memory", "retrieve"]


def _after_route(state: AssistantState) -> str:
    return "refuse" if state["route"] == "refuse" else "generate"


def _after_output(state: AssistantState) -> str:
    if state["route"] == "refuse":
        return "refuse"
    if state["decisions"][-1]["decision"] == "regenerate":
        return "generate"
    return END if state["cache"]["outcome"] == "hit" else "store_cache"
