"""Facts from messages, with the shipped demonstration model and with models that answer anyhow."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel

from freehold.errors import SettingsError
from freehold.inference import ChatLlama, Engine
from freehold.memory.extraction import ModelExtractor, StatementExtractor, parse_facts
from freehold.memory.statements import supports


@pytest.fixture(scope="module")
def demo() -> Iterator[ModelExtractor]:
    """The shipped demonstration model, held to the form by its grammar."""
    engine = Engine(str(files("freehold.models") / "freehold-demo.Q8_0.gguf"), threads=1)
    yield ModelExtractor(ChatLlama(engine=engine))
    engine.close()


def answering(*answers: str) -> ModelExtractor:
    """An extractor whose model gives these answers."""
    return ModelExtractor(FakeListChatModel(responses=list(answers)))


async def test_the_demonstration_model_extracts_facts(demo: ModelExtractor) -> None:
    """The model that ships turns a message into facts, through real llama.cpp and a real grammar."""
    assert await demo.extract("My name is Ada, and I like tea.") == ["Name is Ada", "Likes tea"]


@pytest.mark.parametrize(
    "message", ["I am allergic to nuts.", "I have a dog called Rex.", "My sister likes tea.", "I don't like tea."]
)
async def test_what_a_small_model_invents_is_not_believed(demo: ModelExtractor, message: str) -> None:
    """What is kept is borne out by the message: the model's fact where it is right, else the user's own words."""
    kept = await demo.extract(message)
    assert len(kept) == 1
    assert kept == [message.rstrip(".")] or supports(message, kept[0])


@pytest.mark.parametrize("message", ["What is my name?", "Hello", "Explain the write-ahead log", "", "a " * 500_000])
async def test_messages_without_facts_never_reach_the_model(message: str) -> None:
    """No token is generated for a question or a request, and a megabyte of text is no exception."""
    model = FakeListChatModel(responses=['{"facts": ["Name is Ada"]}', "second"])
    assert await ModelExtractor(model).extract(message) == []
    assert model.i == 0  # it would be 1 after one answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"facts": ["Likes tea"]}', ["Likes tea"]),
        ('```json\\n{"facts": ["Likes tea."]}\\n```', ["Likes tea"]),
        ('["Likes  tea"]', ["Likes tea"]),
        ('Here you are: {"memory": [{"text": "Likes tea", "attributed_to": "user"}]} Bye.', ["Likes tea"]),
        ('{"facts": ["Likes tea", 7, null, "", {"fact": "Lives in Porto"}]}', ["Likes tea", "Lives in Porto"]),
        ('{"facts": []}', []),
        ('{"facts": "Likes tea"}', []),
        ('{"facts": ["Likes tea', []),
        ("Likes tea", []),
        ("", []),
    ],
)
def test_answers_are_read_leniently(answer: str, expected: list[str]) -> None:
    """Any model's way of writing the list is understood; what is no list is no fact."""
    assert parse_facts(answer) == expected


@given(st.text(alphabet='{}[]",:\\\\ abfacts0', max_size=200))
def test_no_answer_breaks_the_reader(answer: str) -> None:
    """Whatever a model writes, the reader gives a list of texts."""
    assert all(isinstance(fact, str) for fact in parse_facts(answer))


async def test_bad_json_keeps_the_users_words_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An answer that cannot be read costs no memory, and leaves a warning without the text."""
    with caplog.at_level(logging.WARNING, logger="freehold"):
        assert await answering("no JSON at all").extract("I like tea.") == ["I like tea"]
    assert "no list of facts" in caplog.text
    assert "tea" not in caplog.text


async def test_a_failing_model_keeps_the_users_words(caplog: pytest.LogCaptureFixture) -> None:
    """A model that raises is a warning, and the statement is stored as it is."""
    with caplog.at_level(logging.WARNING, logger="freehold"):
        assert await answering().extract("I like tea.") == ["I like tea"]
    assert "could not extract facts" in caplog.text


async def test_facts_are_limited() -> None:
    """Neither many facts nor long ones get in."""
    answer = json.dumps({"facts": ["Likes tea", "Likes tea and " + "tea " * 200]})
    assert await ModelExtractor(FakeListChatModel(responses=[answer])).extract("I like tea.") == ["Likes tea"]
    message = " ".join(f"I own boat {number}." for number in range(20))
    assert len(await StatementExtractor(max_facts=3).extract(message)) == 3
    assert await StatementExtractor(max_characters=6).extract("I like tea") == ["I like"]
    with pytest.raises(SettingsError, match="max_facts=0"):
        StatementExtractor(max_facts=0)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("I have a dog. He is called Rex.", ["I have a dog. He is called Rex"]),
        ("The boiler code is 4711. Where is the boiler?", ["The boiler code is 4711"]),
        ("Rex is allergic to chicken. It makes him ill.", ["Rex is allergic to chicken. It makes him ill"]),
        ("The bin goes out on Monday. The gate is green.", ["The bin goes out on Monday", "The gate is green"]),
        ("Remember that the key hangs in the shed.", ["Remember that the key hangs in the shed"]),
        ("Thanks a lot! Show me the manual. boiler pressure gauge", []),
        ("Please translate this. You are great. Good morning!", []),
        ("> The moon is made of cheese\nI like cheese.", ["I like cheese"]),
        ("You said that I like coffee. I like tea.", ["I like tea"]),
    ],
)
async def test_without_a_model_statements_are_kept_as_they_are(message: str, expected: list[str]) -> None:
    """What a message states about anything is kept in its own words; what it asks, requests or quotes is not."""
    assert await StatementExtractor().extract(message) == expected
    assert await answering().extract(message) == expected  # the same for a model that fails


async def test_a_model_that_is_not_capable_loses_nothing(demo: ModelExtractor) -> None:
    """The demonstration model knows a few kinds of facts; the rest of the message is kept raw, and can be searched."""
    found = await demo.examine("My name is Ada. The boiler code is 4711. What is yours?")
    assert found.facts == ["Name is Ada", "The boiler code is 4711"]
    assert found.refused["question"] == 1


async def test_a_capable_model_decides_what_is_left_out() -> None:
    """With a model that can be trusted to, nothing but its facts is kept, and those still need evidence."""
    model = FakeListChatModel(responses=['{"facts": ["Likes tea", "Likes coffee"]}'])
    found = await ModelExtractor(model, capable=True).examine("I like tea. I think it rains. The gate is green.")
    assert (found.facts, dict(found.refused)) == (["Likes tea"], {"no_evidence": 1})
    silent = ModelExtractor(FakeListChatModel(responses=['{"facts": []}']), capable=True)
    assert await silent.extract("I think it rains.") == []
    broken = ModelExtractor(FakeListChatModel(responses=[]), capable=True)
    assert await broken.extract("I think it rains.") == ["I think it rains"]


@given(st.text(max_size=400), st.text(max_size=200))
def test_whatever_is_kept_stands_in_the_message(message: str, answer: str) -> None:
    """No rule makes up a word: each piece's words stand in the message, in their order."""
    found = asyncio.run(StatementExtractor().examine(message, answer))
    said = " ".join(re.findall(r"\w+", message.replace("\u2019", "'")))
    for fact in found.facts:
        for sentence in fact.split(". "):
            assert " ".join(re.findall(r"\w+", sentence)) in said
    assert all(count > 0 for count in found.refused.values())


def test_extraction_works_on_any_loop(demo: ModelExtractor) -> None:
    """The same extractor serves the portal's loop and a user's own."""
    for _ in range(2):
        assert asyncio.run(demo.extract("My name is Ada.")) == ["Name is Ada"]
