"""The prebuilt rag graph on real parts: the shipped models, embedded Qdrant, SQLite."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langgraph_sdk import get_sync_client

from freehold import Context, Workspace
from freehold.graphs import create_rag
from freehold.models import DEMO_MODEL, model_path
from freehold.nodes import Prompts
from freehold.nodes.check_citations import UNKNOWN
from freehold.nodes.graders import ModelGrader
from freehold.state import Passage
from tests.conftest import QUESTION, ROOT
from tests.graphs.test_drawing import check_drawn
from tests.graphs.test_serve import FREEHOLD, _server

UNANSWERED = "Who won the world cup in 2014?"


class Notes(BaseRetriever):
    """A retriever of a user's own, which may be down."""

    texts: list[str] = []  # noqa: RUF012 - pydantic copies it per instance
    down: bool = False
    asked: list[str] = []  # noqa: RUF012

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        self.asked.append(query)
        if self.down:
            raise ConnectionError
        words = set(query.casefold().rstrip("?").split())
        return [Document(text) for text in self.texts if words & set(text.casefold().rstrip(".").split())]


class Capable(BaseChatModel):
    """Stands for a capable model: grades, rewrites and answers by rote, and keeps what it was asked for."""

    answer: str = "Behind the panel [1]."
    rewritten: str = "Where is the gauge of the boiler?"
    relevant: str = "yes"
    broken: frozenset[str] = frozenset()
    work: list[str] = []  # noqa: RUF012 - pydantic copies it per instance
    prompts: list[list[BaseMessage]] = []  # noqa: RUF012
    threads: list[str | None] = []  # noqa: RUF012

    @property
    def _llm_type(self) -> str:
        return "capable"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        self.threads.append(run_manager.metadata.get("thread_id"))
        system = str(messages[0].text)
        kind = "grade" if "relevant" in system else "rewrite" if "search" in system else "answer"
        self.work.append(kind)
        self.prompts.append(messages)
        if kind in self.broken:
            raise ConnectionError
        text = {"grade": self.relevant, "rewrite": self.rewritten, "answer": self.answer}[kind]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


class NoneFits:
    """A grader of a user's own."""

    threshold = 0.5

    async def grade(self, question: str, passages: Sequence[Passage]) -> list[float]:
        return [0.0 for _ in passages]


Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def workspace(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One open workspace with the documents in it: the tests here only read it, each in a thread of its own."""
    home = tmp_path_factory.mktemp("rag") / "home"
    shutil.copytree(ingested, home)
    with Workspace(home) as opened:
        yield opened


@pytest.fixture
def config(request: pytest.FixtureRequest) -> Any:
    """The test's own thread."""
    return {"configurable": {"thread_id": request.node.name}}


@pytest.fixture
def ask(workspace: Workspace, config: Any) -> Ask:
    """A turn in the test's thread; with parts of one's own, of a graph of one's own."""

    def turn(message: str, **parts: Any) -> dict[str, Any]:
        graph = create_rag(workspace, **parts)
        return dict(graph.invoke({"messages": [("user", message)]}, config, context=Context(user_id="ada")))

    return turn


def decided(state: dict[str, Any]) -> list[tuple[str, str]]:
    """What each node decided, in the order in which they ran."""
    return [(decision["node"], decision["decision"]) for decision in state["decisions"]]


def test_the_documents_answer_with_a_citation(ask: Ask) -> None:
    """The main job, on the shipped models: an answer from a passage that was graded, and the place it stands in."""
    state = ask(QUESTION)
    assert "lower front panel" in state["answer"]
    assert state["route"] == "documents"
    assert state["citations"][0]["source"].endswith("boiler.md")
    assert decided(state) == [
        ("retrieve", "found"),
        ("grade_passages", "relevant"),
        ("compress_context", "kept"),
        ("generate", "generated"),
        ("check_citations", "cited"),
    ]


def test_what_the_documents_do_not_hold_is_said(ask: Ask) -> None:
    """Two searches, no passage that fits, no model asked: an answer that a program can tell from an answer."""
    state = ask(UNANSWERED)
    assert state["answer"] == UNKNOWN
    assert (state["route"], state["citations"], state["passages"]) == ("unanswered", [], [])
    assert decided(state) == [
        ("retrieve", "nothing"),
        ("grade_passages", "nothing"),
        ("rewrite_question", "rewritten"),
        ("retrieve", "nothing"),
        ("grade_passages", "nothing"),
        ("say_unknown", "unanswered"),
    ]
    assert state["messages"][-1].response_metadata["unanswered"]


def test_a_follow_up_is_understood_from_the_turn_before(ask: Ask) -> None:
    """What names nothing by itself is searched for with the words before it, and answered from the documents."""
    ask("Who services the boiler?")
    state = ask("When?")
    assert state["question"] == "services boiler: When?"
    assert "October" in state["answer"]
    assert state["citations"]
    assert [message.text for message in state["messages"] if message.type == "human"][-1] == "When?"


def test_a_second_turn_speaks_of_itself(ask: Ask) -> None:
    """An answer of the turn before, its passages and its rewriting are gone."""
    ask(UNANSWERED)
    state = ask(QUESTION)
    assert state["question"] == QUESTION
    assert state["route"] == "documents"
    assert "rewrite_question" not in dict(decided(state))
    assert len(state["messages"]) == 4


@pytest.mark.parametrize("message", ["", "  \n"])
def test_an_empty_question_is_not_searched_for(ask: Ask, message: str) -> None:
    """Nothing to answer is said so, and not that the documents lack it."""
    state = ask(message)
    assert decided(state) == [("say_unknown", "unanswered")]
    assert state["answer"] != UNKNOWN


def test_a_capable_model_grades_and_rewrites(ask: Ask) -> None:
    """A model that can is asked about each passage, and about the question once; grading knows the new question."""
    model = Capable()
    notes = Notes(texts=["The gauge of the boiler is behind the panel.", "A gauge of rain."])
    state = ask("Where does it hide?", model=model, retriever=notes)
    assert notes.asked == ["Where does it hide?", model.rewritten]
    assert model.work == ["rewrite", "grade", "grade", "answer"]
    assert model.threads[:-1] == [None] * 3  # what is kept of the thread is the conversation, not these
    assert model.threads[-1]
    assert model.rewritten in str(model.prompts[1][-1].text)
    assert (state["answer"], state["route"]) == ("Behind the panel [1].", "documents")
    assert state["citations"][0]["text"] == notes.texts[0]


def test_a_local_model_of_ones_own_is_asked_too(ingested: Path, tmp_path: Path) -> None:
    """Any GGUF but the demonstration model grades under a grammar and rewrites, on the real engine."""
    shutil.copytree(ingested, tmp_path / "home")
    shutil.copy(model_path(DEMO_MODEL), tmp_path / "own.gguf")
    with Workspace(tmp_path / "home", model=tmp_path / "own.gguf") as opened:
        assert not opened.is_demonstration
        state = create_rag(opened, checkpointer=False).invoke({"messages": [("user", QUESTION)]})
    first = next(decision for decision in state["decisions"] if decision["node"] == "grade_passages")
    assert first["decision"] in ("relevant", "irrelevant")
    assert set(first["details"]["grades"].values()) <= {0.0, 1.0}
    assert "error" not in dict(decided(dict(state))).values()


def test_the_question_is_rewritten_once(ask: Ask) -> None:
    """A grader that finds nothing fitting ends in a plain answer after a second search, never in a circle."""
    notes = Notes(texts=["The gauge is red."])
    state = ask("What of the gauge?", model=Capable(), retriever=notes, grader=NoneFits())
    assert len(notes.asked) == 2
    assert decided(state)[-2:] == [("grade_passages", "irrelevant"), ("say_unknown", "unanswered")]


def test_a_text_that_was_searched_for_is_not_searched_again(ask: Ask) -> None:
    """Where rewriting brings nothing new, the second search is spared."""
    notes = Notes()
    state = ask("Gauge?", retriever=notes)
    assert notes.asked == ["Gauge?"]
    assert decided(state)[-2:] == [("rewrite_question", "unchanged"), ("say_unknown", "unanswered")]


@pytest.mark.parametrize(
    ("answer", "decision", "route"),
    [
        (UNKNOWN, "unanswered", "unanswered"),
        ("the documents do not say [1]", "unanswered", "unanswered"),
        ("Behind the panel.", "uncited", "documents"),
        ("Behind the panel [4].", "uncited", "documents"),
    ],
)
def test_an_answer_that_rests_on_nothing_is_told(ask: Ask, answer: str, decision: str, route: str) -> None:
    """A model that does not know, or cites nothing that there is, leaves no citation, and the state says which."""
    notes = Notes(texts=["The gauge is behind the panel."])
    state = ask("Where is the gauge?", model=Capable(answer=answer), retriever=notes)
    assert state["citations"] == []
    assert (decided(state)[-1], state["route"]) == (("check_citations", decision), route)
    assert state["messages"][-1].text == state["answer"] == answer


def test_a_retriever_that_is_down_is_not_the_documents_silence(ask: Ask) -> None:
    """Nobody knows what they say: the answer and the decision must not claim it, and nothing is rewritten."""
    state = ask(QUESTION, retriever=Notes(down=True))
    assert state["answer"] != UNKNOWN
    assert decided(state) == [("retrieve", "error"), ("grade_passages", "nothing"), ("say_unknown", "unavailable")]
    assert "ConnectionError" in state["decisions"][-1]["reason"]


def test_a_run_narrows_the_search(workspace: Workspace) -> None:
    """What the conditions of a run leave out is not answered from."""
    rag = create_rag(workspace, checkpointer=False)
    message: Any = {"messages": [("user", QUESTION)]}
    source = rag.invoke(message)["citations"][0]["source"]
    assert rag.invoke({**message, "where": {"source": source}})["route"] == "documents"
    assert rag.invoke({**message, "where": {"source": "another.md"}})["route"] == "unanswered"


def test_a_model_that_cannot_grade_costs_the_grading_alone(ask: Ask) -> None:
    """Passages stay as they were found, and the run says so."""
    state = ask(QUESTION, model=Capable(broken=frozenset({"grade"})))
    assert dict(decided(state))["grade_passages"] == "error"
    assert state["passages"]
    assert state["route"] == "documents"


def test_a_model_that_is_down_falls_back_to_the_local_one(ask: Ask) -> None:
    """The workspace's own model answers, with citations, and the decision says so."""
    broken = Capable(broken=frozenset({"grade", "rewrite", "answer"}))
    state = ask(QUESTION, model=broken, prompts=Prompts())
    assert dict(decided(state))["generate"] == "fell_back"
    assert "lower front panel" in state["answer"]
    with pytest.raises(ConnectionError):  # the demonstration model would answer other instructions with nonsense
        ask(QUESTION, model=broken)


def test_a_budget_shortens_what_the_model_reads(ask: Ask) -> None:
    """The prompt holds the sentence that matters, and the citation still leads to the whole passage."""
    other = "The cellar was a coal store, and children hid in it on rainy days for many years. " * 5
    text = f"{other}The gauge is behind the panel. {other}"
    model = Capable()
    state = ask("Where is the gauge?", model=model, retriever=Notes(texts=[text]), token_budget=20)
    assert dict(decided(state))["compress_context"] == "compressed"
    prompt = str(model.prompts[-1][0].text)
    assert "The gauge is behind the panel." in prompt
    assert len(prompt) < len(text)
    assert state["citations"][0]["end"] == len(text)


def test_a_run_stops_and_goes_on_from_its_checkpoint(workspace: Workspace, config: Any) -> None:
    """What was found and graded is kept as plain JSON and not done again."""
    rag = create_rag(workspace)
    rag.invoke({"messages": [("user", QUESTION)]}, config, interrupt_before=["generate"])
    kept = rag.get_state(config)
    assert kept.next == ("generate",)
    values = {name: value for name, value in kept.values.items() if name != "messages"}
    assert json.loads(json.dumps(values)) == values
    state = rag.invoke(None, config)
    assert [node for node, _ in decided(state)].count("retrieve") == 1
    assert "lower front panel" in state["answer"]


async def test_awaited_and_called_answer_alike(workspace: Workspace) -> None:
    """`ainvoke` gives what `invoke` gives."""
    rag = create_rag(workspace, checkpointer=False)
    for question in (QUESTION, UNANSWERED):
        message: Any = {"messages": [("user", question)]}
        awaited, called = await rag.ainvoke(message), rag.invoke(message)
        assert (awaited["answer"], awaited["citations"]) == (called["answer"], called["citations"])
        assert decided(dict(awaited)) == decided(dict(called))


async def test_the_answer_alone_streams(workspace: Workspace) -> None:
    """A client that shows the stream shows the answer, and nothing of grading and rewriting."""
    model = Capable()
    notes = Notes(texts=["The gauge of the boiler is behind the panel."])
    message: Any = {"messages": [("user", "Where does it hide?")]}
    own = create_rag(workspace, model=model, retriever=notes, checkpointer=False)
    shown = [part[0].text async for part in own.astream(message, stream_mode="messages")]
    assert model.work == ["rewrite", "grade", "answer"]
    assert "".join(shown) == model.answer

    local = create_rag(workspace, checkpointer=False)
    parts = [part[0] async for part in local.astream({"messages": [("user", QUESTION)]}, stream_mode="messages")]
    pieces = [part.text for part in parts if isinstance(part, AIMessageChunk)]
    assert len(pieces) > 3
    assert "lower front panel" in "".join(pieces)

    graded = create_rag(workspace, grader=ModelGrader(workspace.chat_model), checkpointer=False)
    parts = [part[0] async for part in graded.astream({"messages": [("user", QUESTION)]}, stream_mode="messages")]
    assert "relevant" not in "".join(part.text for part in parts)


async def test_many_runs_at_once_do_not_mix(workspace: Workspace) -> None:
    """Each of forty runs on one loop answers its own question."""
    rag = create_rag(workspace, checkpointer=False)
    asked = [QUESTION, UNANSWERED, "When is the garden gate locked?", "Where does the router stand?"] * 10
    states = await asyncio.gather(*(rag.ainvoke({"messages": [("user", question)]}) for question in asked))
    words = {QUESTION: "panel", UNANSWERED: UNKNOWN, asked[2]: "sunset", asked[3]: "attic"}
    assert all(words[question] in state["answer"] for question, state in zip(asked, states, strict=True))


def test_the_run_context_is_heeded(workspace: Workspace) -> None:
    """A budget of tokens in the run context ends the answer."""
    message: Any = {"messages": [("user", QUESTION)]}
    state = create_rag(workspace, checkpointer=False).invoke(message, context=Context(budget=3))
    assert dict(decided(dict(state)))["generate"] == "truncated"


def test_the_picture_in_the_docs_is_the_graph(workspace: Workspace) -> None:
    """The page draws the graph as it is compiled, and Freehold's own drawing shows all of it."""
    rag = create_rag(workspace)
    page = (ROOT / "docs" / "rag.md").read_text(encoding="utf-8")
    assert rag.get_graph().draw_mermaid().strip() in page
    assert len(check_drawn(rag)) == len(rag.get_graph().edges)


def test_a_budget_of_nothing_is_refused(workspace: Workspace) -> None:
    """A mistake shows when the graph is made."""
    with pytest.raises(ValueError, match="token_budget=0"):
        create_rag(workspace, token_budget=0)


def test_the_package_exports_it() -> None:
    """`create_rag` is found where the other graphs are."""
    from freehold import graphs

    assert graphs.create_rag is create_rag


@pytest.mark.slow
def test_the_server_answers_as_the_imported_graph_does(ingested: Path, tmp_path: Path) -> None:
    """`freehold serve` has it too: the same answer, citations and decisions, for an answer and for none."""
    for way in ("import", "server"):
        shutil.copytree(ingested, tmp_path / way)

    def shown(state: Any) -> Any:
        return [state[key] for key in ("answer", "route", "citations", "question")] + decided(dict(state))

    with Workspace(tmp_path / "import") as opened:
        rag = create_rag(opened, checkpointer=False)
        imported = [shown(rag.invoke({"messages": [("user", question)]})) for question in (QUESTION, UNANSWERED)]
    with _server(FREEHOLD, tmp_path / "server", tmp_path / "run") as url, get_sync_client(url=url) as client:
        served = [
            shown(client.runs.wait(None, "rag", input={"messages": [{"role": "user", "content": question}]}))
            for question in (QUESTION, UNANSWERED)
        ]
    assert json.loads(json.dumps(imported)) == json.loads(json.dumps(served))
