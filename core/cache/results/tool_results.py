"""Results of tools, kept by the tool's name and its arguments."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.types import Command
from pydantic import ValidationError

from freehold.cache.results.cached_tool import CachedTool
from freehold.cache.results.packed import pack, serializer, unpack
from freehold.cache.results.resumed import is_resumed
from freehold.cache.results.scope import Scope, check_scope, scope_prefix
from freehold.cache.results.seldom import SeldomWarning
from freehold.cache.results.shared_results import Call, Made, SharedResults
from freehold.cache.results.tool_arguments import arguments_digest, injected
from freehold.coordination import AnswerStore, Flights
from freehold.errors import CacheKeyError, SettingsError
from freehold.portal import InCaller, run_sync_with_caller
from freehold.runtime import running

if TYPE_CHECKING:
    from langgraph.prebuilt.tool_node import ToolCallRequest

__all__ = ["ToolResults"]

_log = logging.getLogger(__name__)

R = TypeVar("R")
Result: TypeAlias = "ToolMessage | Command[Any]"


class ToolResults:
    """Answers a tool's call from a store where the same call was answered before, for the tools that are named.

    A call is the tool's name and its arguments, as `arguments_digest` writes them, in the scope of the run's context. A
    cached message gets the id of the new call. Where equal calls are in flight, one of them runs; when it fails, the
    others run by themselves, and its error goes to its own caller.

    Never kept: results of tools that are not named; errors, also those that come as a message; `Command` and lists of
    results; what cannot be serialised, the artifact included; results of a task that was resumed, in which a person may
    have answered an `interrupt`. A tool that the graph gives more than its arguments (state, store, runtime, config,
    the call's id) always runs, because its result may depend on them: it is a mistake to name it, and a warning says
    so. What a tool streams while it runs does not come again.

    Args:
        store: Where results lie; closed by whoever opened it.
        tools: How many seconds each tool's results live, by the tool's name. Name no tool that has effects.
        scope: Who shares results: the runs of one user, of a tenant, or all.
        version: Change it when the tools give something else for the same arguments.
        flights: Brings equal calls in flight together; None does so in this process, and one with a board across
            processes.

    Raises:
        SettingsError: A time is not above 0, or the scope is none.

    Example:
        >>> from freehold.coordination import MemoryStore
        >>> from langchain_core.tools import tool
        >>> asked = []
        >>> @tool
        ... def weather(city: str) -> str:
        ...     "Tells the weather."
        ...     asked.append(city)
        ...     return f"Rain in {city}."
        >>> results = ToolResults(MemoryStore(), {"weather": 600.0})
        >>> [results.tool(weather).invoke({"city": "Kyiv"}) for _ in range(2)], asked
        (['Rain in Kyiv.', 'Rain in Kyiv.'], ['Kyiv'])
    """

    def __init__(
        self,
        store: AnswerStore,
        tools: Mapping[str, float],
        *,
        scope: Scope = "user",
        version: str = "",
        flights: Flights | None = None,
    ) -> None:
        check_scope(scope)
        for name, ttl_seconds in tools.items():
            if not ttl_seconds > 0:
                raise SettingsError(f"A time of {ttl_seconds} seconds for {name} cannot be used: give more than 0.")
        self.tools = dict(tools)
        self._scope: Scope = scope
        self._version = version
        self._results = SharedResults(store, flights, tier="tool")
        self._warn = SeldomWarning(_log)

    async def awrap(self, request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Result]]) -> Result:
        """Give the result of a call: `ToolNode(tools, awrap_tool_call=results.awrap, wrap_tool_call=results.wrap)`."""
        call, runtime, tool = request.tool_call, request.runtime, request.tool
        if tool is not None and call["name"] in self.tools and (more := injected(tool)):
            self._warn("Results of %s are not kept: the graph gives it %s.", call["name"], ", ".join(more))
            return await execute(request)
        key = self._key(tool, call["name"], call["args"], "message", getattr(runtime, "context", None))
        if key is None:
            return await execute(request)
        config = getattr(runtime, "config", None)
        result: Result = await self._get(key, call["name"], config, lambda: execute(request))
        return _addressed(result, call["id"])

    def wrap(self, request: ToolCallRequest, execute: Callable[[ToolCallRequest], Result]) -> Result:
        """As `awrap`, for `ToolNode.invoke`: the tool runs in the calling thread."""

        def body(in_caller: InCaller) -> Coroutine[Any, Any, Result]:
            return self.awrap(request, lambda changed: in_caller(lambda: execute(changed)))

        return run_sync_with_caller(body)

    def tool(self, tool: BaseTool) -> BaseTool:
        """The same tool, of the same name and schema, with its results cached.

        Raises:
            SettingsError: The tool is not named among the tools, or is given more than its arguments, or takes a text
                without a schema.
        """
        if tool.name not in self.tools:
            raise SettingsError(
                f"The tool {tool.name} is not among those whose results may be kept: {sorted(self.tools)}."
            )
        if more := injected(tool):
            raise SettingsError(f"The tool {tool.name} cannot be cached: it is given {', '.join(more)} by the graph.")
        return CachedTool.of(tool, self._asked)

    async def clear(self, *names: str) -> int:
        """Forget the results of these tools, or of all; say how many there were.

        Raises:
            StorageError: The store cannot be reached.
        """
        return sum([await self._results.clear(_source(name)) for name in names or self.tools])

    async def _asked(
        self, tool: BaseTool, given: Any, config: RunnableConfig | None, run: Callable[[], Awaitable[Any]]
    ) -> Any:
        """The result of a tool that was invoked by itself, with a call or with its arguments."""
        is_call = isinstance(given, Mapping) and given.get("type") == "tool_call"
        arguments = given["args"] if is_call else given
        if not isinstance(arguments, Mapping):
            arguments = {next(iter(tool.args), "input"): arguments}
        runtime = running()
        context = runtime.context if runtime else None
        key = self._key(tool, tool.name, arguments, "message" if is_call else "content", context)
        if key is None:
            return await run()
        result = await self._get(key, tool.name, config, run)
        return _addressed(result, given["id"]) if is_call else result

    def _key(
        self, tool: BaseTool | None, name: str, arguments: Mapping[str, Any], kind: str, context: Any
    ) -> str | None:
        """Where the result lies; None where the call is not cached."""
        if name not in self.tools:
            return None
        try:
            digest = arguments_digest(tool, arguments, self._version)
        except ValidationError:  # the tool says what is wrong
            return None
        except CacheKeyError as error:
            self._warn("A result of %s is not kept: %s", name, error)
            return None
        return f"{scope_prefix(self._scope, context)}.tool.{name}.{kind}.{digest}"

    async def _get(self, key: str, name: str, config: RunnableConfig | None, run: Callable[[], Awaitable[R]]) -> R:
        async def make(_: Callable[[str], None]) -> Made[tuple[R]]:
            result = await run()
            data, reason = _kept(result, resumed=is_resumed(config))
            if data is None:
                _log.debug("What %s gave is not kept. %s", name, reason)
            return Made((result,), data, reason)

        call: Call[tuple[R]] = Call(key, make, _read, self.tools[name], _source(name), own=(Exception,))
        return (await self._results.get(call)).result[0]


def _kept(result: Any, *, resumed: bool) -> tuple[bytes | None, str]:
    """What is kept of a result; None and why where nothing is."""
    if resumed:
        return None, "It was resumed, so that an interrupt may have been answered in it."
    if isinstance(result, Command | list | tuple) and _holds_more(result):
        return None, "It is more than a result."
    if isinstance(result, ToolMessage) and result.status == "error":
        return None, "The tool failed."
    message, artifact = result, None
    if isinstance(result, ToolMessage):  # in the message, the serializer would forget the artifact's class
        message, artifact = result.model_copy(update={"artifact": None, "id": None}), result.artifact
    try:
        return pack(serializer(), {"result": message, "artifact": artifact}), ""
    except Exception as error:  # noqa: BLE001 - the serializer may raise anything
        return None, f"It cannot be serialised: {error}"


def _holds_more(result: Any) -> bool:
    return isinstance(result, Command) or any(isinstance(item, Command | ToolMessage) for item in result)


def _read(data: bytes) -> tuple[Any] | None:
    found = unpack(serializer(), data)
    if found is None or not isinstance(found[0], dict) or "result" not in found[0]:
        return None
    result = found[0]["result"]
    if isinstance(result, ToolMessage):
        result.artifact = found[0].get("artifact")
    return (result,)


def _addressed(result: R, call_id: str | None) -> R:
    """The result as the answer to a call."""
    if isinstance(result, ToolMessage) and result.tool_call_id != call_id:
        return result.model_copy(update={"tool_call_id": call_id})
    return result


def _source(name: str) -> str:
    return f"tool:{name}"
