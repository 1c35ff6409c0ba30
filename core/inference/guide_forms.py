"""The forms in which a caller says what a text must look like, as llguidance reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from freehold.errors import UserError

__all__ = ["gbnf_grammar", "guided_schema", "longest_step", "patterns_of", "schema_grammar"]

_OPTIONS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": True}
"""Written as `json.dumps` writes: models know that form best, and none can go on writing spaces for ever."""

_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"})
"""Formats that llguidance enforces. JSON Schema itself takes every format for a remark."""

_ONE = ("additionalProperties", "contains", "else", "if", "items", "not", "then")
_LIST = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_NAMED = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_SHAPES = frozenset({"$ref", "anyOf", "oneOf", "properties"})
_LOOKAROUND = re.compile(r"\(\?(?:[=!]|<[=!])")


def guided_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with the options of ours and without what llguidance cannot take though it can be said otherwise.

    What it allows is allowed by the given one too: an object that lists its `properties` gets no others, unless the
    schema says that it may; a branch of `anyOf` whose pattern looks around is left out where another remains. One
    keyword is not enforced: `uniqueItems`, which pydantic writes for a set; a set takes for one what comes twice.

    It can stand after `%json` in a Lark grammar.

    Raises:
        UserError: The schema is no object that JSON can hold.
    """
    try:
        copied = json.loads(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UserError(f"This JSON schema cannot be written as JSON: {error}.") from error
    if not isinstance(copied, dict):
        raise UserError(f"A JSON schema must be an object, not {copied!r}.")
    # An object that is met by several schemas at once may have the properties of each.
    closed = not _anywhere(copied, lambda node: "allOf" in node or len(_SHAPES & node.keys()) > 1)
    return {**_Preparation(copied, closed=closed).node(copied), "x-guidance": _OPTIONS}


def schema_grammar(guided: Mapping[str, Any]) -> str:
    """The grammar of a schema that `guided_schema` gave."""
    from llguidance import LLMatcher

    return LLMatcher.grammar_from_json_schema(json.dumps(guided))


def _anywhere(value: Any, holds: Any) -> bool:
    """Whether it holds for an object within this value; what only looks like a schema is taken for one."""
    if isinstance(value, dict):
        return bool(holds(value)) or any(_anywhere(part, holds) for part in value.values())
    return isinstance(value, list) and any(_anywhere(part, holds) for part in value)


class _Preparation:
    """Rewrites the schemas within one document; values such as `enum` and `default` stay as they are."""

    def __init__(self, document: dict[str, Any], *, closed: bool) -> None:
        self._document, self._closed = document, closed

    def node(self, given: Any) -> Any:
        """One schema, with those within it."""
        if not isinstance(given, dict):
            return given
        node = {key: value for key, value in given.items() if key != "uniqueItems"}
        if node.get("format") not in _FORMATS:
            node.pop("format", None)
        self._name_properties(node)
        if isinstance(node.get("oneOf"), list):
            self._choose_one(node)
        for key in _ONE:
            if isinstance(node.get(key), dict):
                node[key] = self.node(node[key])
        for key in _LIST:
            if isinstance(node.get(key), list):
                node[key] = [self.node(part) for part in node[key]]
        for key in _NAMED:
            if isinstance(node.get(key), dict):
                node[key] = {name: self.node(part) for name, part in node[key].items()}
        if isinstance(node.get("anyOf"), list):
            within = [part for part in node["anyOf"] if not _LOOKAROUND.search(_pattern(part))]
            node["anyOf"] = within or node["anyOf"]
        listed = node.get("properties")
        if self._closed and isinstance(listed, dict) and "patternProperties" not in node:
            required = node.get("required")
            if not isinstance(required, list) or all(name in listed for name in required):
                node.setdefault("additionalProperties", False)
        return node

    @staticmethod
    def _name_properties(node: dict[str, Any]) -> None:
        """Say `propertyNames` with what is enforced: pydantic writes it for a mapping with typed keys."""
        least, required = node.get("minProperties", 0), node.get("required", [])
        if isinstance(least, int) and isinstance(required, list) and least > max(1, len(required)):
            raise UserError(
                f"This JSON schema cannot be followed: minProperties={least} asks for names that differ, and nothing "
                "keeps a text from saying one twice. List the names under `required`, or leave minProperties out."
            )
        names, values = node.get("propertyNames"), node.get("additionalProperties", True)
        if not isinstance(names, dict) or {"properties", "patternProperties"} & node.keys():
            return
        if isinstance(names.get("enum"), list):
            node["properties"] = {name: values for name in names["enum"] if isinstance(name, str)}
        elif isinstance(names.get("const"), str):
            node["properties"] = {names["const"]: values}
        elif isinstance(names.get("pattern"), str) and not {"minLength", "maxLength"} & names.keys():
            node["patternProperties"] = {names["pattern"]: values}
        elif not names.keys() <= {"type", "title", "description"}:
            return
        if {"properties", "patternProperties"} & node.keys():
            node["additionalProperties"] = False
        del node["propertyNames"]

    def _choose_one(self, node: dict[str, Any]) -> None:
        """Make it plain that no two branches of `oneOf` hold at once: llguidance does not follow references there."""
        if "discriminator" in node and "anyOf" not in node:
            node["anyOf"] = node.pop("oneOf")
        else:
            node["oneOf"] = [self._resolved(part) for part in node["oneOf"]]

    def _resolved(self, part: Any) -> Any:
        """What a branch that is only a reference within the document refers to."""
        seen = set()
        while isinstance(part, dict) and part.keys() == {"$ref"} and str(part["$ref"]).startswith("#/"):
            if part["$ref"] in seen:
                return part
            seen.add(part["$ref"])
            target: Any = self._document
            for key in part["$ref"][2:].split("/"):
                key = key.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 - RFC 6901
                if not isinstance(target, dict) or key not in target:
                    return part
                target = target[key]
            part = target
        return part


def _pattern(part: Any) -> str:
    return str(part.get("pattern", "")) if isinstance(part, dict) else ""


_ESCAPED = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.)", re.DOTALL)
_GBNF = re.compile(
    r"""(?P<literal>"(?:\\.|[^"\\])*")|(?P<class>\[(?:\\.|[^\]\\])*\])|(?P<comment>\#[^\r\n]*)|(?P<any>\.)""", re.DOTALL
)
_ANY = "[\x01-\U0010ffff]"
"""Any character: the converter's own `.` leaves out the line's end."""


