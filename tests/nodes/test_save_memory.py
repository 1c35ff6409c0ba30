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
    """One run of the node; where the thread has a count, all of it is Ada's."""
    whose = {"remembered_for": {"default/ada": 0, "default/ada session:monday": 0}} if "remembered" in state else {}
    return SaveMemory(memory, **values)({**whose, **state}, Runtime(context=ADA))


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


def in_turn(memory: Any, state: dict[str, Any], context: Context, **values: Any) -> dict[str, Any]:
    """The state after one turn in a graph that begins with `BeginTurn` and ends with `SaveMemory`."""
    begun = {**state, **BeginTurn()(state, Runtime(context=context))}
    return {**begun, **SaveMemory(memory, **values)(begun, Runtime(context=context))}


def test_nobody_gets_what_another_user_of_the_thread_said(memory: LongTermMemory) -> None:
    """Ada's turn was not saved; Bob's turn in her thread keeps his own words alone, and so does her next one."""
    bob, down = Context(user_id="bob"), Notebook()
    down.down_at = 0
    state = in_turn(down, {"messages": [("user", "I like tea.")]}, ADA)
    assert state["remembered"] == 0
    state["messages"] = [*state["messages"], ("assistant", "Good."), ("user", "I have a dog.")]
    lost = in_turn(down, state, bob)
    for turns in (lost, state):  # after a turn of Bob's that failed too, and after none
        talk = [*turns["messages"], ("assistant", "Good."), ("user", "I ski.")]
        in_turn(memory, {**turns, "messages": talk}, bob)
    assert [found["text"] for found in run_sync(memory.list(bob))] == ["I have a dog", "I ski"]
    in_turn(memory, {**lost, "messages": [*lost["messages"], ("user", "I own a boat.")]}, ADA)
    assert [found["text"] for found in run_sync(memory.list(ADA))] == ["I own a boat"]


def test_another_users_run_is_not_gone_on_with(memory: LongTermMemory) -> None:
    """`invoke(None)` by Bob leaves Ada's message to Ada, whose next turn keeps it."""
    state = {"messages": [("user", "I like tea.")]}
    state.update(BeginTurn()(state, Runtime(context=ADA)))
    bobs = SaveMemory(memory)(state, Runtime(context=Context(user_id="bob")))
    assert bobs["decisions"][0]["reason"] == "The turn is another user's."
    assert "remembered" not in bobs
    assert run_sync(memory.list(Context(user_id="bob"))) == []
    in_turn(memory, {**state, **bobs, "messages": [*state["messages"], ("user", "I ski.")]}, ADA)
    assert [found["text"] for found in run_sync(memory.list(ADA))] == ["I like tea", "I ski"]


def test_a_session_gets_what_was_said_in_it(memory: LongTermMemory) -> None:
    """With `scope="session"` a new session of the thread does not catch up on the one before; its user's scope does."""
    tuesday, down = Context(user_id="ada", session_id="tuesday"), Notebook()
    down.down_at = 0
    state = in_turn(down, {"messages": [("user", "I like tea.")]}, ADA, scope="session")
    monday = SaveMemory(memory, scope="session")(state, Runtime(context=tuesday))
    assert monday["decisions"][0]["reason"] == "The turn is another session's."
    state["messages"] = [*state["messages"], ("user", "I ski.")]
    in_turn(memory, state, tuesday, scope="session")
    assert [found["text"] for found in run_sync(memory.list(tuesday))] == ["I ski"]
    in_turn(memory, state, tuesday)
    assert {found["text"] for found in run_sync(memory.list(ADA))} == {"I like tea", "I ski"}


def test_without_a_word_on_whose_the_thread_is_only_the_newest_message_counts(memory: LongTermMemory) -> None:
    """A graph without `BeginTurn` cannot store one user's words as another's."""
    state = {"messages": TALK, "remembered": 0, "remembered_for": None}
    assert turn(memory, state)["decisions"][0]["details"]["facts"] == ["I have a dog"]


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
