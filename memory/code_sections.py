"""Where the classes and functions of source code begin and end, as tree-sitter's grammars read it."""

from __future__ import annotations

import bisect
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from freehold.memory.sections import Section, join_path

if TYPE_CHECKING:
    from tree_sitter import Language, Node

__all__ = ["code_sections"]

_GRAMMARS = {
    "c": ("tree_sitter_cpp", "language"),  # C is C++ as far as its outline goes
    "cpp": ("tree_sitter_cpp", "language"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "go": ("tree_sitter_go", "language"),
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "python": ("tree_sitter_python", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
}
"""Package and function of each language's grammar."""

_HOLDER = re.compile(
    r"(^|_)(class|struct|impl|interface|trait|module|mod|namespace|enum|object|record|union)"
    r"(_(definition|declaration|item|specifier))?$"
)
_FUNCTION = re.compile(
    r"(^|_)(function|method|constructor|destructor)(_(definition|declaration|item))?$|^type(_spec|_alias_declaration)$"
)
_WRAPPER = re.compile(r"^(export_statement|decorated_definition|template_declaration|type_declaration)$")
_BODY = re.compile(r"body|block|list$|^preproc_if")
_BEFORE = re.compile(r"comment|attribute|annotation|decorator")
_SAYS = re.compile(rb"(?!end\b)\b[A-Za-z_0-9\x80-\xff]")
_DEEPEST = 12
"""Definitions within definitions that are told apart."""


@cache
def _language(name: str) -> Language | None:
    """A grammar, where there is one."""
    if name not in _GRAMMARS:
        return None
    from tree_sitter import Language

    package, function = _GRAMMARS[name]
    return Language(getattr(importlib.import_module(package), function)())


def code_sections(text: str, language: str, fits: Callable[[str], bool]) -> list[Section]:
    """The classes and functions of a file, with what stands between them.

    Their heading is the path of names, `Store > open`. A class that fits is one section; of a larger one each method
    is. A comment or an attribute right above a definition belongs to it. None where the language has no grammar, or
    where the code is nested deeper than Python recurses, as generated code may be.

    Args:
        text: Source code.
        language: As `LANGUAGES` calls it.
        fits: Whether a part can stay whole.
    """
    grammar = _language(language)
    if grammar is None:
        return []
    from tree_sitter import Parser

    data = text.encode("utf-8", "surrogatepass")
    offset = _offsets(text, data)
    root = Parser(grammar).parse(data).root_node
    outline = _Outline(data, lambda start, end: fits(data[start:end].decode("utf-8", "replace")))
    parts: list[Part] = []
    try:
        found = list(outline.parts(root, (), 0, len(data)))
    except RecursionError:
        return []
    for path, start, end in found:
        if parts and not _SAYS.search(data, start, end):  # a bracket that closes what stands above
            parts[-1] = (*parts[-1][:2], end)
        else:
            parts.append((path, start, end))
    return [Section(join_path(list(path)), offset(start), offset(end)) for path, start, end in parts]


Part = tuple[tuple[str, ...], int, int]
"""Names, and offsets in bytes."""


@dataclass(frozen=True)
class _Outline:
    data: bytes
    fits: Callable[[int, int], bool]

    def parts(self, node: Node, path: tuple[str, ...], start: int, end: int) -> Iterator[Part]:
        """Every part between two offsets, in order, without gaps."""
        position = start
        for definition, first in _definitions(node):
            inner = _inner(definition)
            name = _name(inner)
            if definition.end_byte <= position or not name:
                continue
            begin = max(self._line_start(first), position)
            if begin > position:
                yield path, position, begin
            below = (*path, name)
            if _HOLDER.search(inner.type) and len(below) < _DEEPEST and not self.fits(begin, definition.end_byte):
                yield from self.parts(inner, below, begin, definition.end_byte)
            else:
                yield below, begin, definition.end_byte
            position = definition.end_byte
        if end > position:
            yield path, position, end

    def _line_start(self, offset: int) -> int:
        """The beginning of the line, where nothing but white space stands before."""
        line = self.data.rfind(b"\n", 0, offset) + 1
        return offset if self.data[line:offset].strip() else line


def _definitions(node: Node) -> Iterator[tuple[Node, int]]:
    """Definitions right below a node or in its bodies, and where their comments begin."""
    above: Node | None = None  # the first of the comments that stand line to line above
    last: Node | None = None
    for child in node.named_children:
        touches = last is not None and child.start_point[0] - last.end_point[0] <= 1
        if _BEFORE.search(child.type):
            above = above if above is not None and touches else child
            last = child
            continue
        if _defines(_inner(child)):
            yield child, above.start_byte if above is not None and touches else child.start_byte
        elif _BODY.search(child.type):
            yield from _definitions(child)
        above = last = None


def _defines(node: Node) -> bool:
    if _HOLDER.search(node.type):
        return node.child_by_field_name("body") is not None  # else it is only said that there is one
    if node.type == "variable_declarator":  # JavaScript: const area = (circle) => ...
        value = node.child_by_field_name("value")
        return value is not None and value.type in ("arrow_function", "function_expression")
    return bool(_FUNCTION.search(node.type))


def _inner(node: Node) -> Node:
    """The definition within an export, a decoration, a template or a declaration of variables."""
    for _ in range(4):
        if node.type == "lexical_declaration":
            found = node.named_children[0] if node.named_child_count == 1 else None
        elif _WRAPPER.match(node.type):
            found = next((child for child in node.named_children if _defines(_inner(child))), None)
        else:
            break
        if found is None:
            break
        node = found
    return node


def _name(node: Node) -> str:
    """What a definition is called, or an empty text."""
    found = node.child_by_field_name("name")
    if node.type.startswith("impl"):  # Rust: the type that it is for
        found = node.child_by_field_name("type")
    declarator = node.child_by_field_name("declarator")
    while found is None and declarator is not None:  # C: pointers and parameters stand around the name
        below = declarator.child_by_field_name("declarator")
        if below is None:
            found = declarator
        declarator = below
    return (found.text or b"").decode("utf-8", "replace") if found is not None else ""


def _offsets(text: str, data: bytes) -> Callable[[int], int]:
    """Offset in characters of an offset in bytes."""
    if len(text) == len(data):
        return lambda byte: byte
    marks = [0]  # bytes before every 256th character
    for at in range(0, len(text), 256):
        marks.append(marks[-1] + len(text[at : at + 256].encode("utf-8", "surrogatepass")))

    def offset(byte: int) -> int:
        block = min(bisect.bisect_right(marks, byte) - 1, len(marks) - 1)
        rest = data[marks[block] : byte].decode("utf-8", "surrogatepass")
        return block * 256 + len(rest)

    return offset
