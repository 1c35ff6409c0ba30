"""A run that kills its own process behind retrieval: `python -m freehold.cli.crash HOME THREAD USER QUESTION`.

`freehold demo` and the tests start it to show that a run goes on after kill -9. The kill is a real SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys

from freehold.context import Context


def crash(home: str, thread: str, user: str, question: str) -> None:
    """Run the assistant until its route is chosen, then end this process as `kill -9` would."""
    from freehold.graphs import create_assistant
    from freehold.workspace import Workspace

    assistant = create_assistant(Workspace(home))
    for update in assistant.stream(
        {"messages": [{"role": "user", "content": question}]},
        {"configurable": {"thread_id": thread}},
        context=Context(user_id=user),
        stream_mode="updates",
        durability="sync",
    ):
        if "select_route" in update:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    crash(*sys.argv[1:5])
