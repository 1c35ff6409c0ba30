"""Any node or subgraph, answered from a cache where it was given the same before."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, set_config_context
from langgraph.errors import GraphBubbleUp
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command
from typing_extensions import TypedDict

from freehold import metrics
from freehold.cache.results.message_key import MessageKey
from freehold.cache.results.packed import pack, serializer, unpack
from freehold.cache.results.resumed import is_resumed
from freehold.cache.results.scope import Scope, check_scope, scope_prefix
from freehold.cache.results.shared_results import Call, Made, SharedResults
from freehold.coordination import AnswerStore, Flights
from freehold.errors import SettingsError, UserError
from freehold.nodes.message_ids import message_ids, rename_messages
from freehold.nodes.playback import Player
from freehold.nodes.recording import Recorder
from freehold.nodes.task_config import inherited_tags, listening
from freehold.portal import InCaller, run_sync_with_caller
from freehold.runtime import running

__all__ = ["CachedSubgraph", "cached"]

_log = logging.getLogger(__name__)


class _AnyState(TypedDict):
    """A state of which nothing is known."""


Run: TypeAlias = Callable[[RunnableConfig], Awaitable[Any]]


@dataclass(frozen=True)
class _Result:
    """What a node gave, and what was about it."""

    value: Any
    pieces: list[str]
    """What it streamed, as a `Recorder` wrote it."""
    given: list[str | None]
    """Ids of the messages that it was given."""
    models: list[str]
    """Ids of the messages that models wrote in it."""


@dataclass(frozen=True)
class Policy:
    """How a node is cached."""

    name: str
    key: MessageKey
    ttl_seconds: float
    version: str
    scope: Scope
    replay: bool


class CachedSubgraph(Runnable[Any, Any]):
    """A node that is answered from a store where it was given the same before; `cached` makes it.

    It stands in any `StateGraph`, with `invoke` and `ainvoke`, and works by itself too. Where equal inputs are in
    flight, one of them runs and the others follow it. A follower that is cancelled disturbs nobody; a run that is
    cancelled or fails hands over to one that follows it; after a `UserError`, which every run would meet, and an
    `interrupt`, all go on by themselves. An error goes to its own caller and is never kept.

    What the node streams is kept with its result: on a hit, and for those who follow, custom events and the tokens of
    chat models come again, in their order, from this node. Tokens that did not stream come in words. Where a run hands
    over in the midst of streaming, its followers hear what the next one streams from the beginning, as with a node that
    is retried. Messages get new ids, except those that the node was given.

    Never kept, and never given to another run: a `Command`; a result behind an `interrupt`, or of any task that was
    resumed; an error; what cannot be serialised; a result that changes messages which `keys` leave out. A subgraph that
    has a checkpointer of its own remembers more than its input, and always runs. LangGraph does not see a subgraph
    through it: `get_state(config, subgraphs=True)` and pictures of the graph show one node.

    Attributes:
        name: What its entries are kept under.
    """

    def __init__(self, node: Callable[..., Any] | Runnable[Any, Any], results: SharedResults, policy: Policy) -> None:
        # As `add_node` makes it, so that a function is given everything that LangGraph gives to a node's parameters.
        made = StateGraph(_AnyState).add_node("node", node, input_schema=_AnyState).nodes["node"].runnable
        self.name = policy.name
        self._node = cast("Runnable[Any, Any]", made)
        self._remembers = isinstance(node, Pregel) and node.checkpointer not in (None, False)
        self._results = results
        self._policy = policy

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """Answer from the store, or run the node in this thread.

        Raises:
            CacheKeyError: The input cannot be a key.
            ScopeError: The scope is the user and the run's context names none.
            Exception: What the node raised.
        """

        def body(in_caller: InCaller) -> Coroutine[Any, Any, Any]:
            async def run(changed: RunnableConfig) -> Any:
                with set_config_context(changed) as context:
                    return await in_caller(lambda: context.run(self._node.invoke, input, changed))

            return self._answer(input, config, run)

        return run_sync_with_caller(body)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """As `invoke`, awaited."""

        async def run(changed: RunnableConfig) -> Any:
            with set_config_context(changed) as context:
                return await asyncio.create_task(self._node.ainvoke(input, changed), context=context)

        return await self._answer(input, config, run)

    async def clear(self) -> int:
        """Forget every result that is kept under this name, of all scopes; say how many there were.

        Raises:
            StorageError: The store cannot be reached.
        """
        return await self._results.clear(self._source)

    @property
    def _source(self) -> str:
        return f"node:{self.name}"

    async def _answer(self, input: Any, config: RunnableConfig | None, run: Run) -> Any:
        if self._remembers:
            metrics.cache_lookups().labels("node", "skipped").inc()
            return await run(ensure_config(config))
        runtime = running()
        place = runtime.execution_info.checkpoint_ns if runtime and runtime.execution_info else ""
        player = Player(serializer(), place)
        chosen = self._policy.key.chosen(input)
        given = message_ids(chosen)  # before the node runs, which may change what it is given

        async def make(emit: Callable[[str], None]) -> Made[_Result]:
            await player.finish()  # whom this run followed has given up
            tags = inherited_tags(config)
            others = set(message_ids(input)) - set(given)
            recorder = Recorder(emit, serializer(), checkpoint_ns=place, tags=tags, pieces=self._policy.replay)
            value = await run(listening(config, recorder))
            result = _Result(value, recorder.pieces, given, recorder.models)
            return self._made(result, others, recorder, resumed=is_resumed(config))

        prefix = scope_prefix(self._policy.scope, runtime.context if runtime else None)
        call = Call(
            f"{prefix}.node.{self.name}.{self._policy.key.digest(chosen, self._policy.version)}",
            make,
            _read,
            self._policy.ttl_seconds,
            self._source,
            hear=player.play,
            own=(UserError, GraphBubbleUp),
        )
        try:
            got = await self._results.get(call)
            if got.how == "made":
                return got.result.value
            if got.how == "hit":
                for piece in got.result.pieces:
                    await player.play(piece)
            await player.finish()
        finally:
            player.stop()
        here = {old: new for old, new in zip(got.result.given, given, strict=False) if old is not None}
        rename_messages(got.result.value, here | player.ids, got.result.models)
        return got.result.value

    def _made(
        self, result: _Result, others: Collection[str | None], recorder: Recorder, *, resumed: bool
    ) -> Made[_Result]:
        """The result, with what is kept of it.

        Args:
            result: What the node gave.
            others: Ids of the messages that the node was given and that are not part of the key.
            recorder: Listened to it.
            resumed: Whether the run went on with this node.
        """
        reason = recorder.lost
        if resumed or recorder.resumed:
            reason = "It was resumed, so that an interrupt may have been answered in it."
        elif _commands(result.value):
            reason = "It gave a Command, which is for its own run."
        elif not set(others).isdisjoint(identity for identity in message_ids(result.value) if identity is not None):
            reason = "It changed messages that are not part of the key."
        if not reason:
            try:
                return Made(result, pack(serializer(), vars(result)))
            except Exception as error:  # noqa: BLE001 - the serializer may raise anything
                reason = f"It cannot be serialised: {error}"
        _log.debug("What %s gave is not kept. %s", self.name, reason)
        return Made(result, None, reason)


def cached(  # noqa: PLR0913 - each is one decision about one node
    node: Callable[..., Any] | Runnable[Any, Any],
    *,
    store: AnswerStore,
    name: str | None = None,
    keys: Iterable[str] | None = None,
    ttl_seconds: float = 86_400.0,
    version: str = "",
    scope: Scope = "user",
    flights: Flights | None = None,
    replay: bool = True,
) -> CachedSubgraph:
    """Wrap a node so that the same input in the same scope runs it once.

    The key is made of the named keys of the state, with messages compared by what they say (`MessageKey`), and of the
    user and the tenant of the run's `Context`; a run without a context is the default user's. Whatever else the node
    looks at, such as LangGraph's store, the config or other parts of the context, must be in `keys` or in `version`.
    Do not wrap what has effects of its own: on a hit it does not run.

    Args:
        node: A function, sync or async, with any parameters that LangGraph gives; a Runnable; a compiled subgraph.
        store: Where results lie; closed by whoever opened it.
        name: What results are kept under; None is a function's module and name. Everything else needs one, because two
            closures, models or subgraphs may look alike and differ.
        keys: Keys of the state that the node reads; None is all of them.
        ttl_seconds: How long a result lives.
        version: Change it when the node gives something else for the same input.
        scope: Who shares results: the runs of one user, of a tenant, or all.
        flights: Brings equal inputs in flight together; None does so for this node in this process, and one with a
            board across processes.
        replay: Whether what the node streams is kept, and streamed again on a hit.

    Raises:
        SettingsError: An argument cannot be used, or the node needs a name.

    Example:
        >>> from freehold.coordination import MemoryStore
        >>> ran = []
        >>> def shout(state):
        ...     ran.append(state["word"])
        ...     return {"loud": state["word"].upper()}
        >>> node = cached(shout, store=MemoryStore(), name="shout", keys=["word"])
        >>> [node.invoke({"word": "shed", "turn": turn}) for turn in range(2)], ran
        ([{'loud': 'SHED'}, {'loud': 'SHED'}], ['shed'])
    """
    check_scope(scope)
    if not ttl_seconds > 0:
        raise SettingsError(f"ttl_seconds={ttl_seconds} cannot be used: give more than 0.")
    name = _name(node) if name is None else name
    policy = Policy(name, MessageKey(keys), ttl_seconds, version, scope, replay)
    return CachedSubgraph(node, SharedResults(store, flights, tier="node"), policy)


def _name(node: Any) -> str:
    qualified = getattr(node, "__qualname__", "")
    if not inspect.isfunction(node) or "<" in qualified:
        raise SettingsError(
            f"A {type(node).__name__} needs a name to be cached under: results are found again by it, and two that "
            "look alike may differ. Give name=..."
        )
    return f"{node.__module__}.{qualified}"


def _commands(value: Any) -> bool:
    return isinstance(value, Command) or (
        isinstance(value, list | tuple) and any(isinstance(item, Command) for item in value)
    )


def _read(data: bytes) -> _Result | None:
    found = unpack(serializer(), data)
    try:
        return _Result(**found[0]) if found is not None else None
    except TypeError:
        return None
