"""The nodes `Retrieve`, `RecallMemory` and `SaveMemory`, with a user's own parts."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from freehold.context import Context
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
