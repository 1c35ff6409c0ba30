"""Prometheus metrics, in base units and by Prometheus's naming rules, under the prefix `freehold_`.

They live in prometheus_client's default registry, which the LangGraph server exposes at `/metrics`. Each function makes
its metric on first use, so that importing Freehold does not load prometheus_client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

__all__ = [
    "active_sessions",
    "cache_compared",
    "cache_lookup_seconds",
    "cache_lookups",
    "cache_saved_seconds",
    "cache_saved_tokens",
    "cache_stale",
    "errors",
    "guardrail_verdicts",
    "inference_accepted_tokens",
    "inference_batch_tokens",
    "inference_decode_tokens",
    "inference_drafted_tokens",
    "inference_first_token_seconds",
    "inference_kv_used_ratio",
    "inference_preemptions",
    "inference_prefill_tokens",
    "inference_queue_length",
    "inference_reused_tokens",
    "inference_running",
    "inference_step_seconds",
    "inference_tokens_per_second",
    "memory_refused",
    "node_errors",
    "node_seconds",
    "queries_processed",
    "request_seconds",
    "requests",
    "retrieval_seconds",
    "tokens_generated",
    "tokens_per_second",
    "watch_process",
]

T = TypeVar("T")
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


_lock = threading.Lock()


def _once(make: Callable[[], T]) -> Callable[[], T]:
    """Make a metric on first use, once: registering a name twice is an error, also for two threads at the same time."""
    made: list[T] = []

    @wraps(make)
    def get() -> T:
        if not made:
            with _lock:
                if not made:
                    made.append(make())
        return made[0]

    return get


def _counter(name: str, text: str, *labels: str) -> Counter:
    from prometheus_client import Counter

    return Counter(f"freehold_{name}", text, labels)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    from prometheus_client import Gauge

    return Gauge(f"freehold_{name}", text, labels)


def _histogram(name: str, text: str, *labels: str, buckets: Sequence[float] = _BUCKETS) -> Histogram:
    from prometheus_client import Histogram

    return Histogram(f"freehold_{name}", text, labels, buckets=buckets)


@_once
def requests() -> Counter:
    """Runs of a graph that started, by graph."""
    return _counter("requests_total", "Runs of a graph that started.", "graph")


@_once
def errors() -> Counter:
    """Runs that ended with an error, by graph and kind of error."""
    return _counter("errors_total", "Runs of a graph that ended with an error.", "graph", "error")


@_once
def queries_processed() -> Counter:
    """Questions answered to the end, by route."""
    return _counter("queries_processed_total", "Questions that were answered, from the cache or anew.", "route")


@_once
def request_seconds() -> Histogram:
    """Response latency: seconds from question to answer, by graph."""
    return _histogram("request_duration_seconds", "Seconds from question to answer.", "graph")


@_once
def active_sessions() -> Gauge:
    """Runs in flight."""
    return _gauge("active_sessions", "Runs in flight.")


@_once
def tokens_generated() -> Counter:
    """Tokens that local models generated, by model."""
    return _counter("tokens_generated_total", "Tokens that local models generated.", "model")


@_once
def tokens_per_second() -> Gauge:
    """Token rate of the newest generation."""
    return _gauge("token_rate_tokens_per_second", "Tokens per second of the newest generation.")


@_once
def inference_queue_length() -> Gauge:
    """Requests that wait for an engine, by model."""
    return _gauge("inference_queue_length", "Requests that wait for the engine.", "model")


@_once
def inference_running() -> Gauge:
    """Requests that an engine works at together, by model."""
    return _gauge("inference_running", "Requests that the engine works at together.", "model")


@_once
def inference_batch_tokens() -> Histogram:
    """Tokens that went through the model in one step, by model."""
    return _histogram("inference_batch_tokens", "Tokens in a step of the engine.", "model", buckets=_TOKENS)


@_once
def inference_step_seconds() -> Histogram:
    """Seconds per step: the time between two tokens of a stream, by model."""
    return _histogram("inference_step_duration_seconds", "Seconds in a step of the engine.", "model")


@_once
def inference_prefill_tokens() -> Counter:
    """Prompt tokens that were computed, by model."""
    return _counter("inference_prefill_tokens_total", "Prompt tokens that were computed.", "model")


@_once
def inference_decode_tokens() -> Counter:
    """Tokens that were generated, those of cancelled requests too, by model."""
    return _counter("inference_decode_tokens_total", "Tokens that the engine generated.", "model")


@_once
def inference_reused_tokens() -> Counter:
    """Prompt tokens whose keys and values were there already, by model."""
    return _counter("inference_reused_tokens_total", "Prompt tokens that did not have to be computed.", "model")


@_once
def inference_drafted_tokens() -> Counter:
    """Tokens that were drafted, by model."""
    return _counter("inference_drafted_tokens_total", "Tokens that were drafted for the model to check.", "model")


@_once
def inference_accepted_tokens() -> Counter:
    """Drafted tokens that the model would have chosen too, by model."""
    return _counter("inference_accepted_tokens_total", "Drafted tokens that the model agreed with.", "model")


@_once
def inference_first_token_seconds() -> Histogram:
    """Seconds from a request's submission to its first token, waiting included, by model."""
    return _histogram(
        "inference_first_token_seconds", "Seconds to the first token, waiting for the engine included.", "model"
    )


