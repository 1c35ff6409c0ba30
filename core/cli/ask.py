"""`freehold ask`: one question, one answer."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import nullcontext
from typing import Annotated

import typer

from freehold.cli.options import Home, Json, Model, Thread, User
from freehold.cli.render import answer_object, answer_text, decisions_table, model_line, terminal
from freehold.cli.turn import Turn
from freehold.context import Context

__all__ = ["ask"]


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.", show_default=False)],
    home: Home = None,
    model: Model = None,
    user: User = "default",
    thread: Thread = None,
    why: Annotated[bool, typer.Option(help="Show what each node decided.")] = True,
    as_json: Json = False,
) -> None:
    """Answer a question from your documents, with citations.

    Exit code 0 with an answer or a refusal, 2 for a mistake that you can mend.
    """
    from freehold.graphs import create_assistant
    from freehold.workspace import Workspace

    console = terminal(soft_wrap=as_json)
    context = Context(user_id=user)
    thread = thread or uuid.uuid4().hex
    with Workspace(home, model=model) as workspace:
        assistant = create_assistant(workspace)
        started = time.perf_counter()
        with Turn(assistant, question, thread, context) as turn:
            with nullcontext() if as_json else console.status("Thinking..."):
                for _ in turn.stream():
                    pass
            milliseconds = (time.perf_counter() - started) * 1000
            if not as_json:
                console.print(answer_text(turn.state))
                line = f"\n{model_line(workspace, turn.state)} {milliseconds:.0f} ms, thread {thread}."
                console.print(line, style="dim", markup=False)
            state = turn.finish()  # memories are saved behind the answer
        if as_json:
            found = answer_object(state, model=workspace.engine.model_name, thread=thread, milliseconds=milliseconds)
            typer.echo(json.dumps(found, ensure_ascii=False))
            return
        if why:
            console.print(decisions_table(state["decisions"]))
        if not workspace.documents.count() and state["route"] != "refuse":
            console.print("[yellow]The workspace holds no documents yet: freehold ingest PATH[/]")
