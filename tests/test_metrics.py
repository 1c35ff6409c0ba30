"""Metrics by Prometheus's conventions, from real runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest

from freehold import Context, Workspace
from freehold.errors import ContextLengthError
from freehold.graphs import create_assistant
from tests.conftest import QUESTION


def value(name: str, **labels: str) -> float:
    """A sample's value; 0 where it was never written."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_turn_shows_in_every_metric(ask: Callable[..., dict[str, Any]]) -> None:
    """Requests, queries, tokens, latency, retrieval, nodes, cache, verdicts: a miss and a hit leave their marks."""
    names = {
        "requests": ("freehold_requests_total", {"graph": "assistant"}),
        "queries": ("freehold_queries_processed_total", {"route": "documents"}),
        "latency": ("freehold_request_duration_seconds_count", {"graph": "assistant"}),
        "retrievals": ("freehold_retrieval_duration_seconds_count", {}),
        "generations": ("freehold_node_duration_seconds_count", {"node": "generate"}),
        "misses": ("freehold_cache_lookups_total", {"tier": "none", "outcome": "miss"}),
        "hits": ("freehold_cache_lookups_total", {"tier": "exact", "outcome": "hit"}),
    }
    before = {key: value(name, **labels) for key, (name, labels) in names.items()}
    tokens = value("freehold_tokens_generated_total", model="freehold-demo")
    ask(QUESTION, thread="1")
    ask(QUESTION, thread="2")
    grown = {key: value(name, **labels) - before[key] for key, (name, labels) in names.items()}
    assert grown == {
        "requests": 2, "queries": 2, "latency": 2, "retrievals": 1, "generations": 1, "misses": 1, "hits": 1,
    }  # fmt: skip
    assert value("freehold_tokens_generated_total", model="freehold-demo") > tokens
    assert value("freehold_token_rate_tokens_per_second") > 0
    assert value("freehold_active_sessions") == 0
    assert value("freehold_resident_memory_bytes") > 1e7


def test_a_failing_run_is_an_error_and_no_session(workspace: Workspace) -> None:
    """An exception is counted by its kind, and the run does not stay active."""
    before = value("freehold_errors_total", graph="assistant", error="ContextLengthError")
    assistant = create_assistant(workspace)
    long = {"messages": [("user", "word " * 4000)]}
    with pytest.raises(ContextLengthError):
        assistant.invoke(long, {"configurable": {"thread_id": "t"}}, context=Context())
    assert value("freehold_errors_total", graph="assistant", error="ContextLengthError") == before + 1
    assert value("freehold_active_sessions") == 0


def test_names_and_units_follow_the_conventions(ask: Callable[..., dict[str, Any]]) -> None:
    """Prefix, base units, `_total` for counters only: what a scraper of the default registry gets."""
    ask(QUESTION)
    text = generate_latest(REGISTRY).decode()
    kinds = dict(re.findall(r"^# TYPE (freehold_\S+) (\S+)$", text, re.MULTILINE))
    kinds = {name: kind for name, kind in kinds.items() if not name.endswith("_created")}
    assert len(kinds) >= 11
    for name, kind in kinds.items():
        assert name.endswith("_total") is (kind == "counter"), name
        assert not re.search(r"milli|micro|kilo|mega", name), name
        assert kind != "histogram" or name.endswith("_seconds"), name