@_once
def inference_tokens_per_second() -> Histogram:
    """Token rate of each request after its first token, by model."""
    text = "Tokens per second of a request, after its first token."
    return _histogram("inference_token_rate_tokens_per_second", text, "model", buckets=_RATES)


@_once
def inference_preemptions() -> Counter:
    """Requests that were paused because the cache was full, by model."""
    return _counter("inference_preemptions_total", "Requests that were paused because the cache was full.", "model")


@_once
def inference_kv_used_ratio() -> Gauge:
    """Share of the key-value cache that running requests need, by model."""
    return _gauge("inference_kv_used_ratio", "Share of the key-value cache that running requests need.", "model")


@_once
def retrieval_seconds() -> Histogram:
    """Seconds per retrieval."""
    return _histogram("retrieval_duration_seconds", "Seconds per retrieval of passages.")


@_once
def node_seconds() -> Histogram:
    """Seconds per node."""
    return _histogram("node_duration_seconds", "Seconds in a node.", "node")


@_once
def node_errors() -> Counter:
    """Failures in a node, whether they ended the run or the node went on without its resource."""
    return _counter("node_errors_total", "Failures in a node, whether they ended the run or not.", "node")


@_once
def cache_lookups() -> Counter:
    """Lookups in caches, by tier (`flight`: it came with a run that was under way) and outcome."""
    return _counter("cache_lookups_total", "Lookups in caches.", "tier", "outcome")


@_once
def cache_lookup_seconds() -> Histogram:
    """Seconds per lookup in the response cache, without the time that one waited for another run's answer."""
    return _histogram("cache_lookup_duration_seconds", "Seconds per lookup in the response cache.", "tier")


@_once
def cache_saved_tokens() -> Counter:
    """Tokens that models did not have to read and write because of hits."""
    return _counter("cache_saved_tokens_total", "Tokens that hits in the response cache saved.")


@_once
def cache_saved_seconds() -> Counter:
    """Seconds of answering that hits saved."""
    return _counter("cache_saved_seconds_total", "Seconds of answering that hits in the response cache saved.")


@_once
def cache_compared() -> Counter:
    """Answers that were compared with a cached one, by whether that had been served, and by the result."""
    text = "Answers that were compared with a cached one for another question."
    return _counter("cache_compared_total", text, "served", "same")


@_once
def cache_stale() -> Counter:
    """Cached answers that died because a document they cite changed or went."""
    return _counter("cache_stale_total", "Cached answers that died with a document they cite.")


@_once
def guardrail_verdicts() -> Counter:
    """Verdicts of guardrails, by surface, rail and decision."""
    return _counter("guardrail_verdicts_total", "Verdicts of guardrails.", "surface", "rail", "decision")


@_once
def memory_refused() -> Counter:
    """Facts that long-term memory refused, by reason."""
    return _counter("memory_refused_total", "Facts that long-term memory refused.", "reason")


@_once
def watch_process() -> Gauge:
    """Resident memory of this process, read when it is scraped."""
    from freehold.process import resident_bytes

    gauge = _gauge("resident_memory_bytes", "Resident memory of this process.")
    gauge.set_function(resident_bytes)
    return gauge
