"""The node `CompressContext`: what it keeps, what it never does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from numpy.typing import NDArray

from freehold import Workspace
from freehold.inference import LlamaEmbeddings
from freehold.nodes import Generate
from freehold.nodes.compress_context import CompressContext
from freehold.nodes.sentence_selection import ELISION, cut
from freehold.nodes.sentences import sentences
from freehold.nodes.words import stems
from freehold.state import Passage
from freehold.token_estimate import estimate_tokens

HOUSE = (
    "The house was built in 1931. Its roof is of slate. The boiler stands in the cellar, next to the wine. "
    "A technician services it every October. The pressure gauge is behind the lower front panel. "
    "The cellar was once a coal store. Children like to hide there."
)
GARDEN = (
    "Apple trees are pruned in February. The boiler's pressure gauge is behind its lower front panel. Mind the pond."
)
QUESTION = "Where is the pressure gauge of the boiler?"


class Down:
    """An embedder of a user's own that does not answer."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise ConnectionError


def passage(text: str, name: str = "p1", **other: Any) -> Passage:
    """A passage that stands somewhere in a document."""
    place: Passage = {
        "id": name, "text": text, "source": f"{name}.md", "heading": "House", "page": 3,
        "start": 100, "end": 100 + len(text), "score": 0.7,
    }  # fmt: skip
    return {**place, **other}  # type: ignore[typeddict-item]


def compressed(node: CompressContext, *passages: Passage, question: str = QUESTION) -> dict[str, Any]:
    """The node's update."""
    return node({"messages": [("user", question)], "passages": list(passages)})


def total(passages: Sequence[Passage]) -> int:
    """Tokens of all passages by the default estimate."""
    return sum(estimate_tokens(each["text"]) for each in passages)


def test_passages_within_the_budget_are_left_alone() -> None:
    """Nothing is lost, and nothing computed, where everything fits: the embedder is not even asked."""
    given = [passage(HOUSE, "a"), passage(GARDEN, "b")]
    update = compressed(CompressContext(Down(), token_budget=total(given)), *given)
    assert "passages" not in update
    assert update["decisions"][0]["decision"] == "kept"
    assert update["decisions"][0]["score"] == update["decisions"][0]["threshold"] == total(given)


def test_the_sentences_that_matter_stay(embedder: LlamaEmbeddings) -> None:
    """The answer is kept by meaning and words, in its order, and said once although two passages say it."""
    update = compressed(CompressContext(embedder, token_budget=32), passage(HOUSE, "a"), passage(GARDEN, "b"))
    text = ELISION.join(each["text"] for each in update["passages"])
    assert "front panel" in text
    assert text.count("front panel") == 1
    assert "Children" not in text
    decision = update["decisions"][0]
    assert (decision["decision"], decision["threshold"]) == ("compressed", 32)
    assert decision["score"] == total(update["passages"]) <= 32


def test_other_words_are_found_by_meaning(embedder: LlamaEmbeddings) -> None:
    """A question that shares no word with its answer keeps it, which words alone cannot."""
    question = "How often is maintenance done?"
    assert not stems(question) & stems("A technician services it every October.")
    update = compressed(CompressContext(embedder, token_budget=12), passage(HOUSE), question=question)
    assert update["passages"][0]["text"] == "A technician services it every October."


def test_a_citation_of_what_is_left_opens_the_right_place() -> None:
    """Id, file, heading, page and offsets stay, numbers follow the passages that are left, and quotes can be found."""
    given = [passage("Nothing of use is said here, at some length.", "a"), passage(HOUSE, "b", index=4)]
    update = compressed(CompressContext(None, token_budget=20), *given)
    (left,) = update["passages"]
    assert {**left, "text": HOUSE} == given[1]
    assert update["decisions"][0]["details"]["dropped"] == ["a"]
    quote = "The pressure gauge is behind the lower front panel."
    state = {"messages": [("user", QUESTION)], "passages": update["passages"]}
    citation = Generate(FakeListChatModel(responses=[f"{quote} [1]"]))(state)["citations"][0]
    assert (citation["passage"], citation["start"], citation["end"]) == ("b", 100, 100 + len(HOUSE))
    assert quote in citation["text"]


def test_what_was_left_out_is_marked() -> None:
    """A reader sees where something is missing, and neighbours stay as they stand in the document."""
    text = "The gauge is red.\nIts needle is black. Tea is at five. The gauge was made in Kiel. Lunch is at noon."
    update = compressed(CompressContext(None, token_budget=22), passage(text), question="red gauge, black needle, Kiel")
    assert update["passages"][0]["text"] == "The gauge is red.\nIts needle is black. … The gauge was made in Kiel."


def test_one_sentence_beyond_the_budget_is_cut() -> None:
    """A single long sentence gives its first words rather than nothing or too much."""
    update = compressed(CompressContext(None, token_budget=6), passage("The pressure gauge " + "and so on " * 99))
    assert update["passages"][0]["text"] == "The pressure gauge and"
    assert cut("Boilerhouse", lambda text: len(text) <= 4) == "Boil"


def test_an_embedder_that_is_down_leaves_the_choice_to_words() -> None:
    """The run goes on, the answer's sentence stays, and the decision says what happened."""
    update = compressed(CompressContext(Down(), token_budget=16), passage(HOUSE))
    assert "front panel" in update["passages"][0]["text"]
    assert "ConnectionError" in update["decisions"][0]["reason"]


