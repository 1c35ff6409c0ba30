"""Whose a thread is: known from its first checkpoint on, for every graph, and enough to erase it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from freehold import Context
from freehold.checkpoints import SqliteCheckpointer
from freehold.errors import StorageError
from freehold.ownership import OWNER, OwnerStamp, owner_of, owner_of_run

ADA, BOB, DEFAULT = "default/ada", "default/bob", "default/default"
SECRET = "a quokka in the pantry"


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    cache: dict[str, Any]


@dataclass
class Own:
    """A context of somebody's own."""

    user_id: str
    tenant: str = "acme"


@dataclass
class Nameless:
    """One that names no user."""

    language: str = "en"


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[SqliteCheckpointer]:
    """A checkpointer."""
    checkpointer = SqliteCheckpointer(tmp_path / "checkpoints.sqlite")
    yield checkpointer
    checkpointer.close()


def build(saver: Any, schema: Any = Context, **update: Any) -> Any:
    """A graph with a graph in it."""
    inner = StateGraph(State, schema)
    inner.add_node("answer", lambda state: {"messages": [AIMessage("done")], **update})
    inner.add_edge(START, "answer")
    outer = StateGraph(State, schema)
    outer.add_node("inner", inner.compile(checkpointer=True))
    outer.add_edge(START, "inner")
    return outer.compile(checkpointer=saver)


def say(text: str = SECRET) -> dict[str, Any]:
    """A user's message."""
    return {"messages": [("user", text)]}


def on(thread: str) -> Any:
    """A run's config."""
    return {"configurable": {"thread_id": thread}}


def files_with(folder: Path, text: str) -> list[str]:
    """Which files hold a text."""
    return [path.name for path in folder.iterdir() if text.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("schema", "context", "owner"),
    [
        (Context, Context(user_id="ada", tenant="acme"), "acme/ada"),
        (Context, {"user_id": "ada"}, ADA),
        (Context, None, DEFAULT),
        (Own, Own("ada"), "acme/ada"),
        (dict, {"user_id": "ada"}, ADA),
        (Nameless, Nameless(), None),
        (None, None, DEFAULT),
    ],
)
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_run_owns_its_thread(
    saver: SqliteCheckpointer,
    schema: Any,
    context: Any,
    owner: str | None,
    durability: Literal["sync", "async", "exit"],
) -> None:
    """The owner comes from the run's context, in whichever way it runs and is kept, and stands in the metadata."""
    graph = build(saver, schema)
    graph.invoke(say(), on("one"), context=context, durability=durability)
    asyncio.run(graph.ainvoke(say(), on("two"), context=context, durability=durability))
    for event in graph.stream(say(), on("three"), context=context, durability=durability):
        assert event
    assert saver.threads_of(owner or DEFAULT) == ["one", "three", "two"] == saver.threads()
    found = {item.metadata.get(OWNER) for item in saver.list(None)}  # type: ignore[attr-defined]
    assert found == {owner}


@pytest.mark.parametrize("awaited", [False, True])
def test_a_run_that_dies_in_its_first_node_has_an_owner(
    saver: SqliteCheckpointer, tmp_path: Path, awaited: bool
) -> None:
    """LangGraph keeps the input before any node runs; that much is found and erased, too."""
    graph = StateGraph(State, Context)
    graph.add_node("fail", lambda state: 1 / 0)
    graph.add_edge(START, "fail")
    compiled = graph.compile(checkpointer=saver)
    context = Context(user_id="ada")
    with pytest.raises(ZeroDivisionError):
        _ = (
            asyncio.run(compiled.ainvoke(say(), on("t"), context=context))
            if awaited
            else compiled.invoke(say(), on("t"), context=context)
        )
    assert files_with(tmp_path, SECRET)
    assert saver.forget(ADA) == 1
    assert files_with(tmp_path, SECRET) == []


