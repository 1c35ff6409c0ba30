"""Memories are saved behind the answer, and survive the death of the process that should have saved them."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from freehold import Context, Workspace
from freehold.cli.turn import Turn
from freehold.graphs import create_assistant
from freehold.memory.extraction import ModelExtractor
from freehold.portal import run_sync

ADA = Context(user_id="ada")
ROOT = Path(__file__).resolve().parents[2]

_KILLED_WHILE_EXTRACTING = """
import os, signal, sys
from freehold import Context, Workspace
from freehold.graphs import create_assistant
from freehold.memory.extraction import ModelExtractor

async def kill(self, text):
    os.kill(os.getpid(), signal.SIGKILL)

ModelExtractor._answer = kill
with Workspace(sys.argv[1]) as workspace:
    for part in create_assistant(workspace).stream(
        {"messages": [{"role": "user", "content": "My name is Ada, and I like green tea."}]},
        {"configurable": {"thread_id": "t1"}}, context=Context(user_id="ada"), stream_mode="updates", durability="sync",
    ):
        print(*part, flush=True)
"""


def texts(workspace: Workspace) -> list[str]:
    """What is known about Ada."""
    return [memory["text"] for memory in run_sync(workspace.memory.list(ADA))]


@pytest.mark.slow
def test_a_kill_while_saving_costs_no_memory(ingested: Path, tmp_path: Path) -> None:
    """After kill -9 during extraction the answer was there, and both `invoke(None)` and a next turn save all."""
    shutil.copytree(ingested, tmp_path / "home")
    command = [sys.executable, "-c", _KILLED_WHILE_EXTRACTING, str(tmp_path / "home")]
    child = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert child.stdout.split()[-1] == "store_cache"
    shutil.copytree(tmp_path / "home", tmp_path / "again")
    config = {"configurable": {"thread_id": "t1"}}
    with Workspace(tmp_path / "home") as workspace:
        assert texts(workspace) == []
        assistant = create_assistant(workspace)
        state = assistant.invoke(None, config, context=ADA)
        assert state["decisions"][-1]["decision"] == "saved"
        assert len(state["messages"]) == 2
        assert texts(workspace) == ["Name is Ada", "Likes green tea"]
        state = assistant.invoke({"messages": [("user", "I have a dog.")]}, config, context=ADA)
        assert state["remembered"] == 4
        assert len(texts(workspace)) == 3
    with Workspace(tmp_path / "again") as workspace:
        state = create_assistant(workspace).invoke({"messages": [("user", "I have a dog.")]}, config, context=ADA)
        assert state["decisions"][-1]["details"]["facts"][:2] == ["Name is Ada", "Likes green tea"]
        assert len(texts(workspace)) == 3


def test_the_answer_does_not_wait_for_the_saving(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line shows the whole answer while extraction still runs, and ends with everything saved."""
    may_save = threading.Event()
    real = ModelExtractor._answer

    async def waiting(self: ModelExtractor, text: str) -> str:
        await asyncio.to_thread(may_save.wait)
        return await real(self, text)

    monkeypatch.setattr(ModelExtractor, "_answer", waiting)
    with Turn(create_assistant(workspace), "My name is Ada, and I like green tea.", "t1", ADA) as turn:
        streamed = "".join(part[0].text for mode, part in turn.stream() if mode == "messages")
        assert turn.state["answer"]
        assert turn.state["answer"] in streamed
        assert turn.state["decisions"][-1]["node"] == "store_cache"
        may_save.set()
        assert turn.finish()["decisions"][-1]["node"] == "save_memory"
    assert texts(workspace) == ["Name is Ada", "Likes green tea"]


def test_a_turn_that_fails_says_so_once(workspace: Workspace) -> None:
    """An error of the run reaches whoever waits for the answer, and ends nothing else."""
    assistant = create_assistant(workspace)
    workspace.memory.close()
    workspace.engine.close()
    with Turn(assistant, "Hello!", "t1", ADA) as turn:
        with pytest.raises(Exception, match="closed"):
            list(turn.stream())
        turn.finish()
