"""`freehold chat`: a conversation whose answers stream."""

from __future__ import annotations

import shlex
import uuid
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessageChunk

from freehold.cli.options import Home, Model, Thread, User
from freehold.cli.render import answer_text, decisions_table, model_line, terminal
from freehold.cli.turn import Turn
from freehold.context import Context
from freehold.errors import FreeholdError

if TYPE_CHECKING:
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
        turn: Turn | None = None
        while (message := _read(console)) not in (None, "/quit", "/exit"):
            if message == "/new":
                _finish(console, turn)
                thread, turn = uuid.uuid4().hex, None
            elif message == "/why":
                _finish(console, turn)
                console.print(decisions_table(turn.state.get("decisions", ()) if turn else ()))
            elif message:
                _finish(console, turn)  # what the last answer's turn learned is known to this one
                turn = Turn(assistant, message, thread, context)
                try:
                    _show(console, turn)
                except FreeholdError as error:
                    console.print(str(error), style="red", markup=False)
                except KeyboardInterrupt:
                    turn.stop()
                    console.print("\n[yellow]Stopped.[/]")
        _finish(console, turn)
        console.print(f"Go on with: freehold chat --thread {shlex.quote(thread)}", style="dim", markup=False)


def _read(console: Console) -> str | None:
    """The next message, or None at the end of the input."""
    try:
        return console.input("[bold green]> [/]").strip()
    except (EOFError, KeyboardInterrupt):
        console.print()
        return None


def _finish(console: Console, turn: Turn | None) -> None:
    """Wait until a turn has saved everything."""
    try:
        if turn is not None:
            turn.finish()
    except FreeholdError as error:
        console.print(str(error), style="red", markup=False)


def _show(console: Console, turn: Turn) -> None:
    """Print an answer as it streams, and what it cites; memories are saved after that."""
    shown = ""
    for mode, part in turn.stream():
        if mode == "messages" and isinstance(part[0], AIMessageChunk) and part[1].get("langgraph_node") == "generate":
            console.print(part[0].text, end="", markup=False, highlight=False, soft_wrap=True)
            shown += str(part[0].text)
    answer = turn.state.get("answer", "")
    if shown.strip() != answer:  # from the cache, refused, or masked behind the stream
        console.print(("\n" if shown else "") + answer, markup=False, highlight=False, soft_wrap=True, end="")
    console.print()
    console.print(answer_text({"citations": turn.state.get("citations", ())}, quotes=False))
