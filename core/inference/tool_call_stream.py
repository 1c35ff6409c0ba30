"""Parts an answer, while it comes, into text and tool calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from freehold.inference.tool_forms import ToolForm

__all__ = ["CallPiece", "ParsedCall", "ToolCallStream"]


@dataclass(frozen=True)
class CallPiece:
    """Part of a call: its name and id first, then its arguments as they come."""

    index: int
    name: str | None = None
    id: str | None = None
    arguments: str = ""


@dataclass
class ParsedCall:
    """A call as far as it has come."""

    name: str
    id: str
    arguments: str = ""
    """JSON; whole where `complete` is set."""
    complete: bool = False


@dataclass
class _Object:
    """Finds the end of a JSON object, piece by piece."""

    closers: list[str] = field(default_factory=list)
    quoted: bool = False
    escaped: bool = False

    def take(self, text: str) -> int | None:
        """Read on; the place behind the object's end, or None where it goes on."""
        for place, character in enumerate(text):
            if self.escaped:
                self.escaped = False
            elif self.quoted:
                self.escaped = character == "\\"
                self.quoted = character != '"'
            elif character == '"':
                self.quoted = True
            elif character in "{[":
                self.closers.append("}" if character == "{" else "]")
            elif character in "}]":
                del self.closers[-1:]
                if not self.closers:
                    return place + 1
        return None

    def spoil(self) -> str:
        """What makes the part read so far invalid, whatever is added to it."""
        open_string = ("\\" if self.escaped else "") + '"' if self.quoted else ""
        wrong = "]" if not self.closers or self.closers[-1] == "}" else "}"
        return open_string + wrong


class ToolCallStream:
    r"""Takes an answer's text in pieces and gives what is certain of it: text to show, and pieces of calls.

    Where the pieces are cut makes no difference. What may become a marker is held back, and so are blanks before it.
    The grammar of `tool_grammar` has seen to it that what follows a marker is a call.

    Args:
        form: How the model writes calls; None takes everything as text.
        required: There is no text: what is left of an answer that was cut off within its first marker is dropped.

    Example:
        >>> from freehold.inference.tool_forms import HERMES
        >>> stream = ToolCallStream(HERMES)
        >>> stream.push('Let me see. <tool_')
        ['Let me see.']
        >>> [piece.name for piece in stream.push('call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>')]
        ['add', None]
        >>> stream.calls[0].arguments
        '{"a": 1}'
    """

    def __init__(self, form: ToolForm | None, *, required: bool = False) -> None:
        self._form, self._required = form, required
        self._pending = ""
        self._state = self._text
        self._object = _Object()
        self._begun = False
        self.calls: list[ParsedCall] = []
        """The calls that have begun."""

    @property
    def called(self) -> bool:
        """Whether there are calls and all of them, the one that may have begun without a name too, are whole."""
        return bool(self.calls) and self._state == self._between

    def push(self, text: str) -> list[str | CallPiece]:
        """Take more of the answer; return what is certain now."""
        self._pending += text
        found: list[str | CallPiece] = []
        state = None
        # Each state reads what it can and names the next one; one that stays wants more text.
        while state != self._state:
            state = self._state
            found += state()
        return found

    def finish(self) -> list[str | CallPiece]:
        """What was held back, at the answer's end.

        A call that is not whole gets a last piece that no JSON parser accepts: LangChain completes partial JSON, and a
        call must not run with half of its arguments.
        """
        rest, self._pending = self._pending, ""
        if self._state == self._text:
            return [rest] if rest and not self._required else []
        if self._form is not None and self._form.leading and not self.calls and not self._required:
            return _whole_json(self._form.marker + rest)  # JSON that only begins as a call does
        if self.calls and not self.calls[-1].complete:
            return [CallPiece(len(self.calls) - 1, arguments=self._object.spoil())]
        return []

    def _take(self, count: int) -> str:
        taken, self._pending = self._pending[:count], self._pending[count:]
        return taken

    def _text(self) -> Iterator[str | CallPiece]:
        """Free text, until a marker."""
        form = self._form
        if form is None or (form.leading and self._begun):
            certain = len(self._pending)
        else:
            at = self._pending.find(form.marker)
            if at >= 0 and not (form.leading and self._pending[:at].strip()):
                text = self._take(at).rstrip()
                self._take(len(form.marker))
                self._state = self._name
                if text:
                    yield text
                return
            certain = len(self._pending) - _held(self._pending, form.marker)
            certain = len(self._pending[:certain].rstrip())
        if certain:
            self._begun = True
            yield self._take(certain)

    def _name(self) -> Iterator[str | CallPiece]:
        """What stands before a call's name, and the name."""
        form = self._form
        assert form is not None  # noqa: S101 - without a form there is only text
        before = (form.opening if not self.calls else "") + form.before_name
        blanks = 0 if before[:1].isspace() else len(self._pending) - len(self._pending.lstrip())
        begin = blanks + len(before)
        end = self._pending.find(form.before_arguments, begin)
        if end >= 0:
            name = self._take(end)[begin:]
            self._take(len(form.before_arguments))
            self.calls.append(ParsedCall(name, uuid4().hex[:9]))
            self._object = _Object()
            self._state = self._arguments
            yield CallPiece(len(self.calls) - 1, name, self.calls[-1].id)

    def _arguments(self) -> Iterator[str | CallPiece]:
        """A call's arguments, until their object closes."""
        end = self._object.take(self._pending)
        piece = self._take(len(self._pending) if end is None else end)
        call = self.calls[-1]
        call.arguments += piece
        if end is not None:
            call.complete = True
            self._state = self._between
        if piece:
            yield CallPiece(len(self.calls) - 1, arguments=piece)

    def _between(self) -> Iterator[str | CallPiece]:
        """What closes a call, and what parts it from the next."""
        form = self._form
        assert form is not None  # noqa: S101 - as above
        gap = form.after + form.separator
        if form.separator and self._pending.startswith(gap):
            self._take(len(gap))
            self._state = self._name
        yield from ()


def _held(text: str, marker: str) -> int:
    """How many characters at the end could begin the marker."""
    for length in range(min(len(marker) - 1, len(text)), 0, -1):
        if text.endswith(marker[:length]):
            return length
    return 0


def _whole_json(text: str) -> list[str | CallPiece]:
    """The text, where it is JSON to its end; nothing of a call that was cut."""
    try:
        json.loads(text)
    except ValueError:
        return []
    return [text]
