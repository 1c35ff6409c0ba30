"""The nodes `LookupCache` and `StoreCache` on a real response cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime

from freehold.cache import ResponseCache, Situation, ThresholdHits
from freehold.context import Context
from freehold.coordination import MemoryStore, SQLiteStore
from freehold.inference import LlamaEmbeddings
from freehold.memory import EdgeQdrantClient, SemanticIndex
from freehold.nodes import LookupCache, StoreCache
from freehold.portal import run_sync

QUESTION = "Where is the key?"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResponseCache]:
    """A cache with the exact tier only."""
    opened = ResponseCache(SQLiteStore(tmp_path / "cache.sqlite"), None)
    yield opened
    opened.close()


def lookup(cache: ResponseCache, documents: str = "v1") -> LookupCache:
    """The node, over documents of a version."""
    return LookupCache(cache, lambda _: Situation(model="m", documents=documents))


def runtime(user: str = "ada") -> Runtime[Context]:
    """A run of a user."""
    return Runtime(context=Context(user_id=user))


def answered(on: ResponseCache, /, **changes: Any) -> dict[str, Any]:
    """The state behind a generated answer to the question."""
    state: dict[str, Any] = {"messages": [("user", QUESTION)], "question": QUESTION}
    state.update(lookup(on)(state, runtime()))
    passage = {"id": "p", "source": "notes.md", "text": "x", "heading": "", "page": None, "start": 0, "end": 1}
    generated = {
        "node": "generate",
        "decision": "generated",
        "details": {"input_tokens": 70, "output_tokens": 10},
        "milliseconds": 1500.0,
    }
    state.update(
        answer="In the shed [1].",
        citations=[{"number": 1, **passage}],
        passages=[passage],
        route="documents",
        messages=[("user", QUESTION), AIMessage("In the shed [1].", response_metadata={"model_name": "m"})],
        decisions=[*state["decisions"], generated],
    )
    state.update(changes)
    return state


def test_a_stored_answer_comes_back_whole(cache: ResponseCache) -> None:
    """Answer, citations and route come back, and the thread gets the answer as a message."""
    assert StoreCache(cache)(answered(cache))["decisions"][0]["decision"] == "stored"
    update = lookup(cache)({"messages": [("user", "  where is the KEY ")]}, runtime())
    assert update["cache"]["outcome"] == "hit"
    assert update["cache"]["tier"] == "memory"
    assert update["cache"]["entry"].startswith(Situation(model="m", user_id="ada").owner)
    assert update["answer"] == update["messages"][0].text == "In the shed [1]."
    assert update["citations"][0]["source"] == "notes.md"
    assert update["route"] == "documents"


def test_what_a_hit_saves_is_kept_with_the_answer(cache: ResponseCache) -> None:
    """The report needs the tokens and the time that the answer took."""
    StoreCache(cache)(answered(cache))
    (entry,) = run_sync(cache.entries())
    assert (entry.answer.tokens, entry.answer.seconds) == (80, 1.5)
    assert entry.answer.sources == {"notes.md": ""}


def test_each_part_of_the_key_is_told(cache: ResponseCache) -> None:
    """A miss can be explained: what the answer depends on stands in the decision."""
    node = LookupCache(cache, lambda _: Situation(model="m", tools="t", guardrails="g", sampling="s", prompt="p"))
    update = node({"messages": [("user", QUESTION)], "route": "documents"}, runtime())
    parts = {"model": "m", "tools": "t", "guardrails": "g", "sampling": "s", "prompt": "p", "documents": ""}
    whose = {"route": "documents", "user_id": "ada", "tenant": "default", "thread": ""}
    assert update["decisions"][0]["details"]["key"] == parts | whose


def test_other_users_documents_and_turns_miss(cache: ResponseCache) -> None:
    """The situation comes from the run context, the documents and the thread, never from the message."""
    StoreCache(cache)(answered(cache))
    question = {"messages": [("user", QUESTION)]}
    assert lookup(cache)(question, runtime("bob"))["cache"]["outcome"] == "miss"
    assert lookup(cache, "v2")(question, runtime())["cache"]["outcome"] == "miss"


def test_a_tenants_users_share_answers_where_they_are_told_to(cache: ResponseCache) -> None:
    """The scope is the owner's choice: one user's questions and answers, or the whole tenant's."""
    shared = LookupCache(cache, lambda _: Situation(model="m"), scope="tenant")
    state = answered(cache)
    state.update(shared({"messages": [("user", QUESTION)]}, runtime()))
    state.update(answered(cache) | {"cache": state["cache"]})
    assert StoreCache(cache)(state)["decisions"][0]["decision"] == "stored"
    assert shared({"messages": [("user", QUESTION)]}, runtime("bob"))["cache"]["outcome"] == "hit"
    elsewhere = Runtime(context=Context(user_id="bob", tenant="other"))
    assert shared({"messages": [("user", QUESTION)]}, elsewhere)["cache"]["outcome"] == "miss"
    assert lookup(cache)({"messages": [("user", QUESTION)]}, runtime("bob"))["cache"]["outcome"] == "miss"


