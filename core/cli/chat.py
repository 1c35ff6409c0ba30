"""`freehold chat`: a conversation whose answers stream."""

from __future__ import annotations

import shlex
import uuid
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessageChunk

from freehold.cli.options import Home, Model, Thread, User
from freehold.cli.render import answer_text, decisions_table, model_line, terminal
from freehold.context import Context
from freehold.errors import FreeholdError

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from rich.console import Console

__all__ = ["chat"]

_HELP = "Type a message. /why shows the last decisions, /new begins a new conversation, /quit (or Ctrl-D) ends."


def chat(home: Home = None, model: Model = None, user: User = "default", thread: Thread = None) -> None:
    """Talk with the assistant; answers stream as they are generated."""
    from freehold.graphs import create_assistant
    from freehold.workspace import Workspace

    console = terminal()
    context = Context(user_id=user)
    thread = thread or uuid.uuid4().hex
    with Workspace(home, model=model) as workspace:
        assistant = create_assistant(workspace)
        line = model_line(workspace).replace("Answered", "Answers are given", 1)
        console.print(f"{line}\n{_HELP}", style="dim", markup=False)
        state: dict[str, Any] = {}
        while (message := _read(console)) not in (None, "/quit", "/exit"):
            if message == "/new":
                thread, state = uuid.uuid4().hex, {}
            elif message == "/why":
                console.print(decisions_table(state.get("decisions", ())))
            elif message:
                try:
                    state = _answer(console, assistant, message, thread, context)
                except FreeholdError as error:
                    console.print(str(error), style="red", markup=False)
                except KeyboardInterrupt:
                    console.print("\n[yellow]Stopped.[/]")
        console.print(f"Go on with: freehold chat --thread {shlex.quote(thread)}", style="dim", markup=False)


def _read(console: Console) -> str | None:
    """The next message, or None at the end of the input."""
    try:
        return console.input("[bold green]> [/]").strip()
    except (EOFError, KeyboardInterrupt):
        console.print()
        return None


def _answer(
    console: Console,
    assistant: CompiledStateGraph[Any, Context, Any, Any],
    message: str,
    thread: str,
    context: Context,
) -> dict[str, Any]:
    """Stream one answer and return the state of its turn."""
    state: dict[str, Any] = {}
    shown = ""
    for event in assistant.stream(
        {"messages": [{"role": "user", "content": message}]},
        {"configurable": {"thread_id": thread}},
        context=context,
        stream_mode=["messages", "values"],
    ):
        mode, part = cast("tuple[str, Any]", event)
        if mode == "values":
            state = dict(part)
        elif isinstance(part[0], AIMessageChunk) and part[1].get("langgraph_node") == "generate":
            console.print(part[0].text, end="", markup=False, highlight=False, soft_wrap=True)
            shown += str(part[0].text)
    answer = state.get("answer", "")
    if shown.strip() != answer:  # from the cache, refused, or masked behind the stream
        console.print(("\n" if shown else "") + answer, markup=False, highlight=False, soft_wrap=True, end="")
    console.print()
    console.print(answer_text({"citations": state.get("citations", ())}, quotes=False))
    return state
