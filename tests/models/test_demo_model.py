"""What the demonstration model can do, through real llama.cpp: the prompts that core/models/README.md promises."""

from __future__ import annotations

import json
from collections.abc import Iterator

import llama_cpp
import pytest

from freehold.models import DEMO_MODEL, model_path

CONTEXT = """Answer from the context and cite it.

Context:
[1] The front door is locked at ten in the evening. Residents use the code on the keypad after that.
[2] Bicycles stand in the shed behind the kitchen.
[3] Apple trees are pruned in February, before the sap rises."""
FACTS = "What is known about the user:\n- Name is Ada\n- Likes green tea"
EXTRACT = "Extract the facts about the user as JSON."


@pytest.fixture(scope="module")
def model() -> Iterator[llama_cpp.Llama]:
    """The shipped file, loaded once."""
    loaded = llama_cpp.Llama(str(model_path(DEMO_MODEL)), n_ctx=1024, n_threads=1, verbose=False)
    yield loaded
    loaded.close()


def ask(model: llama_cpp.Llama, system: str, user: str) -> str:
    """The greedy answer."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    reply = model.create_chat_completion(messages, temperature=0, max_tokens=80)
    return str(reply["choices"][0]["message"]["content"]).strip()


def test_answer_is_a_sentence_of_the_passage_it_cites(model: llama_cpp.Llama) -> None:
    """Quoting with a citation, which the whole assistant shows, works on a plain question."""
    answer = ask(model, CONTEXT, "When is the front door locked?")
    assert answer == "The front door is locked at ten in the evening. [1]"


def test_question_without_an_answer_is_refused(model: llama_cpp.Llama) -> None:
    """A question on nothing in the passages is not answered from them."""
    assert ask(model, CONTEXT, "Who won the world cup in 2014?") == "The documents do not say."


@pytest.mark.parametrize(
    ("question", "answer"), [("What is my name?", "Your name is Ada."), ("What do I like?", "You like green tea.")]
)
def test_facts_are_recalled(model: llama_cpp.Llama, question: str, answer: str) -> None:
    """What memory puts into the system message comes back as an answer."""
    assert ask(model, FACTS, question) == answer


@pytest.mark.parametrize(
    ("message", "facts"),
    [
        ("My name is Ada and I like green tea.", ["Name is Ada", "Likes green tea"]),
        ("I live in Lisbon.", ["Lives in Lisbon"]),
        ("Thanks, that was useful.", []),
    ],
)
def test_facts_are_extracted(model: llama_cpp.Llama, message: str, facts: list[str]) -> None:
    """Long-term memory gets JSON that it can read, and nothing from small talk."""
    assert json.loads(ask(model, EXTRACT, message)) == {"facts": facts}


def test_statement_is_acknowledged(model: llama_cpp.Llama) -> None:
    """A statement about oneself is not answered with a passage."""
    assert ask(model, "You are a helpful assistant.", "My name is Ada.") == "Thanks, I will remember that."


def test_template_ends_turns(model: llama_cpp.Llama) -> None:
    """The file's own chat template and end token stop the answer: nothing of the markup leaks."""
    answer = ask(model, "You are a helpful assistant.", "Hello")
    assert "<|" not in answer
    assert answer.startswith("Hello!")