def test_of_a_tenant_first_answers_are_kept_only(cache: ResponseCache) -> None:
    """What a user asked before may show in a later answer, and is nobody else's business; hits come in any turn."""
    shared = LookupCache(cache, lambda _: Situation(model="m"), scope="tenant")
    standing = "Where is the key to the green shed?"
    later = {"messages": [*THREAD, ("user", standing)]}
    state = answered(cache, question=standing) | shared(later, runtime())
    assert StoreCache(cache)(state)["decisions"][0]["decision"] == "skipped"
    first = {"messages": [("user", standing)]}
    state = answered(cache, question=standing) | shared(first, runtime())
    assert StoreCache(cache)(state)["decisions"][0]["decision"] == "stored"
    assert shared(later, runtime("bob"))["cache"]["outcome"] == "hit"


def test_a_tenants_decisions_quote_nobody(tmp_path: Path, embedder: LlamaEmbeddings) -> None:
    """The gate's reasons name what differs, which in a shared cache is out of another user's question."""
    client = EdgeQdrantClient(tmp_path / "questions")
    cache = ResponseCache(MemoryStore(), SemanticIndex(client, embedder), strategy=ThresholdHits(0.5))
    asked = {"messages": [("user", "What is the balance of account 4711?")]}
    other = {"messages": [("user", "What is the balance of account 9932?")]}
    for scope, quoted in (("tenant", False), ("user", True)):
        node = LookupCache(cache, lambda _: Situation(model="m"), scope=scope)  # type: ignore[arg-type]
        state = answered(cache, question="What is the balance of account 4711?") | node(asked, runtime())
        StoreCache(cache)(state)
        refused = node(other, runtime())
        assert refused["cache"]["outcome"] == "miss"
        assert "numbers differ" in refused["decisions"][0]["reason"]
        assert ("4711" in repr(refused)) is quoted
    cache.close()
    client.close()


PICTURE = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]


def test_what_stands_beside_the_question_counts(cache: ResponseCache) -> None:
    """Another picture, or another instruction, makes another question of the same words."""
    StoreCache(cache)(answered(cache))
    assert lookup(cache)({"messages": [HumanMessage(PICTURE)]}, runtime())["cache"]["outcome"] == "skipped"
    told = {"messages": [("system", "Answer in French."), ("user", QUESTION)]}
    assert lookup(cache)(told, runtime())["cache"]["outcome"] == "miss"
    assert lookup(cache)({"messages": [HumanMessage(PICTURE[:1])]}, runtime())["cache"]["outcome"] == "hit"


def test_the_state_of_another_version_is_no_crash(cache: ResponseCache) -> None:
    """A run that was interrupted goes on under the next version."""
    state = answered(cache)
    for changed in ({"ticket": {"seat": 3}}, {"situation": {"colour": "red"}}, {"situation": None}):
        update = StoreCache(cache)({**state, "cache": {**state["cache"], **changed}})
        assert update["decisions"][0]["decision"] == "skipped"


THREAD = [("user", "Which sheds are there?"), ("assistant", "A green one and a red one.")]


def test_a_question_that_stands_alone_is_answered_in_any_thread(cache: ResponseCache) -> None:
    """Earlier turns keep no hit away where the question does not lean on them."""
    StoreCache(cache)(answered(cache))
    standing = "Where is the key to Ada's shed?"
    state = answered(cache, question=standing, messages=[("user", standing), AIMessage("x")])
    state.update(lookup(cache)({"messages": [*THREAD, ("user", standing)]}, runtime()))
    assert state["cache"]["outcome"] == "miss"
    assert StoreCache(cache)(state)["decisions"][0]["decision"] == "stored"
    assert lookup(cache)({"messages": [("user", standing)]}, runtime())["cache"]["outcome"] == "hit"


