"""What a tool is called with, in one form, and whether that is all that it is given."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import partial
from typing import Any, get_args, get_type_hints

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, Tool
from pydantic import BaseModel

from freehold.cache.results.canonical import canonical_json
from freehold.cache.situation import digest

__all__ = ["arguments_digest", "injected", "takes_a_text"]

_nfc = partial(unicodedata.normalize, "NFC")


def arguments_digest(tool: BaseTool | None, arguments: Mapping[str, Any], salt: str = "") -> str:
    """64 hexadecimal characters for a tool's arguments: equal for calls that are the same to the tool.

    The order of arguments does not matter, nor whether a default was written out, whether a number came as 1 or 1.0,
    and in which Unicode form a text came (NFC counts).

    Raises:
        pydantic.ValidationError: The tool does not take these arguments.
        CacheKeyError: An argument has no stable form.

    Example:
        >>> from langchain_core.tools import tool
        >>> @tool
        ... def weather(city: str, days: int = 1) -> str:
        ...     "Tells the weather."
        ...     return "Rain."
        >>> arguments_digest(weather, {"city": "Kyiv"}) == arguments_digest(weather, {"days": 1.0, "city": "Kyiv"})
        True
    """
    written = canonical_json(_filled_in(tool, arguments), "arguments", text=_nfc)
    return digest([salt, written])


def _filled_in(tool: BaseTool | None, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments as the tool gets them, with its defaults."""
    if tool is None or takes_a_text(tool):
        return arguments
    schema = tool.tool_call_schema
    if isinstance(schema, dict):
        properties = schema.get("properties", {})
        return {name: kind["default"] for name, kind in properties.items() if "default" in kind} | dict(arguments)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return dict(schema.model_validate(dict(arguments)))
    return arguments


def injected(tool: BaseTool) -> list[str]:
    """The arguments that a tool is given by the graph and not by its caller: state, store, runtime, config, call id.

    Example:
        >>> from langchain_core.tools import tool
        >>> @tool
        ... def notes(topic: str, config: RunnableConfig) -> str:
        ...     "Reads notes."
        ...     return "None."
        >>> injected(notes)
        ['config']
    """
    found = set()
    if not takes_a_text(tool) and not isinstance(tool.args_schema, dict):
        every, called = tool.get_input_schema(), tool.tool_call_schema
        if not isinstance(called, dict) and issubclass(every, BaseModel) and issubclass(called, BaseModel):
            found = set(every.model_fields) - set(called.model_fields)
    functions = [getattr(tool, name) for name in ("func", "coroutine") if getattr(tool, name, None) is not None]
    for function in functions or [type(tool)._run]:  # noqa: SLF001 - what LangChain has a tool's class define
        found |= {name for name, hint in _hints(function).items() if name != "return" and _is_config(hint)}
    return sorted(found)


def takes_a_text(tool: BaseTool) -> bool:
    """Whether it is of the old kind that takes one text: its schema is that of the wrapping."""
    return isinstance(tool, Tool) and tool.args_schema is None


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # an annotation that cannot be looked up from here
        return dict(getattr(function, "__annotations__", {}))


def _is_config(hint: Any) -> bool:
    return hint is RunnableConfig or RunnableConfig in get_args(hint) or "RunnableConfig" in str(hint)
