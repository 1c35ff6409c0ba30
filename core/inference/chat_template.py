"""From messages to a prompt: the model's own chat template, with tools also where it knows none."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from freehold.errors import InferenceError, ModelFileError, UserError
from freehold.inference.gguf import ModelHeader
from freehold.inference.named_templates import NAMED_TEMPLATES
from freehold.inference.tool_forms import FORMS, HERMES, ToolForm, tool_instructions

__all__ = ["ChatTemplate", "template_source", "tool_form"]

Chat = list[dict[str, Any]]
"""Messages as OpenAI writes them: `role`, `content`, and `tool_calls` or `tool_call_id`; arguments are objects."""

_ROLE_MARKS = re.compile(
    r"<[|\uff5c][^|\uff5c<>{}]{1,40}[|\uff5c]>|</?[a-z]+(?:_[a-z]+)+>|</?tools>|\[/?[A-Z_]{2,30}\]|<</?SYS>>"
)
"""Texts with which templates part the roles."""

_HERMES_MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>")


def template_source(header: ModelHeader, template: str | None = None, *, tools: bool = False) -> str:
    """The Jinja text of a chat template.

    Args:
        header: The model's; its template is used where no other is asked for.
        template: A name out of `NAMED_TEMPLATES`, or Jinja itself.
        tools: Prefer the file's second template, which some models have for tools.

    Raises:
        ModelFileError: The file holds no chat template and none is given.
        UserError: There is no template of that name.
    """
    names = ", ".join(sorted(NAMED_TEMPLATES))
    if template is not None:
        if template in NAMED_TEMPLATES:
            return NAMED_TEMPLATES[template].source
        if "{{" in template or "{%" in template:
            return template
        raise UserError(f"There is no chat template {template!r}: choose {names}, or give the Jinja text itself.")
    second = header.metadata.get("tokenizer.chat_template.tool_use")
    if tools and isinstance(second, str):
        return second
    if header.chat_template is None:
        raise ModelFileError(
            f"{header.path} holds no chat template, so it cannot answer messages. "
            f"Use an instruction-tuned model, or name its template: {names}."
        )
    return header.chat_template


def _formatter(source: str, bos: str, eos: str) -> Any:
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    return Jinja2ChatFormatter(template=source, eos_token=eos, bos_token=bos)


@dataclass(frozen=True)
class _Abilities:
    """What a template does with messages, found by trying."""

    system: bool
    """It shows a system message."""
    form: ToolForm | None
    """It lists tools and writes calls and results in this form; None where it does not, or in a form we do not know."""
    marks: frozenset[str]
    """Texts with which it parts the roles. Some are no tokens of their own: a model reads those in any message."""


_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "probe-description",
        "parameters": {"type": "object", "properties": {"a": {"type": "string", "description": "-"}}},
    },
}
_CALL = {"id": "probe0001", "type": "function", "function": {"name": "probe_tool", "arguments": {"a": "probe-value"}}}
_TRIAL: Chat = [
    {"role": "user", "content": "probe-question"},
    {"role": "assistant", "content": "", "tool_calls": [_CALL]},
    {"role": "tool", "content": "probe-result", "tool_call_id": "probe0001", "name": "probe_tool"},
]


@lru_cache(maxsize=32)
def _abilities(source: str) -> _Abilities:
    formatter = _formatter(source, "", "")

    def shown(messages: Chat, tools: list[Any] | None = None) -> str:
        try:
            return str(formatter(messages=messages, tools=tools).prompt)
        except Exception:  # noqa: BLE001 - a template may fail in any way; then it cannot do it
            return ""

    # Templates made for tools alone fail where there are none.
    spoken = [{"role": "system", "content": "probe-system"}, _TRIAL[0]]
    system = "probe-system" in shown(spoken) or "probe-system" in shown(spoken, [_TOOL])
    form = None
    calls = shown(_TRIAL, [_TOOL])
    if "probe-description" in shown(_TRIAL[:1], [_TOOL]) and "probe-value" in calls and "probe-result" in calls:
        # Blanks around a marker differ between templates of one family, and models write either.
        flat = calls.replace("] [", "][")
        form = next((form for form in FORMS if form.begin("probe_tool") in flat), None)
    # Some stand in the template as they are, and some it makes up of a role's name.
    spoken += [{"role": "assistant", "content": "probe-answer"}]
    marks = frozenset(
        mark for text in (source, shown(spoken[1:]), shown(spoken), calls) for mark in _ROLE_MARKS.findall(text)
    )
    return _Abilities(system, form, marks)


def tool_form(source: str) -> ToolForm:
    """How a model with this chat template writes tool calls.

    Example:
        >>> tool_form("{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}").name
        'hermes'
    """
    return _abilities(source).form or HERMES


class ChatTemplate:
    """A chat template ready to be filled; safe from any thread.

    Control tokens, and the texts that part the roles, are broken by a space wherever they stand in a message, a tool's
    description, a call's arguments or a tool's result: what a user, a document or a tool writes can never end its
    message or begin one of another role.

    Args:
        source: Jinja.
        name: The model's, for messages to the user.
        bos: Text of the beginning token.
        eos: Text of the ending token.
        control: Texts of every control token.

    Raises:
        ModelFileError: The template cannot be read.

    Example:
        >>> template = ChatTemplate("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}", name="m")
        >>> template.render([{"role": "user", "content": "Hello"}])
        '<|user|>Hello'
    """

    def __init__(self, source: str, *, name: str, bos: str = "", eos: str = "", control: Iterable[str] = ()) -> None:
        import jinja2

        self._name = name
        try:
            self._formatter = _formatter(source, bos, eos)
        except jinja2.TemplateError as error:
            raise ModelFileError(f"The chat template of {name} cannot be read: {error}.") from error
        self._abilities = _abilities(source)
        marks = {*control, *self._abilities.marks, *_HERMES_MARKS}
        longest_first = sorted((mark for mark in marks if len(mark) > 1), key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, longest_first)))

    def _safe(self, value: Any) -> Any:
        """The value with every mark in every text of it broken."""
        if isinstance(value, str):
            return self._marks.sub(lambda match: match[0][0] + " " + match[0][1:], value)
        if isinstance(value, Mapping):
            return {self._safe(key): self._safe(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._safe(item) for item in value]
        return value

    def render(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        """The prompt, up to where the assistant speaks.

        Args:
            messages: `role` and `content`; `tool_calls`, `tool_call_id` and `name` where tools were used.
            tools: Functions as OpenAI describes them.

        Raises:
            InferenceError: The template refuses the messages, for instance a role that it does not know.
        """
        import jinja2

        chat: Chat = [self._safe(message) for message in messages]
        given = [self._safe(tool) for tool in tools or ()] or None
        form = self._abilities.form
        if form is None:
            chat, given = _in_text(chat, given), None
        elif form.marker == "[TOOL_CALLS]":
            chat = [_nine(message) for message in chat]
        if not self._abilities.system:
            chat = _without_system(chat)
        try:
            return str(self._formatter(messages=chat, tools=given).prompt)
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            roles = ", ".join(str(message["role"]) for message in messages)
            raise InferenceError(
                f"The chat template of {self._name} refuses these messages ({roles}): {error}."
            ) from error


def _in_text(chat: Chat, tools: list[Any] | None) -> Chat:
    """Tools, calls and results as plain text, in the Hermes form, for a template that knows none of them."""
    plain: Chat = []
    answering = False
    for message in chat:
        if message["role"] == "tool":
            text = f"<tool_response>\n{message['content']}\n</tool_response>"
            if answering:  # results of one answer's calls make one message: many templates want the roles to alternate
                plain[-1]["content"] += "\n" + text
            else:
                plain.append({"role": "user", "content": text})
            answering = True
            continue
        answering = False
        calls = [
            HERMES.call(call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        ]
        content = "\n".join(part for part in (message["content"], *calls) if part)
        plain.append({"role": message["role"], "content": content})
    if tools:
        text = tool_instructions(tools)
        if plain and plain[0]["role"] == "system":
            plain[0]["content"] += "\n\n" + text
        else:
            plain.insert(0, {"role": "system", "content": text})
    return plain


def _without_system(chat: Chat) -> Chat:
    """System messages put before the user message that follows, for a template that knows none."""
    folded: Chat = []
    held: list[str] = []
    for message in chat:
        if message["role"] == "system":
            held.append(message["content"])
        elif held and message["role"] == "user":
            folded.append({**message, "content": "\n\n".join([*held, message["content"]])})
            held = []
        else:
            folded.append(message)
    if held:
        folded.append({"role": "user", "content": "\n\n".join(held)})
    return folded


def _nine(message: dict[str, Any]) -> dict[str, Any]:
    """The message with ids of nine letters and digits: Mistral's templates refuse others."""

    def nine(identity: Any) -> str:
        text = str(identity)
        return text if re.fullmatch(r"[a-zA-Z0-9]{9}", text) else f"{zlib.crc32(text.encode()):09x}"[-9:]

    changed = dict(message)
    if message.get("tool_calls"):
        changed["tool_calls"] = [{**call, "id": nine(call.get("id"))} for call in message["tool_calls"]]
    if "tool_call_id" in message:
        changed["tool_call_id"] = nine(message["tool_call_id"])
    return changed
