"""The ways in which models write tool calls into their text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FORMS", "HERMES", "LLAMA3", "MARKERS", "MISTRAL", "MISTRAL_ARGS", "ToolForm", "tool_instructions"]


@dataclass(frozen=True)
class ToolForm:
    r"""How a model writes calls: fixed texts around each call's name and its arguments, which are a JSON object.

    An answer with two calls reads `text marker opening before_name NAME before_arguments {...} after separator
    before_name NAME before_arguments {...} after end`.

    Example:
        >>> HERMES.call("add", {"a": 1})
        '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    """

    name: str
    marker: str
    """Ends the free text and begins the calls."""
    before_name: str
    before_arguments: str
    after: str
    separator: str = ""
    opening: str = ""
    end: str = ""
    leading: bool = False
    """The marker counts only where the answer begins: such models write text or calls, not both."""
    parallel: bool = True
    """Whether one answer may hold several calls."""

    def begin(self, name: str) -> str:
        """What stands before the first call's arguments."""
        return f"{self.marker}{self.opening}{self.before_name}{name}{self.before_arguments}"

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """One call as an answer holds it."""
        return f"{self.begin(name)}{json.dumps(arguments, ensure_ascii=False)}{self.after}{self.end}"


HERMES = ToolForm(
    name="hermes",
    marker="<tool_call>",
    before_name='\n{"name": "',
    before_arguments='", "arguments": ',
    after="}\n</tool_call>",
    separator="\n<tool_call>",
)
"""Hermes, Qwen 2.5 and 3, Granite 4; and every model whose chat template knows no tools."""

MISTRAL = ToolForm(
    name="mistral",
    marker="[TOOL_CALLS]",
    opening="[",
    before_name='{"name": "',
    before_arguments='", "arguments": ',
    after="}",
    separator=", ",
    end="]",
)
"""Mistral 7B 0.3 and Nemo."""

MISTRAL_ARGS = ToolForm(
    name="mistral-args",
    marker="[TOOL_CALLS]",
    before_name="",
    before_arguments="[ARGS]",
    after="",
    separator="[TOOL_CALLS]",
)
"""Devstral and Ministral 3."""

LLAMA3 = ToolForm(
    name="llama3",
    marker='{"name": "',
    before_name="",
    before_arguments='", "parameters": ',
    after="}",
    leading=True,
    parallel=False,
)
"""Llama 3.1 to 3.3."""

FORMS = (HERMES, MISTRAL, MISTRAL_ARGS, LLAMA3)
"""A template's form is the first whose text stands in what the template makes of a call."""

MARKERS = ("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]")
"""Parts of the texts above that some vocabularies hold as one token; some of those as control tokens."""


def tool_instructions(tools: list[dict[str, Any]]) -> str:
    """Tells a model whose chat template knows no tools which there are, in the words that Hermes models learnt."""
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    return (
        "# Tools\n\n"
        "You may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n"
        f"<tools>\n{listed}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n"
        '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )
