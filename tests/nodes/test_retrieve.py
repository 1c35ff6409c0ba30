"""The nodes `Retrieve`, `RecallMemory` and `SaveMemory`, with a user's own parts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from freehold import Workspace
from freehold.context import Context
from freehold.errors import UserError
from freehold.memory import DocumentRetriever
from freehold.nodes import RecallMemory, Retrieve, SaveMemory
from freehold.state import Memory

STATE = {"messages": [("user", "Where is the key?")]}


class Notes(BaseRetriever):
    """A retriever of a user's own."""

    documents: list[Document] = []  # noqa: RUF012 - pydantic copies it per instance
    error: str = ""

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        if self.error:
            raise ConnectionError(self.error)
        return self.documents


class Facts:
    """A memory of a user's own."""

    def __init__(self, error: str = "") -> None:
        self.error = error

    async def search(
        self, query: str, context: Context, limit: int = 5, threshold: float | None = None
    ) -> list[Memory]:
        if self.error:
            raise ConnectionError(self.error)
        return [{"id": "1", "text": f"{context.user_id} likes tea", "score": 0.7, "created_at": ""}]

    async def add(self, text: str, context: Context) -> list[Memory]:
        return await self.search(text, context)


def test_any_langchain_retriever_gives_passages() -> None:
    """Documents without Freehold's metadata become passages, in the retriever's order."""
    update = Retrieve(Notes(documents=[Document("b", metadata={"source": "x.md"}), Document("a")]))(STATE)
    assert [(p["text"], p["source"], p["end"]) for p in update["passages"]] == [("b", "x.md", 1), ("a", "", 1)]
    assert update["passages"][0]["id"] != update["passages"][1]["id"]


def test_low_scores_and_extra_passages_are_dropped() -> None:
    """At most `limit`, and only what reaches the threshold; the decision shows the best score either way."""
    documents = [Document(str(n), metadata={"score": n / 10}) for n in (9, 1, 8, 7)]
    update = Retrieve(Notes(documents=documents), limit=3, threshold=0.5)(STATE)
    assert [p["text"] for p in update["passages"]] == ["9", "8"]
    nothing = Retrieve(Notes(documents=documents), threshold=0.95)(STATE)
    assert nothing["passages"] == []
    assert nothing["decisions"][0]["score"] == 0.9


def test_a_retriever_that_is_down_finds_nothing() -> None:
    """The run goes on, and the decision says that it is an error, not an empty shelf."""
    update = Retrieve(Notes(error="down"))(STATE)
    assert update["passages"] == []
    assert update["decisions"][0]["decision"] == "error"


@pytest.mark.parametrize(
    "metadata",
    [
        {"score": None, "start": None, "end": None, "source": None, "heading": None, "page": None},
        {"score": "high", "start": "a", "end": [], "page": "iv", "rerank_score": "low", "index": "x", "section": {}},
        {"score": float("nan"), "start": float("inf"), "end": 10**400, "page": True, "rerank_score": float("nan")},
    ],
)
def test_metadata_that_cannot_be_used_counts_as_missing(metadata: dict[str, Any]) -> None:
    """Any retriever's document becomes the passage that one without metadata becomes, and is kept."""
    plain = Retrieve(Notes(documents=[Document("text")]))(STATE)["passages"]
    assert plain[0]["end"] == 4
    assert Retrieve(Notes(documents=[Document("text", metadata=metadata)]))(STATE)["passages"] == plain


def test_numbers_of_other_kinds_are_read() -> None:
    """What a table's reader made a float or a text of is the same place in the document."""
    metadata = {"page": 3.0, "start": "12", "end": np.int64(16), "score": np.float32(0.5)}
    passage = Retrieve(Notes(documents=[Document("text", metadata=metadata)]))(STATE)["passages"][0]
    assert (passage["page"], passage["start"], passage["end"], passage["score"]) == (3, 12, 16, 0.5)
    assert {type(passage[key]) for key in ("page", "start", "end")} == {int}  # type: ignore[literal-required]


def test_halves_of_characters_reach_no_checkpoint() -> None:
    """A retriever's text without a UTF-8 form, wherever it stands, becomes one that can be stored."""
    metadata = {"source": "\ud83d.md", "heading": "\ud83d", "metadata": {"\ud83d": ["\ud83d", {"a": "\ud83d"}]}}
    passage = Retrieve(Notes(documents=[Document("see \ud83d", metadata=metadata)]))(STATE)["passages"][0]
    assert passage["text"] == "see \ufffd"
    json.dumps(passage, ensure_ascii=False).encode()


def test_memories_come_from_the_scope_of_the_run() -> None:
    """The user id is the run context's, whatever the message says."""
    from langgraph.runtime import Runtime

    update = RecallMemory(Facts())(STATE, Runtime(context=Context(user_id="bob")))
    assert update["memories"][0]["text"] == "bob likes tea"


def test_a_memory_that_is_down_costs_memories_only() -> None:
    """Recall gives nothing, saving keeps nothing, and both say so."""
    assert RecallMemory(Facts("down"))(STATE)["decisions"][0]["decision"] == "error"
    assert SaveMemory(Facts("down"))(STATE)["decisions"][0]["decision"] == "error"
    assert SaveMemory(Facts())(STATE)["decisions"][0]["details"]["facts"] == ["default likes tea"]


PAGES = [
    Document("one", metadata={"source": "a.pdf", "page": 1, "score": 0.9, "metadata": {"format": "pdf"}}),
    Document("two", metadata={"source": "a.pdf", "page": 2, "score": 0.8, "metadata": {"format": "pdf"}}),
    Document("three", metadata={"source": "b.md", "page": None, "score": 0.7, "format": "markdown"}),
]


def test_a_run_narrows_and_never_widens() -> None:
    """The state's conditions hold beside the node's own, for a retriever that cannot filter as well."""
    anyone = Retrieve(Notes(documents=PAGES))
    assert [p["text"] for p in anyone({**STATE, "where": {"format": "pdf"}})["passages"]] == ["one", "two"]
    assert [p["text"] for p in anyone({**STATE, "where": {"format": "markdown"}})["passages"]] == ["three"]
    narrow = Retrieve(Notes(documents=PAGES), where={"format": "pdf"})
    assert [p["text"] for p in narrow(STATE)["passages"]] == ["one", "two"]
    assert [p["text"] for p in narrow({**STATE, "where": {"page": {"gte": 2}}})["passages"]] == ["two"]
    assert narrow({**STATE, "where": {"format": "markdown"}})["passages"] == []
    assert [p["text"] for p in narrow({**STATE, "where": None})["passages"]] == ["one", "two"]
    assert narrow({**STATE, "where": {}})["passages"][0]["metadata"] == {"format": "pdf"}


def test_a_condition_that_cannot_be_used_finds_nothing() -> None:
    """A run's mistake is told in the decision and widens nothing; the author's is told when the node is made."""
    for where in ({"page": {"near": 3}}, "format=pdf", [{"format": "pdf"}]):
        update = Retrieve(Notes(documents=PAGES))({**STATE, "where": where})
        assert update["passages"] == []
        assert update["decisions"][0]["decision"] == "error"
        assert "filter" in update["decisions"][0]["reason"]
    with pytest.raises(UserError, match="near"):
        Retrieve(Notes(), where={"page": {"near": 3}})


def test_a_documents_retriever_searches_within_the_conditions(workspace: Workspace) -> None:
    """They reach the store: the best of what is allowed is found, not what is left of the best of all."""
    retriever = DocumentRetriever(documents=workspace.documents, limit=1)
    question = {"question": "Where does the boiler keep its pressure gauge?"}
    found = Retrieve(retriever, threshold=-1)(question)["passages"]
    assert found[0]["source"].endswith("boiler.md")
    other = {"source": {"not": found[0]["source"]}}
    within = Retrieve(retriever, threshold=-1)({**question, "where": other})["passages"]
    assert len(within) == 1
    assert within[0]["source"] != found[0]["source"]


def test_a_rerankers_score_decides_where_there_is_one() -> None:
    """It is held against its own threshold, whatever the cosine; both decisions show what was measured."""
    judged = [
        Document("good", metadata={"score": 0.1, "rerank_score": 0.9}),
        Document("bad", metadata={"score": 0.8, "rerank_score": 0.05}),
    ]
    update = Retrieve(Notes(documents=judged), threshold=0.25, rerank_threshold=0.2)(STATE)
    assert [(p["text"], p["rerank_score"]) for p in update["passages"]] == [("good", 0.9)]
    assert (update["decisions"][0]["score"], update["decisions"][0]["threshold"]) == (0.9, 0.2)
    nothing = Retrieve(Notes(documents=judged[1:]), rerank_threshold=0.2)(STATE)
    assert (nothing["decisions"][0]["decision"], nothing["decisions"][0]["score"]) == ("nothing", 0.05)
