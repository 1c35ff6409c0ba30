"""A tool with its results cached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from freehold.cache.results.tool_arguments import takes_a_text
from freehold.errors import SettingsError
from freehold.portal import InCaller, run_sync_with_caller

__all__ = ["CachedTool"]


class Ask(Protocol):
    """Gives a tool's result, by running it or otherwise."""

    def __call__(
        self, tool: BaseTool, given: Any, config: RunnableConfig | None, run: Callable[[], Awaitable[Any]]
    ) -> Coroutine[Any, Any, Any]: ...


class CachedTool(BaseTool):
    """Another tool, by its name and schema, that runs where its result is not known; `ToolResults.tool` makes it.

    Where the result is known, the tool does not run, and its callbacks hear nothing.
    """

    _tool: BaseTool = PrivateAttr()
    _ask: Ask = PrivateAttr()

    @classmethod
    def of(cls, tool: BaseTool, ask: Ask) -> CachedTool:
        """Wrap a tool.

        Raises:
            SettingsError: It takes a text and has no schema.
        """
        if takes_a_text(tool):
            raise SettingsError(f"The tool {tool.name} has no schema. Make it with @tool, or as a StructuredTool.")
        made = cls(
            name=tool.name,
            description=tool.description,
            args_schema=tool.args_schema or tool.get_input_schema(),
            return_direct=tool.return_direct,
            response_format=tool.response_format,
            tags=tool.tags,
            metadata=tool.metadata,
        )
        made._tool, made._ask = tool, ask
        return made

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002 - LangChain's
        """The result of a call, or of arguments; the tool runs in this thread."""

        def body(in_caller: InCaller) -> Coroutine[Any, Any, Any]:
            return self._ask(
                self._tool, input, config, lambda: in_caller(lambda: self._tool.invoke(input, config, **kwargs))
            )

        return run_sync_with_caller(body)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """As `invoke`, awaited."""
        return await self._ask(self._tool, input, config, lambda: self._tool.ainvoke(input, config, **kwargs))

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        return self.invoke(args[0] if args else kwargs)

    async def _arun(self, *args: Any, **kwargs: Any) -> Any:
        return await self.ainvoke(args[0] if args else kwargs)
