"""The nodes `SelectRoute`, `CheckOutput`, `Refuse` and `BeginTurn`."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from freehold.guardrails.verdict import Verdict
from freehold.nodes import BeginTurn, CheckOutput, Refuse, SelectRoute
from freehold.state import AssistantState


class Fixed:
    """A router of a user's own."""

    def __init__(self, **scores: float) -> None:
        self.given = scores

    async def scores(self, text: str) -> dict[str, float]:
        return self.given


class Rule:
    """A guardrail of a user's own."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict = verdict

    async def check_input(self, text: str) -> Verdict:
        return await self.check_output(text)

    async def check_output(self, text: str) -> Verdict:
        if self.verdict is None:
            raise ZeroDivisionError
        return self.verdict


@pytest.mark.parametrize(
    ("scores", "passages", "route"),
    [
        ({"direct": 0.9, "documents": 0.2}, [{}], "direct"),
        ({"direct": 0.4, "documents": 0.2}, [{}], "documents"),
        ({"direct": 0.4, "documents": 0.2}, [], "direct"),
        ({"direct": 0.4, "refuse": 0.8}, [{}], "refuse"),
        ({"documents": 0.5, "direct": 0.1}, [], "documents"),
    ],
)
def test_the_route_follows_scores_and_passages(scores: dict[str, float], passages: list[Any], route: str) -> None:
    """At the threshold a route is taken; below it, passages decide."""
    update = SelectRoute(Fixed(**scores))({"messages": [("user", "x")], "passages": passages})
    assert update["route"] == update["decisions"][0]["decision"] == route
    assert update["decisions"][0]["details"]["scores"] == scores


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    """A mistake in a parameter shows when the graph is built, not when it runs."""
    with pytest.raises(ValueError, match="threshold"):
        SelectRoute(Fixed(a=1.0), threshold)


def answer(attempts: int = 1) -> dict[str, Any]:
    """The state behind an answer."""
    messages = [HumanMessage("Q", id="1"), AIMessage("my key is k", id="2")]
    return {"answer": "my key is k", "messages": messages, "attempts": attempts, "route": "documents"}


def test_a_masked_answer_replaces_the_message() -> None:
    """The thread holds what the user saw."""
    update = CheckOutput(Rule(Verdict("r", "masked", "mask", "my key is <KEY>")))(answer())
    assert update["answer"] == update["messages"][0].text == "my key is <KEY>"
    assert update["messages"][0].id == "2"


@pytest.mark.parametrize(("attempts", "decision"), [(1, "regenerate"), (2, "refused"), (0, "refused")])
def test_a_blocked_answer_gets_one_more_attempt(attempts: int, decision: str) -> None:
    """Once more, then a refusal; an answer from the cache (no attempt) is refused at once."""
    update = CheckOutput(Rule(Verdict("r", "It holds a key.")))(answer(attempts))
    assert update["decisions"][0]["decision"] == decision
    assert ("route" in update) is (decision == "refused")


def test_a_failing_output_check_refuses() -> None:
    """An answer that cannot be checked is not given, and not generated again."""
    update = CheckOutput(Rule(None))(answer())
    assert update["route"] == "refuse"
    assert update["verdicts"][0]["failed"] is True


def test_a_refusal_gives_the_reason_and_replaces_the_refused_answer() -> None:
    """The user learns why, and the thread does not keep what was refused."""
    update = Refuse()({**answer(), "decisions": [{"reason": "It holds a key."}]})
    assert "It holds a key." in update["answer"]
    assert update["messages"][0].id == "2"


def test_a_new_turn_begins_with_empty_keys() -> None:
    """Nothing of the turn before can be read as this turn's; the messages, and that they were checked, go on."""
    cleared = BeginTurn()({"route": "refuse"})
    assert set(cleared) == set(AssistantState.__annotations__) - {"messages", "checked"}
    assert cleared.pop("remembered_for") == {"default/default": 0}, "the first message is this user's"
    assert not any(cleared.values())
