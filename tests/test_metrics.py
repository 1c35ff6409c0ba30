"""Metrics by Prometheus's conventions, from real runs."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY, Metric, generate_latest

from freehold import Context, Workspace, metrics
from freehold.errors import ContextLengthError
from freehold.graphs import create_assistant
from freehold.inference import Engine, GenerationRequest, GenerationResult
from freehold.inference.engine_metrics import EngineMetrics
from freehold.inference.stats import StepReport
from freehold.models import DEMO_MODEL, model_path
from tests.conftest import QUESTION, ROOT


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
        "hits": ("freehold_cache_lookups_total", {"tier": "memory", "outcome": "hit"}),
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


def report(**values: float) -> StepReport:
    """A step of eight requests that generate, but for these values."""
    usual = {
        "rows": 8, "prefill_tokens": 0, "decode_tokens": 8, "reused_tokens": 0, "drafted_tokens": 0,
        "accepted_tokens": 0, "preemptions": 0, "waiting": 0, "running": 8, "kv_used": 1024, "kv_cached": 512,
        "kv_size": 4096, "seconds": 0.02,
    }  # fmt: skip
    return StepReport(**(usual | values))  # type: ignore[arg-type]


def test_steps_are_counted_by_model() -> None:
    """Each number of a step reaches its own metric, under the model's name; gauges follow, counters add up."""
    counted = EngineMetrics("counted")
    counted.step(
        report(rows=40, prefill_tokens=30, reused_tokens=200, drafted_tokens=7, accepted_tokens=5, preemptions=1)
    )
    counted.step(report(rows=1, decode_tokens=1, waiting=3, running=1, kv_used=2048, seconds=0.5))
    counted.step(report(rows=0, decode_tokens=0, running=0, kv_used=0))
    shown = {name: value(f"freehold_inference_{name}", model="counted") for name in (
        "prefill_tokens_total", "decode_tokens_total", "reused_tokens_total", "drafted_tokens_total",
        "accepted_tokens_total", "preemptions_total", "queue_length", "running", "kv_used_ratio",
        "batch_tokens_count", "batch_tokens_sum", "step_duration_seconds_sum",
    )}  # fmt: skip
    assert shown == {
        "prefill_tokens_total": 30, "decode_tokens_total": 9, "reused_tokens_total": 200, "drafted_tokens_total": 7,
        "accepted_tokens_total": 5, "preemptions_total": 1, "queue_length": 0, "running": 0, "kv_used_ratio": 0,
        "batch_tokens_count": 2, "batch_tokens_sum": 41, "step_duration_seconds_sum": pytest.approx(0.52),
    }  # fmt: skip
    counted.step(report(waiting=4, running=2))
    assert value("freehold_inference_queue_length", model="counted") == 4
    assert value("freehold_inference_running", model="counted") == 2
    assert value("freehold_inference_kv_used_ratio", model="counted") == 0.25
    EngineMetrics("other").step(report())
    assert value("freehold_inference_decode_tokens_total", model="counted") == 17


def test_generations_are_counted_by_model() -> None:
    """Time to the first token includes waiting; a rate needs more than one token."""
    counted = EngineMetrics("finished")
    counted.finished(
        GenerationResult("text", "stop", 10, 20, prefill_seconds=0.5, seconds=1.5, queued_seconds=2.0, reused_tokens=3)
    )
    counted.finished(GenerationResult("t", "length", 10, 1, prefill_seconds=0.5, seconds=0.500001))
    assert value("freehold_tokens_generated_total", model="finished") == 21
    assert value("freehold_inference_first_token_seconds_sum", model="finished") == 3.0
    assert value("freehold_inference_token_rate_tokens_per_second_count", model="finished") == 1
    assert value("freehold_inference_token_rate_tokens_per_second_sum", model="finished") == 20


async def test_an_engine_reports_its_work() -> None:
    """What a real engine computed, reused and generated is what the metrics say, and at rest nothing runs."""
    counted = EngineMetrics("reported")
    engine = Engine(model_path(DEMO_MODEL), observe=counted.finished, observe_step=counted.step)
    request = GenerationRequest("The heron waits beside the water and eats fish. " * 6, max_tokens=16)
    results = [await engine.generate(request) for _ in range(2)]
    prompt, generated = results[0].prompt_tokens, sum(result.completion_tokens for result in results)
    await asyncio.to_thread(engine.close)
    shown = {
        name: value(f"freehold_inference_{name}_total", model="reported")
        for name in ("prefill_tokens", "reused_tokens", "decode_tokens")
    }
    assert shown["prefill_tokens"] + shown["reused_tokens"] == 2 * prompt
    assert shown["reused_tokens"] == results[1].reused_tokens > prompt / 2
    assert shown["decode_tokens"] == generated == value("freehold_tokens_generated_total", model="reported") > 0
    assert value("freehold_inference_first_token_seconds_count", model="reported") == 2
    assert value("freehold_inference_step_duration_seconds_count", model="reported") > 2
    assert value("freehold_inference_running", model="reported") == 0
    assert value("freehold_inference_kv_used_ratio", model="reported") == 0


def test_counting_a_step_is_cheap() -> None:
    """Metrics take a vanishing part of a step of the engine, which is never shorter than 0.2 ms."""
    counted = EngineMetrics("timed")
    step = report(prefill_tokens=30, reused_tokens=200, drafted_tokens=7, accepted_tokens=5, preemptions=1)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(100):
            counted.step(step)
        times.append((time.perf_counter() - started) / 100)
    assert min(times) < 40e-6  # 8 microseconds on the machine it was written on


def made() -> dict[str, Metric]:
    """Every metric there is, made and as a scraper gets it."""
    for name in metrics.__all__:
        getattr(metrics, name)()
    return {metric.name: metric for metric in REGISTRY.collect() if metric.name.startswith("freehold_")}


def test_names_and_units_follow_the_conventions() -> None:
    """Prefix, base units, `_total` for counters only: what a scraper of the default registry gets."""
    made()
    kinds = dict(re.findall(r"^# TYPE (freehold_\S+) (\S+)$", generate_latest(REGISTRY).decode(), re.MULTILINE))
    kinds = {name: kind for name, kind in kinds.items() if not name.endswith("_created")}
    assert len(kinds) == len(metrics.__all__)
    for name, kind in kinds.items():
        assert name.endswith("_total") is (kind == "counter"), name
        assert not re.search(r"milli|micro|kilo|mega", name), name
        assert kind != "histogram" or re.search(r"_(seconds|tokens|tokens_per_second)$", name), name


def test_every_metric_is_documented() -> None:
    """The table names every metric with its kind and its labels, and no other."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(freehold_\w+)` \| (\w+) \|([^|]*)\|", text, re.MULTILINE)
    table = {name.removesuffix("_total"): (kind, re.findall(r"\w+", labels)) for name, kind, labels in rows}
    metrics_made = {name: metric.type for name, metric in made().items()}
    assert {name: kind for name, (kind, _) in table.items()} == metrics_made
    for get in (getattr(metrics, name) for name in metrics.__all__):
        assert list(get()._labelnames) == table[get()._name][1], get