def test_writes_that_come_before_the_checkpoint(saver: SqliteCheckpointer, tmp_path: Path) -> None:
    """A process may be killed when a node's writes are on the disk and the checkpoint that they belong to is not."""

    class Late(SqliteCheckpointer):
        def put(self, config: Any, *rest: Any) -> Any:
            return {"configurable": {**config["configurable"], "checkpoint_id": rest[0]["id"]}}

    late = Late(tmp_path / "checkpoints.sqlite")
    build(late).invoke(say(), on("t"), context=Context(user_id="ada"))
    assert late.threads_of(ADA) == ["t"]
    assert files_with(tmp_path, "done")
    late.close()
    assert saver.forget(ADA) == 1
    assert files_with(tmp_path, "done") == []


def test_states_that_are_put_in_by_hand(saver: SqliteCheckpointer) -> None:
    """`update_state` knows no user: it gives nobody another's thread, and a new one to the default user."""
    graph = build(saver)
    graph.invoke(say(), on("run"), context=Context(user_id="ada"))
    graph.update_state(on("run"), say("more"))
    graph.update_state(on("made"), say("first"), as_node="inner")
    assert saver.threads_of(ADA) == ["run"]
    assert saver.threads_of(DEFAULT) == ["made"]


def test_a_shared_thread_belongs_to_both(saver: SqliteCheckpointer) -> None:
    """What was said in it cannot be taken apart: it goes with the first of its owners."""
    graph = build(saver)
    for user in ("ada", "bob"):
        graph.invoke(say(), on("shared"), context=Context(user_id=user))
    graph.invoke(say(), on("own"), context=Context(user_id="bob"))
    assert saver.threads_of(BOB) == ["own", "shared"]
    assert saver.forget(ADA) == 1
    assert saver.threads_of(BOB) == ["own"] == saver.threads()


def test_threads_of_an_earlier_version(tmp_path: Path) -> None:
    """Their checkpoints name no owner: the assistant's state does, and what names nobody is the default user's."""
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as old:
        for user in ("ada", "bob"):
            situation = {"model": "m", "tenant": "default", "user_id": user}
            build(old, cache={"outcome": "miss", "situation": situation}).invoke(say(), on(user))
        build(old, cache={"outcome": "skipped", "situation": None}).invoke(say(), on("skipped"))
        build(old).invoke(say(), on("plain"))
    saver = SqliteCheckpointer(tmp_path / "checkpoints.sqlite")
    assert saver.forget(ADA) == 1
    assert saver.threads_of(BOB) == ["bob"]
    assert saver.threads_of(DEFAULT) == ["plain", "skipped"]
    build(saver).invoke(say(), on("bob"), context=Context(user_id="bob"))
    assert saver.threads_of(BOB) == ["bob"]
    saver.close()


def test_nothing_is_left_in_the_file_or_its_log(saver: SqliteCheckpointer, tmp_path: Path) -> None:
    """Neither the text nor the user's name, though much was deleted and written in between."""
    graph = build(saver)
    for turn in range(30):
        for user in ("ada", "bob"):
            graph.invoke(say(f"{user}'s {SECRET} {turn} " * 20), on(f"{user} {turn}"), context=Context(user_id=user))
        if turn % 3 == 0:
            saver.prune([f"ada {turn}", f"bob {turn}"])
        if turn % 5 == 0:
            saver.delete_thread(f"ada {turn}")
    assert len(files_with(tmp_path, f"ada's {SECRET}")) >= 1
    assert asyncio.run(saver.aforget(ADA)) == 24
    assert files_with(tmp_path, f"ada's {SECRET}") == files_with(tmp_path, ADA) == files_with(tmp_path, "ada 1") == []
    assert len(saver.threads_of(BOB)) == 30
    assert graph.get_state(on("bob 0")).values["messages"][0].text.startswith(f"bob's {SECRET} 0")


