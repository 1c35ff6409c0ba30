"""What a lookup hands to whoever stores the answer: plain JSON, through a run's state and its checkpoints."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cache import CachedAnswer, Evidence, Lookup, Ticket

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
EVIDENCE = st.builds(
    Evidence,
    entry=st.text(),
    question=st.text(),
    similarity=NUMBERS,
    signals=st.lists(NUMBERS, max_size=8).map(tuple),
    verifier=st.none() | NUMBERS,
    risk=st.none() | NUMBERS,
    comparisons=st.integers(0, 50),
)
TICKETS = st.builds(
    Ticket,
    flight=st.none() | st.text(),
    evidence=st.none() | EVIDENCE,
    confirms=st.booleans(),
    documents=st.text(),
)


@given(TICKETS)
def test_a_ticket_comes_back_from_json(ticket: Ticket) -> None:
    """Protects what one node knows until another stores the answer, also where a checkpoint lies between them."""
    assert Ticket.of(ticket.plain()) == ticket
    assert json.loads(json.dumps(ticket.plain())) == ticket.plain()
    assert Ticket.of(json.loads(json.dumps(ticket.plain()))) == ticket


@given(EVIDENCE)
def test_evidence_comes_back_from_json(evidence: Evidence) -> None:
    """Protects the comparison of two answers from signals that are a list, or lost."""
    plain = Ticket(evidence=evidence).plain()["evidence"]
    assert Evidence.of(plain) == Evidence.of(json.loads(json.dumps(plain))) == evidence
    assert isinstance(Evidence.of(json.loads(json.dumps(plain))).signals, tuple)


def test_an_empty_ticket() -> None:
    """Protects who stores without a lookup, and a state that an earlier version wrote with less in it."""
    assert Ticket.of({}) == Ticket.of(Ticket().plain()) == Ticket()
    assert Ticket.of({"flight": "f1", "evidence": None}) == Ticket(flight="f1")


def test_plain_is_a_copy() -> None:
    """Protects a ticket from whoever works with the state."""
    ticket = Ticket(evidence=Evidence("key", "What?", 0.9, signals=(1.0,)))
    ticket.plain()["evidence"]["entry"] = "other"
    assert ticket.evidence is not None
    assert ticket.evidence.entry == "key"


@pytest.mark.parametrize("outcome", ["miss", "error"])
def test_a_miss_has_no_answer_and_a_ticket(outcome: str) -> None:
    """Protects who reads a lookup: a miss names no tier and no entry, and its ticket can be stored with."""
    found = Lookup(outcome, "key", "Nothing.")  # type: ignore[arg-type]
    assert (found.entry, found.entry_key, found.tier, found.ticket) == (None, None, None, Ticket())


def test_a_lookup_cannot_be_changed() -> None:
    """Protects what several runs may hold at once."""
    found = Lookup("hit", "key", "It was asked before.", "exact", CachedAnswer("What?", "That."), "key")
    with pytest.raises(AttributeError):
        found.outcome = "miss"  # type: ignore[misc]
