"""Checkpoints in SQLite."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, ChatMessage, HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from freehold.checkpoints import MaskingSerializer, SqliteCheckpointer
from freehold.errors import StorageError

SECRET = "ada@example.org"


def mask(text: str) -> str:
    """A masker that knows one address."""
    return text.replace(SECRET, "<EMAIL>")


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    steps: Annotated[list[str], operator.add]


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[SqliteCheckpointer]:
    """A checkpointer that masks."""
    checkpointer = SqliteCheckpointer(tmp_path / "checkpoints.sqlite", mask)
    yield checkpointer
    checkpointer.close()


def build(saver: SqliteCheckpointer, **options: Any) -> Any:
    """A graph of two nodes."""
    graph = StateGraph(State)
    graph.add_node("one", lambda state: {"steps": ["one"]})
    graph.add_node("two", lambda state: {"steps": ["two"], "messages": [AIMessage("done")]})
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    graph.add_edge("two", END)
    return graph.compile(checkpointer=saver, **options)


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage(f"write to {SECRET}")],
        [{"role": "user", "content": f"write to {SECRET}"}],
        [{"role": "user", "content": [{"type": "text", "text": f"write to {SECRET}"}]}],
        [("user", f"write to {SECRET}")],
        [("user", [{"type": "text", "text": f"write to {SECRET}"}])],
        [{"type": "user", "content": f"write to {SECRET}"}],
        [ChatMessage(f"write to {SECRET}", role="user")],
        [HumanMessage("hello", name=SECRET), HumanMessage(f"write to {SECRET}")],
        [f"write to {SECRET}"],
        f"write to {SECRET}",
    ],
)
def test_personal_data_never_reaches_the_disk(saver: SqliteCheckpointer, tmp_path: Path, messages: Any) -> None:
    """LangGraph stores a run's input before its first node runs; that too is masked, in every form of a message."""
    build(saver).invoke({"messages": messages, "steps": []}, {"configurable": {"thread_id": "t"}})
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SECRET.encode() not in content
    assert b"<EMAIL>" in content


def test_later_turns_are_masked_too(saver: SqliteCheckpointer, tmp_path: Path) -> None:
    """A thread with a history keeps its messages beside the new input; both are masked."""
    graph, config = build(saver), {"configurable": {"thread_id": "t"}}
    for text in ("hello", f"write to {SECRET}", "and again"):
        graph.invoke({"messages": [("user", text)], "steps": []}, config)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SECRET.encode() not in content
    assert [message.text for message in graph.get_state(config).values["messages"]][2] == "write to <EMAIL>"


def test_what_is_not_a_user_message_is_kept_as_it_is() -> None:
    """Passages and answers may hold addresses of the owner's own documents."""
    serializer = MaskingSerializer(mask)
    value = {"passages": [{"text": SECRET}], "answer": SECRET, "messages": [AIMessage(SECRET)]}
    assert serializer.loads_typed(serializer.dumps_typed(value)) == value


def test_sync_and_async_share_threads(saver: SqliteCheckpointer) -> None:
    """A thread that `invoke` interrupted goes on with `ainvoke`, and its history reads the same both ways."""
    graph = build(saver, interrupt_before=["two"])
    config = {"configurable": {"thread_id": "t"}}
    assert graph.invoke({"messages": [("user", "go")], "steps": []}, config)["steps"] == ["one"]

    async def finish() -> tuple[list[str], int]:
        state = await graph.ainvoke(None, config)
        return state["steps"], len([item async for item in graph.aget_state_history(config)])

    steps, length = asyncio.run(finish())
    assert steps == ["one", "two"]
    assert length == len(list(graph.get_state_history(config)))


async def test_a_hundred_runs_at_once(saver: SqliteCheckpointer) -> None:
    """Concurrent runs on one loop each keep their own thread."""
    graph = build(saver)
    await asyncio.gather(
        *(
            graph.ainvoke({"messages": [("user", str(n))], "steps": []}, {"configurable": {"thread_id": str(n)}})
            for n in range(100)
        )
    )
    for number in (0, 99):
        state = await graph.aget_state({"configurable": {"thread_id": str(number)}})
        assert state.values["messages"][0].text == str(number)
    await saver.adelete_thread("0")
    assert not (await graph.aget_state({"configurable": {"thread_id": "0"}})).values


def test_runs_are_taken_back_and_threads_pruned(saver: SqliteCheckpointer) -> None:
    """A server rolls a run back to the state before it, and old checkpoints can be let go without losing the thread."""
    graph = build(saver)

    def turn(run: str) -> dict[str, Any]:
        config = {"configurable": {"thread_id": "t"}, "metadata": {"run_id": run}}
        return graph.invoke({"messages": [("user", run)], "steps": []}, config)

    def kept() -> tuple[int, list[str]]:
        config = {"configurable": {"thread_id": "t"}}
        values = graph.get_state(config).values
        return len(list(graph.get_state_history(config))), [message.text for message in values.get("messages", [])]

    turn("first")
    before = kept()
    turn("second")
    asyncio.run(saver.adelete_for_runs(["second"]))
    assert kept() == before
    asyncio.run(saver.aprune(["t"]))
    assert kept() == (1, before[1])
    assert turn("third")["messages"][-2].text == "third"
    asyncio.run(saver.aprune(["t"], strategy="delete_all"))
    assert kept() == (0, [])


def test_log_and_durability(saver: SqliteCheckpointer) -> None:
    """Write-ahead log, `synchronous=NORMAL` (1), and deleted rows overwritten."""
    read = {
        name: saver.conn.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "secure_delete")
    }
    assert read == {"journal_mode": "wal", "synchronous": 1, "secure_delete": 1}


def test_a_file_that_is_no_database_is_a_storage_error(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "broken.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match=r"broken\.sqlite"):
        SqliteCheckpointer(tmp_path / "broken.sqlite")
