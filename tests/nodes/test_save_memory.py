"""The node `SaveMemory`: every message of the user once, whatever happened to the turns before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.runtime import Runtime

from freehold.context import Context
from freehold.errors import SettingsError
from freehold.inference import LlamaEmbeddings
from freehold.memory.edge_client import EdgeQdrantClient
from freehold.memory.long_term import LongTermMemory
from freehold.nodes import BeginTurn, SaveMemory
from freehold.portal import run_sync
from freehold.state import Memory

ADA = Context(user_id="ada", session_id="monday")
TALK = [("user", "I like tea."), ("assistant", "You live in Porto."), ("user", "I have a dog.")]


class Notebook:
    """A memory of a user's own, which can be down."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.down_at = -1

    async def add(self, text: str, context: Context) -> list[Memory]:
        if len(self.texts) == self.down_at:
            raise ConnectionError("down")
        self.texts.append(text)
        return [{"id": str(len(self.texts)), "text": text, "score": 0.0, "created_at": ""}]


@pytest.fixture
def memory(client: EdgeQdrantClient, embedder: LlamaEmbeddings, tmp_path: Path) -> Iterator[LongTermMemory]:
    """A real memory that keeps statements."""
    opened = LongTermMemory(client, embedder, None, tmp_path / "memory")
    yield opened
    opened.close()


def turn(memory: Any, state: dict[str, Any], **values: Any) -> dict[str, Any]:
    """One run of the node."""
    return SaveMemory(memory, **values)(state, Runtime(context=ADA))


def test_only_what_was_not_considered_is(memory: LongTermMemory) -> None:
    """The count of the turns before is where this one begins; it ends at the last message."""
    update = turn(memory, {"messages": TALK, "remembered": 2})
    assert update["decisions"][0]["details"]["facts"] == ["I have a dog"]
    assert update["remembered"] == 3


def test_a_turn_catches_up_on_messages_that_were_not_saved(memory: LongTermMemory) -> None:
    """A run that was killed before it saved costs nothing: the next one considers its message too, oldest first."""
    update = turn(memory, {"messages": TALK, "remembered": 0})
    assert update["decisions"][0]["decision"] == "saved"
    assert update["decisions"][0]["details"]["facts"] == ["I like tea", "I have a dog"]


def test_without_a_count_only_the_newest_message_is_considered(memory: LongTermMemory) -> None:
    """A conversation that a caller brings along is not stored a second time with every turn."""
    assert turn(memory, {"messages": TALK})["decisions"][0]["details"]["facts"] == ["I have a dog"]
    assert BeginTurn()({"messages": TALK})["remembered"] == 2
    assert "remembered" not in BeginTurn()({"messages": TALK, "remembered": 0})


def test_the_checked_question_stands_for_the_newest_message() -> None:
    """What the input rails masked is what is kept, and a refused message is not kept at all."""
    notebook = Notebook()
    messages = [("user", "(refused)"), ("assistant", "No."), ("user", "My mail is a@b.org")]
    turn(notebook, {"messages": messages, "question": "My mail is <EMAIL_ADDRESS>", "remembered": 0})
    assert notebook.texts == ["My mail is <EMAIL_ADDRESS>"]


def test_a_memory_that_was_down_is_asked_again() -> None:
    """What could not be kept is kept in the next turn, and what was kept is not asked for twice."""
    notebook = Notebook()
    notebook.down_at = 1
    first = turn(notebook, {"messages": TALK, "remembered": 0})
    assert first["decisions"][0]["decision"] == "error"
    assert first["remembered"] == 2
    notebook.down_at = -1
    turn(notebook, {"messages": [*TALK, ("assistant", "Good."), ("user", "I ski.")], "remembered": 2})
    assert notebook.texts == ["I like tea.", "I have a dog.", "I ski."]


def test_a_long_backlog_is_cut() -> None:
    """One turn does not pay for a hundred, and a thread whose messages were trimmed is no error."""
    notebook = Notebook()
    many = [("user", f"I own boat {number}.") for number in range(30)]
    turn(notebook, {"messages": many, "remembered": 0}, catch_up=5)
    assert notebook.texts == [f"I own boat {number}." for number in range(25, 30)]
    turn(notebook, {"messages": many[:3], "remembered": 30})
    assert notebook.texts[-1] == "I own boat 2."


def test_the_decision_says_what_was_refused_and_superseded(memory: LongTermMemory) -> None:
    """A run can be explained: what is new, what it replaced, what was not believed and why."""
    turn(memory, {"messages": [("user", "I live in Porto. I like tea.")]})
    update = turn(memory, {"messages": [("user", "I live in Faro. I like tea. What else?")]})
    assert update["decisions"][0]["details"] == {
        "facts": ["I live in Faro"],
        "superseded": ["I live in Porto"],
        "refused": {"duplicate": 1, "question": 1},
    }
    nothing = turn(memory, {"messages": [("user", "What else?")]})
    assert nothing["decisions"][0]["decision"] == "nothing"
    assert nothing["decisions"][0]["details"] == {"refused": {"question": 1}}


def test_the_answer_before_is_not_taken_for_the_users_words(memory: LongTermMemory) -> None:
    """The answer that a message quotes is the one before it, also where two messages are caught up on."""
    said = "I am an assistant that quotes documents."
    messages = [("user", "I like tea."), ("assistant", said), ("user", said)]
    update = turn(memory, {"messages": messages, "remembered": 0})
    assert update["decisions"][0]["details"] == {"facts": ["I like tea"], "refused": {"assistant": 1}}


def test_scope_and_end_are_the_nodes(memory: LongTermMemory) -> None:
    """A graph chooses who sees what it learns, and for how long."""
    turn(memory, {"messages": [("user", "I like tea.")]}, scope="session", ttl_seconds=60)
    (found,) = run_sync(memory.list(ADA))
    assert (found["scope"], found["session_id"]) == ("session", "monday")
    assert "expires_at" in found
    assert run_sync(memory.list(Context(user_id="ada"))) == []


def test_numbers_that_cannot_be_meant_are_refused() -> None:
    """A mistake in a graph shows when it is built."""
    for values in ({"catch_up": 0}, {"ttl_seconds": 0}):
        with pytest.raises(SettingsError, match="catch_up"):
            SaveMemory(Notebook(), **values)  # type: ignore[arg-type]
