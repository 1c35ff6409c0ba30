"""Conversations on disk: a resumed one is not read again, a forgotten one is gone, a damaged one harms nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from freehold import Workspace
from freehold.inference import Engine, GenerationRequest
from freehold.inference.sequence_store import SequenceStore
from freehold.models import DEMO_MODEL, model_path

DEMO = model_path(DEMO_MODEL)
TEXT = "The lake is forty metres deep at its centre, and the heron eats the fish that live in it. " * 14


def open_engine(folder: Path, **options: int) -> Engine:
    """An engine that keeps conversations in a folder."""
    return Engine(DEMO, store=SequenceStore(folder, 2**30, "demo"), **options)  # type: ignore[arg-type]


def saved(folder: Path) -> list[Path]:
    """The files of conversations."""
    return list(folder.iterdir())


def damage(path: Path) -> None:
    """Change one bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


async def test_a_resumed_conversation_is_not_read_again(tmp_path: Path) -> None:
    """After a restart, the next turn finds the keys and values of the last one, and goes on as if they were new."""
    first = open_engine(tmp_path)
    said = await first.generate(GenerationRequest(TEXT, max_tokens=16, thread="ada"))
    first.close()
    assert len(saved(tmp_path)) == 1
    longer = TEXT + said.text + " And how deep is the river?"
    plain = Engine(DEMO)
    expected = await plain.generate(GenerationRequest(longer, max_tokens=16))
    plain.close()
    second = open_engine(tmp_path)
    again = await second.generate(GenerationRequest(longer, max_tokens=16, thread="ada"))
    assert again.reused_tokens > said.prompt_tokens
    assert again.text == expected.text
    assert second.stats().prefill_tokens < 40
    second.close()


async def test_what_is_evicted_is_kept_on_disk(tmp_path: Path) -> None:
    """A conversation whose cells others need goes to disk, and comes back from there."""
    engine = open_engine(tmp_path, context_length=1024, cache_tokens=1024)
    first = await engine.generate(GenerationRequest(TEXT, max_tokens=4, thread="ada"))
    assert not saved(tmp_path)
    await engine.generate(GenerationRequest("Rust is a language. " + TEXT * 2, max_tokens=4))
    assert len(saved(tmp_path)) == 1
    again = await engine.generate(GenerationRequest(TEXT + " And", max_tokens=4, thread="ada"))
    assert again.reused_tokens >= first.prompt_tokens - 1
    engine.close()


async def test_without_a_thread_nothing_is_written(tmp_path: Path) -> None:
    """Only what belongs to a conversation is kept on disk."""
    engine = open_engine(tmp_path)
    await engine.generate(GenerationRequest(TEXT, max_tokens=4))
    engine.close()
    assert not saved(tmp_path)


@pytest.mark.parametrize("loaded", [True, False])
async def test_forgotten_conversations_are_gone(tmp_path: Path, loaded: bool) -> None:
    """Forgetting erases a conversation on disk and in the cache, and closing does not write it again."""
    engine = open_engine(tmp_path)
    await engine.generate(GenerationRequest(TEXT, max_tokens=4, thread="ada"))
    await engine.generate(GenerationRequest("Another one. " + TEXT, max_tokens=4, thread="bob"))
    if not loaded:
        assert engine.unload()
        assert len(saved(tmp_path)) == 2
    engine.forget("ada")
    engine.close()
    assert len(saved(tmp_path)) == 1


async def test_forgetting_a_conversation_that_speaks(tmp_path: Path) -> None:
    """What a running request of a forgotten conversation still says is not written when the engine closes."""
    engine = open_engine(tmp_path)
    banned = {0: float("-inf"), 2: float("-inf")}
    stream = engine.stream(GenerationRequest(TEXT, max_tokens=500, thread="ada", logit_bias=banned))
    await anext(stream)
    engine.forget("ada")
    await stream.aclose()
    engine.close()
    assert not saved(tmp_path)


@pytest.mark.parametrize("said", ["plain words", "Write to ada@example.org"])
def test_deleting_a_thread_deletes_its_keys(tmp_path: Path, said: str) -> None:
    """A graph's conversation lies on disk only where nothing in it would be masked, and goes with its thread."""

    def graph(workspace: Workspace) -> CompiledStateGraph:  # type: ignore[type-arg]
        builder = StateGraph(MessagesState)
        builder.add_node("answer", lambda state: {"messages": [workspace.chat_model.invoke(state["messages"])]})
        builder.add_edge(START, "answer")
        return builder.compile(checkpointer=workspace.checkpointer)

    config: RunnableConfig = {"configurable": {"thread_id": "ada"}}
    folder = tmp_path / "sequences"
    with Workspace(tmp_path, max_tokens=8) as workspace:
        graph(workspace).invoke({"messages": [("user", f"{said}. {TEXT}")]}, config)
    assert len(saved(folder)) == (said == "plain words")
    with Workspace(tmp_path, max_tokens=8) as workspace:
        graph(workspace).invoke({"messages": [("user", "More.")]}, config)
        workspace.checkpointer.delete_thread("ada")
        assert not saved(folder)
    assert not saved(folder)


async def test_a_damaged_file_is_read_anew(tmp_path: Path) -> None:
    """A file that was changed on disk is not given to llama.cpp; the answer is the same."""
    first = open_engine(tmp_path)
    said = await first.generate(GenerationRequest(TEXT, max_tokens=16, thread="ada"))
    first.close()
    damage(saved(tmp_path)[0])
    second = open_engine(tmp_path)
    again = await second.generate(GenerationRequest(TEXT, max_tokens=16, thread="ada"))
    assert (again.text, again.reused_tokens) == (said.text, 0)
    second.close()


async def test_state_of_another_shape_is_refused(tmp_path: Path) -> None:
    """State that llama.cpp does not take, from another layout of the cache, is read anew instead."""
    engine = open_engine(tmp_path)
    said = await engine.generate(GenerationRequest(TEXT, max_tokens=8, thread="ada"))
    engine.close()
    other = Engine(DEMO, store=SequenceStore(tmp_path, 2**30, "demo"), flash_attention=False)
    again = await other.generate(GenerationRequest(TEXT, max_tokens=8, thread="ada"))
    assert (again.text, again.reused_tokens) == (said.text, 0)
    other.close()