def test_a_thread_whose_other_traces_stay_is_found_again(tmp_path: Path) -> None:
    """Where its saved conversation cannot be deleted, the thread keeps its owner until the next call has done it."""
    asked: list[str] = []

    def on_delete(thread: str) -> None:
        asked.append(thread)
        if len(asked) == 1:
            raise StorageError("The disk is read-only.")

    saver = SqliteCheckpointer(tmp_path / "checkpoints.sqlite", on_delete=on_delete)
    build(saver).invoke(say(), on("t"), context=Context(user_id="ada"))
    with pytest.raises(StorageError, match="read-only"):
        saver.forget(ADA)
    assert saver.threads_of(ADA) == ["t"]
    assert saver.forget(ADA) == 1
    assert asked == ["t", "t"]
    assert saver.forget(ADA) == 0
    assert files_with(tmp_path, SECRET) == []
    saver.close()


def test_a_reader_in_the_way_is_told(saver: SqliteCheckpointer, tmp_path: Path) -> None:
    """While another program reads the log it cannot be emptied: an error, and the next call does it."""
    build(saver).invoke(say(), on("t"), context=Context(user_id="ada"))
    saver.conn.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(tmp_path / "checkpoints.sqlite")
    other.execute("BEGIN")
    other.execute("SELECT * FROM checkpoints").fetchone()
    with pytest.raises(StorageError, match="forget again"):
        saver.forget(ADA)
    other.close()
    assert saver.forget(ADA) == 0
    assert files_with(tmp_path, SECRET) == []


def test_a_thread_has_no_owner_when_nothing_is_left_of_it(saver: SqliteCheckpointer) -> None:
    """Whichever way it is deleted; a thread that is only shortened stays its owner's."""
    graph = build(saver)
    for thread in ("deleted", "pruned", "rolled back", "shortened"):
        config = {**on(thread), "metadata": {"run_id": thread}}
        graph.invoke(say(), config, context=Context(user_id="ada"))
    saver.delete_thread("deleted")
    saver.prune(["pruned"], strategy="delete_all")
    saver.delete_for_runs(["rolled back"])
    saver.prune(["shortened"])
    assert saver.threads_of(ADA) == ["shortened"]


def test_any_checkpointer_can_name_owners() -> None:
    """`OwnerStamp` before another class: its checkpoints are found by their owner, in both ways to run."""

    class Stamped(OwnerStamp, InMemorySaver):
        pass

    saver = Stamped()
    graph = build(saver)
    graph.invoke(say(), on("one"), context=Context(user_id="ada"))
    asyncio.run(graph.ainvoke(say(), on("two"), context=Context(user_id="bob")))
    for owner, thread in ((ADA, "one"), (BOB, "two")):
        assert {item.config["configurable"]["thread_id"] for item in saver.list(None, filter={OWNER: owner})} == {
            thread
        }


def test_owners_are_told_apart() -> None:
    """No two pairs of tenant and user have one name, and outside of a run there is none."""
    assert owner_of(Context(user_id="b", tenant="a")) == "a/b"
    assert owner_of_run({"configurable": {}}) is None


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")) | st.sampled_from("abc"), min_size=1, max_size=12
    )
)
def test_any_order_of_runs_and_forgetting(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """Exactly the threads in which the forgotten user ran go; a run afterwards begins anew."""
    saver = SqliteCheckpointer(tmp_path_factory.mktemp("steps") / "checkpoints.sqlite")
    graph = build(saver)
    threads: dict[str, set[str]] = {}
    for step in steps:
        if isinstance(step, str):
            expected = [thread for thread, users in threads.items() if step in users]
            assert saver.forget(f"default/{step}") == len(expected)
            for thread in expected:
                del threads[thread]
        else:
            user, thread = step
            before = len(threads.get(thread, ()))
            state = graph.invoke(say(), on(thread), context=Context(user_id=user))
            assert (len(state["messages"]) == 2) == (before == 0)
            threads.setdefault(thread, set()).add(user)
        assert saver.threads() == sorted(threads)
    saver.close()
