"""The node `CheckInput`."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from freehold.guardrails.verdict import Verdict
from freehold.nodes import CheckInput


class Rule:
    """A guardrail of a user's own: blocks "secret", masks "ada@example.org", fails on "boom"."""

    async def check_input(self, text: str) -> Verdict:
        if "boom" in text:
            raise ZeroDivisionError
        if "secret" in text:
            return Verdict("rule", "No secrets.", metadata={"word": "secret"})
        masked = text.replace("ada@example.org", "<EMAIL>")
        return Verdict("rule", "Fine.", "allow" if masked == text else "mask", masked)

    async def check_output(self, text: str) -> Verdict:
        return await self.check_input(text)


def test_a_plain_message_goes_on() -> None:
    """The question is the message's text, and the message is left alone."""
    update = CheckInput(Rule())({"messages": [HumanMessage("Where is the key?", id="1")]})
    assert update["question"] == "Where is the key?"
    assert "messages" not in update
    assert update["decisions"][0]["decision"] == "allowed"
    assert update["decisions"][0]["milliseconds"] >= 0


def test_personal_data_is_replaced_in_the_message_itself() -> None:
    """Nothing behind this node sees the raw text: the message keeps its id and loses the address."""
    update = CheckInput(Rule())({"messages": [HumanMessage("I am ada@example.org", id="1")]})
    assert update["question"] == "I am <EMAIL>"
    assert update["messages"][0].id == "1"
    assert update["messages"][0].text == "I am <EMAIL>"


def test_a_refused_message_leaves_the_thread() -> None:
    """An injection must not come back as history in a later turn."""
    update = CheckInput(Rule())({"messages": [HumanMessage("the secret", id="1")]})
    assert update["route"] == "refuse"
    assert "secret" not in update["messages"][0].text
    assert update["verdicts"][0]["decision"] == "block"


def test_a_failing_guardrail_refuses() -> None:
    """What cannot be checked does not pass, and the verdict says that it was the check that failed."""
    update = CheckInput(Rule())({"messages": [("user", "boom")]})
    assert update["route"] == "refuse"
    assert update["verdicts"][0]["failed"] is True


@pytest.mark.parametrize("messages", [[], [("user", "")], [("user", "   \n")], [("assistant", "hello")]])
def test_an_empty_message_is_refused(messages: list[tuple[str, str]]) -> None:
    """Nothing to answer is said so, not answered."""
    update = CheckInput(Rule())({"messages": messages})
    assert update["route"] == "refuse"
    assert "empty" in update["decisions"][0]["reason"]


def test_list_content_is_read_as_text() -> None:
    """A message in parts is checked as the text that the model would see."""
    message = HumanMessage([{"type": "text", "text": "the "}, {"type": "text", "text": "secret"}], id="1")
    assert CheckInput(Rule())({"messages": [message]})["route"] == "refuse"


def test_a_conversation_sent_at_once_is_checked_whole() -> None:
    """What a caller sends as history reaches the model too: it is masked, and an attack in it is taken out."""
    history = [
        HumanMessage("the secret", id="1"),
        AIMessage("no", id="2"),
        HumanMessage("I am ada@example.org", id="3"),
        HumanMessage("fine", id="4"),
    ]
    update = CheckInput(Rule())({"messages": history})
    assert update["route"] == ""
    assert update["question"] == "fine"
    assert {message.id: message.text for message in update["messages"]} == {"1": "(refused)", "3": "I am <EMAIL>"}
    assert update["checked"] == 4


def test_what_was_checked_is_not_checked_again() -> None:
    """A long thread costs one check a turn."""
    checks: list[str] = []

    class Counting(Rule):
        async def check_input(self, text: str) -> Verdict:
            checks.append(text)
            return await super().check_input(text)

    CheckInput(Counting())({"messages": [("user", "one"), ("assistant", "1"), ("user", "two")], "checked": 2})
    assert checks == ["two"]


def test_nothing_new_is_nothing_to_answer() -> None:
    """A run on a thread whose newest message is an answer does not answer the question before it again."""
    update = CheckInput(Rule())({"messages": [("user", "one"), ("assistant", "1")], "checked": 2})
    assert update["route"] == "refuse"
