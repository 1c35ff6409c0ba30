"""Public types, pinned: mypy checks this file (`make types`); it is never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from langgraph.cache.base import BaseCache
from langgraph.graph import MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import CachePolicy

from freehold import AssistantState, Context, Settings, Workspace
from freehold.cache import CachedAnswer, Lookup, ResponseCache, Situation
from freehold.cache.results.langgraph_cache import LangGraphCache
from freehold.cache.results.message_key import MessageKey, chat_policy, message_key
from freehold.cache.results.tool_results import ToolResults
from freehold.coordination import AnswerStore, Flights
from freehold.graphs import create_assistant
from freehold.guardrails import Guardrail, Masked, PersonalDataMasker, Verdict
from freehold.inference import (
    ChatLlama,
    Engine,
    EngineStats,
    GenerationRequest,
    GenerationResult,
    LlamaEmbeddings,
    TokenLogprob,
)
from freehold.memory import DocumentRetriever, Documents, LongTermMemory
from freehold.models.catalog import CatalogEntry, ModelCatalog
from freehold.nodes import CheckInput, Generate, Retrieve, cached
from freehold.nodes.cached_subgraph import CachedSubgraph
from freehold.state import Citation, Decision, Memory, Passage


def workspace_resources(workspace: Workspace) -> None:
    """Each resource has the type that its page names."""
    assert_type(workspace.settings, Settings)
    assert_type(workspace.home, Path)
    assert_type(workspace.engine, Engine)
    assert_type(workspace.chat_model, ChatLlama)
    assert_type(workspace.embeddings, LlamaEmbeddings)
    assert_type(workspace.documents, Documents)
    assert_type(workspace.retriever, DocumentRetriever)
    assert_type(workspace.memory, LongTermMemory)
    assert_type(workspace.cache, ResponseCache)


def assistants(workspace: Workspace, model: BaseChatModel, retriever: BaseRetriever, rails: Guardrail) -> None:
    """The factory gives a compiled graph over the typed state and the run context."""
    assistant = create_assistant(workspace, model=model, retriever=retriever, guardrail=rails)
    assert_type(assistant, CompiledStateGraph[AssistantState, Context, Any, AssistantState])
    assistant.invoke({"messages": [{"role": "user", "content": "Hello"}]}, context=Context(user_id="ada"))


def state_keys(state: AssistantState) -> None:
    """The keys that a caller reads."""
    assert_type(state["answer"], str)
    assert_type(state["citations"], list[Citation])
    assert_type(state["passages"], list[Passage])
    assert_type(state["memories"], list[Memory])
    assert_type(state["decisions"], list[Decision])


def nodes(model: BaseChatModel, retriever: BaseRetriever, rails: Guardrail) -> None:
    """Nodes take LangChain's interfaces and small protocols, and give an update."""
    assert_type(Generate(model)({"messages": []}), dict[str, Any])
    Retrieve(retriever, limit=3, threshold=0.1)
    CheckInput(rails)


async def protocols(rails: Guardrail, cache: ResponseCache, situation: Situation) -> None:
    """What the protocols give."""
    assert_type(await rails.check_input("x"), Verdict)
    assert_type(await cache.lookup("x", situation), Lookup)
    assert_type(await cache.store("x", situation, CachedAnswer("x", "y")), bool)
    assert_type(PersonalDataMasker().mask("x"), Masked)


async def engine(engine: Engine) -> None:
    """What the engine takes and gives."""
    request = GenerationRequest("x", max_tokens=8, logprobs=2, deadline=1.5, priority=1, thread="t1")
    result = await engine.generate(request)
    assert_type(result, GenerationResult)
    assert_type(result.logprobs, tuple[TokenLogprob, ...])
    assert_type(engine.stats(), EngineStats)
    assert_type(engine.unload(), bool)


def models(workspace: Workspace) -> None:
    """The catalog and further models."""
    assert_type(workspace.models, ModelCatalog)
    assert_type(workspace.models.list(), tuple[CatalogEntry, ...])
    assert_type(workspace.load_model("qwen"), ChatLlama)


def chat(state: MessagesState) -> MessagesState:
    """A node of somebody's own."""
    return state


def caches(store: AnswerStore, flights: Flights, retriever: BaseRetriever) -> None:
    """A cached node and LangGraph's cache stand in anybody's graph."""
    node = cached(chat, store=store, keys=["messages"], scope="tenant", ttl_seconds=60, flights=flights)
    assert_type(node, CachedSubgraph)
    cached(Retrieve(retriever), store=store, name="retrieve", version="2", replay=False)
    cache: BaseCache[Any] = LangGraphCache(store, ttl_seconds=60)
    policy = chat_policy(60, keys=["messages"], normalise=True)
    assert_type(policy, CachePolicy[MessageKey])
    assert_type(message_key(1), str)
    graph = StateGraph(MessagesState).add_node("chat", chat, cache_policy=policy).add_node("again", node)
    graph.compile(cache=cache)


async def tool_results(store: AnswerStore, tool: BaseTool) -> None:
    """Results of tools stand in a `ToolNode`, and around one tool."""
    results = ToolResults(store, {"weather": 600.0}, scope="all")
    ToolNode([tool], wrap_tool_call=results.wrap, awrap_tool_call=results.awrap)
    assert_type(results.tool(tool), BaseTool)
    assert_type(await results.clear("weather"), int)