def _unescaped(match: re.Match[str]) -> str:
    """A character for its number: the converter cuts zeros off numbers, so that they no longer can be read."""
    digits = match[1] or match[2] or match[3]
    if digits is None:
        return match[0]
    number = int(digits, 16)
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise UserError(f"This GBNF grammar cannot be used: {match[0]} is no character.")
    if number < 0x20 or number == 0x7F:
        return {9: r"\t", 10: r"\n", 13: r"\r"}.get(number, f"\\x{number:02x}")
    return f"\\x{number:02x}" if chr(number) in '"\\[]^-/&~' else chr(number)


def _spelled(match: re.Match[str]) -> str:
    if match["any"]:
        return _ANY
    text = "" if match["comment"] else _ESCAPED.sub(_unescaped, match[0])
    # Twice the same of these would be set arithmetic in a class of llguidance's.
    return text.replace("&", r"\x26").replace("~", r"\x7e") if match["class"] else text


def gbnf_grammar(text: str) -> str:
    """The grammar of a GBNF text, as llama.cpp's `root ::= ...`.

    A repetition is read as far as it goes, as in a lexer: `[a-z]+ "x"` in a rule that refers to itself never sees its
    `x`. Token references such as `<[1000]>` are not known.

    Raises:
        UserError: The text is no GBNF, or has no rule `root`.
    """
    from llguidance.gbnf_to_lark import gbnf_to_lark

    try:
        return gbnf_to_lark(_GBNF.sub(_spelled, text))
    except UserError:
        raise
    except Exception as error:  # the converter raises bare exceptions
        raise UserError(f"This GBNF grammar cannot be used: {error}. Grammar: {text[:500]!r}") from error


_MINIMA = ("minItems", "minLength", "minProperties")
_REPEATED = re.compile(r"\{(\d{1,6})")


def longest_step(value: Any) -> int:
    """An estimate of the most tokens by which a single one can put off the end of a document of this schema.

    Everything in the schema that a value may have to hold is counted once, and once more for each time that the schema
    demands it: choices are not told apart, so that most schemas stay far below.
    """
    if isinstance(value, list):
        return sum(map(longest_step, value))
    if not isinstance(value, dict):
        return 0
    total = 4
    for key, part in value.items():
        if key in {"const", "enum"}:
            total += max((len(json.dumps(one)) for one in (part if key == "enum" and part else [part])), default=0)
        elif key == "pattern":
            total += len(str(part)) + sum(map(int, _REPEATED.findall(str(part))))
        elif key in {*_ONE, *_LIST}:
            total += longest_step(part)
        elif key in _NAMED and isinstance(part, dict):
            total += sum(len(name) // 4 + longest_step(one) for name, one in part.items())
    demanded = max((int(value[key]) for key in _MINIMA if isinstance(value.get(key), int)), default=1)
    return total * max(1, demanded) if "minItems" in value or "minProperties" in value else total + demanded


def patterns_of(value: Any) -> list[str]:
    """The patterns in a schema, without the signs for a string's beginning and end."""
    if isinstance(value, list):
        return [pattern for part in value for pattern in patterns_of(part)]
    if not isinstance(value, dict):
        return []
    found = [pattern for part in value.values() for pattern in patterns_of(part)]
    if isinstance(value.get("pattern"), str):
        found.append(value["pattern"].removeprefix("^").removesuffix("$"))
    return list(dict.fromkeys(found))