@pytest.mark.parametrize("question", ["And the second one?", "Where is its key?", "What about the red one?"])
def test_a_question_that_leans_on_earlier_turns_is_never_answered(cache: ResponseCache, question: str) -> None:
    """What "the second one" is, the words do not say; the answer to them in another thread is another thing."""
    messages = [*THREAD, ("user", question)]
    for _ in range(2):
        update = lookup(cache)({"messages": messages}, runtime())
        assert update["cache"]["outcome"] == "skipped"
        assert "stand alone" in update["decisions"][0]["reason"]
        state = answered(cache, question=question) | {"cache": update["cache"]}
        assert StoreCache(cache)(state)["decisions"][0]["decision"] == "skipped"


def test_follow_ups_are_answered_after_the_same_turns_only(cache: ResponseCache) -> None:
    """Whoever wants follow-ups from the cache gets them where every earlier turn is the same, and nowhere else."""
    node = LookupCache(cache, lambda _: Situation(model="m"), follow_ups=True)
    messages = [*THREAD, ("user", "And the second one?")]
    state = answered(cache, question="And the second one?")
    state["cache"] = node({"messages": messages}, runtime())["cache"]
    assert StoreCache(cache)(state)["decisions"][0]["decision"] == "stored"
    assert node({"messages": messages}, runtime())["cache"]["outcome"] == "hit"
    other = [("user", "Which rooms are there?"), *messages[1:]]
    assert node({"messages": other}, runtime())["cache"]["outcome"] == "miss"
    assert node({"messages": messages[2:]}, runtime())["cache"]["outcome"] == "skipped"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"memories": [{"id": "m"}]}, "known about the user"),
        ({"route": "direct"}, "direct"),
        ({"passages": []}, "No passage"),
        ({"cache": {"outcome": "hit", "situation": None, "ticket": None}}, "takes no answer"),
        ({"cache": None}, "not asked"),
        ({"messages": [AIMessage("cut", response_metadata={"finish_reason": "length"})]}, "not complete"),
        ({"messages": [AIMessage("cut", response_metadata={"stop_reason": "max_tokens"})]}, "not complete"),
        ({"messages": [AIMessage("cut", response_metadata={"finish_reason": "SAFETY"})]}, "not complete"),
        ({"answer": ""}, "no answer"),
        ({"decisions": [{"node": "generate", "decision": "fell_back"}]}, "Another model"),
        ({"messages": [("user", QUESTION), ToolMessage("4", tool_call_id="c"), AIMessage("x")]}, "tools"),
    ],
)
def test_what_must_not_be_kept_is_skipped(cache: ResponseCache, changes: dict[str, Any], reason: str) -> None:
    """Personal, unfounded and unfinished answers never enter the cache, and the decision says why."""
    decision = StoreCache(cache)(answered(cache, **changes))["decisions"][0]
    assert decision["decision"] == "skipped"
    assert reason in decision["reason"]


def test_personal_data_is_not_looked_up_unless_told(cache: ResponseCache) -> None:
    """A message that had to be masked leaves no trace in the cache."""
    state = {"messages": [("user", QUESTION)], "verdicts": [{"surface": "input", "decision": "mask"}]}
    assert lookup(cache)(state, runtime())["cache"]["outcome"] == "skipped"
    told = LookupCache(cache, lambda _: Situation(model="m"), personal_data=True)
    assert told(state, runtime())["cache"]["outcome"] == "miss"


def test_tools_results_and_other_routes_are_kept_where_told(cache: ResponseCache) -> None:
    """Answers out of tools' results, and of routes without documents, are kept by whoever wants that."""
    messages = [("user", QUESTION), ToolMessage("4", tool_call_id="c"), AIMessage("x")]
    state = answered(cache, messages=messages, route="direct", passages=[], citations=[])
    told = StoreCache(cache, routes=("documents", "direct"), tool_results=True)
    assert told(state)["decisions"][0]["decision"] == "stored"


def test_a_cache_that_is_down_is_a_miss(tmp_path: Path) -> None:
    """The run goes on, and the decision says what happened."""
    cache = ResponseCache(SQLiteStore(tmp_path / "cache.sqlite"), None)
    state = answered(cache)
    cache.close()
    asked = lookup(cache)({"messages": [("user", QUESTION)]}, runtime())
    assert asked["cache"]["outcome"] == "error"
    assert StoreCache(cache)(state | asked)["decisions"][0]["decision"] == "error"


async def test_awaited_and_called_give_the_same(cache: ResponseCache) -> None:
    """`invoke` and `ainvoke` share one body."""
    node, state = lookup(cache), {"messages": [("user", QUESTION)]}
    awaited = await node.ainvoke(state)
    assert awaited["cache"] == node.invoke(state)["cache"]
