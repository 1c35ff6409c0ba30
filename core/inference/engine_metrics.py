"""An engine's work as Prometheus metrics."""

from __future__ import annotations

from freehold import metrics
from freehold.inference.generation import GenerationResult
from freehold.inference.stats import StepReport

__all__ = ["EngineMetrics"]


class EngineMetrics:
    """Counts what an engine reports, under its model's name; a step costs it some microseconds.

    Args:
        model: The model's name.

    Example:
        >>> counted = EngineMetrics("freehold-demo")
        >>> engine = Engine("model.gguf", observe=counted.finished, observe_step=counted.step)  # doctest: +SKIP
    """

    def __init__(self, model: str) -> None:
        # Finding a labelled metric costs more than counting in it: here it is done once.
        self._queue_length = metrics.inference_queue_length().labels(model)
        self._running = metrics.inference_running().labels(model)
        self._kv_used_ratio = metrics.inference_kv_used_ratio().labels(model)
        self._batch_tokens = metrics.inference_batch_tokens().labels(model)
        self._step_seconds = metrics.inference_step_seconds().labels(model)
        self._prefill_tokens = metrics.inference_prefill_tokens().labels(model)
        self._decode_tokens = metrics.inference_decode_tokens().labels(model)
        self._reused_tokens = metrics.inference_reused_tokens().labels(model)
        self._drafted_tokens = metrics.inference_drafted_tokens().labels(model)
        self._accepted_tokens = metrics.inference_accepted_tokens().labels(model)
        self._preemptions = metrics.inference_preemptions().labels(model)
        self._first_token_seconds = metrics.inference_first_token_seconds().labels(model)
        self._tokens_per_second = metrics.inference_tokens_per_second().labels(model)
        self._tokens_generated = metrics.tokens_generated().labels(model)
        self._newest_rate = metrics.tokens_per_second()

    def step(self, report: StepReport) -> None:
        """Count a step; the engine calls it in its own thread."""
        self._queue_length.set(report.waiting)
        self._running.set(report.running)
        self._kv_used_ratio.set(report.kv_used / report.kv_size)
        if report.rows:
            self._batch_tokens.observe(report.rows)
            self._step_seconds.observe(report.seconds)
        # Most steps do one of these things; counting none costs as much as counting one.
        if report.decode_tokens:
            self._decode_tokens.inc(report.decode_tokens)
        if report.prefill_tokens:
            self._prefill_tokens.inc(report.prefill_tokens)
        if report.reused_tokens:
            self._reused_tokens.inc(report.reused_tokens)
        if report.drafted_tokens:
            self._drafted_tokens.inc(report.drafted_tokens)
        if report.accepted_tokens:
            self._accepted_tokens.inc(report.accepted_tokens)
        if report.preemptions:
            self._preemptions.inc(report.preemptions)

    def finished(self, result: GenerationResult) -> None:
        """Count a generation that came to its end; the engine calls it in its own thread."""
        self._tokens_generated.inc(result.completion_tokens)
        self._newest_rate.set(result.tokens_per_second)
        self._first_token_seconds.observe(result.queued_seconds + result.prefill_seconds)
        if result.completion_tokens > 1:  # the rate begins after the first token
            self._tokens_per_second.observe(result.tokens_per_second)