def test_a_models_own_tokenizer_counts(workspace: Workspace) -> None:
    """The budget holds in the tokens of the model that will read the passages."""
    count = workspace.chat_model.engine.count_tokens
    node = CompressContext(workspace.embeddings, 40, count)
    update = compressed(node, passage(HOUSE, "a"), passage(GARDEN, "b"))
    assert update["decisions"][0]["score"] == sum(count(each["text"]) for each in update["passages"]) <= 40


async def test_awaited_and_called_keep_the_same(embedder: LlamaEmbeddings) -> None:
    """`ainvoke` gives what a call gives."""
    node = CompressContext(embedder, token_budget=30)
    state = {"messages": [("user", QUESTION)], "passages": [passage(HOUSE)]}
    assert (await node.ainvoke(state))["passages"] == node(state)["passages"]


def test_no_passages_are_no_error() -> None:
    """A retriever that found nothing leaves nothing to shorten."""
    assert compressed(CompressContext(None))["decisions"][0]["decision"] == "nothing"


def test_a_budget_of_nothing_is_refused() -> None:
    """A mistake in a parameter shows when the graph is built."""
    with pytest.raises(ValueError, match="token_budget=0"):
        CompressContext(None, token_budget=0)


WORDS = st.lists(
    st.sampled_from(["the", "boiler", "gauge", "is", "Dr.", "3.5", "red", "(see", "Fig. 2)", "it's", "e.g.", "日本"]),
    min_size=1,
)
PROSE = st.lists(WORDS.map(lambda words: " ".join(words).capitalize() + "."), min_size=1, max_size=12).map(" ".join)
MARKED = st.lists(st.sampled_from(["- tea. Milk", "| a | b |", "```\nx = 1. y\n```", "# Gauge", "", "1. boiler"])).map(
    "\n".join
)
TEXT = st.one_of(PROSE, MARKED, st.text(max_size=80), st.tuples(PROSE, MARKED).map("\n".join))


@given(texts=st.lists(TEXT, min_size=1, max_size=4), budget=st.integers(1, 120))
def test_never_over_the_budget_and_every_part_stands_in_its_passage(texts: list[str], budget: int) -> None:
    """Whatever the documents hold: the budget is kept, order too, and nothing is said that a passage does not say."""
    before = [passage(text.replace("…", "."), f"p{number}") for number, text in enumerate(texts)]
    node = CompressContext(None, budget)
    after: list[Passage] = compressed(node, *before).get("passages", before)
    assert total(after) <= budget
    assert after
    names = [each["id"] for each in before]
    assert [each["id"] for each in after] == [name for name in names if name in {each["id"] for each in after}]
    for each in after:
        whole = before[names.index(each["id"])]
        assert {**each, "text": ""} == {**whole, "text": ""}
        place = 0
        for part in each["text"].split(ELISION):
            place = whole["text"].index(part, place) + len(part)


@given(st.one_of(TEXT, st.text(st.characters(exclude_categories=()))))
def test_sentences_are_the_text_without_the_space_between(text: str) -> None:
    """No character that can be seen is lost between two sentences, whatever the text is."""
    spans = sentences(text)
    assert all(start < end for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    kept = "".join(text[start:end] for start, end in spans)
    assert "".join(kept.split()) == "".join(text.split())


def test_abbreviations_lists_and_code_are_not_cut_apart() -> None:
    """A sentence is what a reader takes for one: half of an item or of a code block answers nothing."""
    text = "Dr. May pays 3.5 EUR, e.g. for tea. See Fig. 3!\n1. First. Then\n2. next\n\n```sh\na. b\n\nc\n```\nEnd"
    found = [text[start:end] for start, end in sentences(text)]
    assert found[:2] == ["Dr. May pays 3.5 EUR, e.g. for tea.", "See Fig. 3!"]
    assert found[-3:] == ["2. next", "```sh\na. b\n\nc\n```", "End"]


GERMAN = "Der Kessel ist gegr. worden, so heißt es. Der Schlüssel hängt im Schuppen. Der Tee steht in der Küche."


@pytest.mark.parametrize("language", ["german", "de"])
def test_abbreviations_are_those_of_the_language(language: str) -> None:
    """A language goes by the name that BM25 has for it, or by its code; one that nobody knows is cut all the same."""
    found = [GERMAN[start:end] for start, end in sentences(GERMAN, language)]
    assert found[0] == "Der Kessel ist gegr. worden, so heißt es."
    assert len(found) == 3
    assert len(sentences(GERMAN, "klingon")) >= 3


def test_sentences_are_kept_whole_in_the_nodes_language() -> None:
    """The node cuts by the rules of the language that it was given."""
    passage = {"id": "1", "text": GERMAN, "source": "a.md", "heading": "", "page": None, "start": 0, "end": len(GERMAN)}
    state = {"messages": [("user", "Kessel gegr. worden?")], "passages": [{**passage, "score": 0.9}]}
    kept = CompressContext(None, token_budget=15, language="german")(state)["passages"][0]["text"]
    assert kept == "Der Kessel ist gegr. worden, so heißt es."
