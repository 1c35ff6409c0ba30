"""The report of the response cache, as a table and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from freehold.cache import CacheReport
    from freehold.cache.report import Share

__all__ = ["report_object", "report_table"]

_TIERS = {
    "memory": "from this process' memory",
    "exact": "from the store, the same question",
    "semantic": "the same question in other words",
    "flight": "with a run that was under way",
}


def report_table(report: CacheReport, bound: float | None) -> Table:
    """Every figure with a word on what it means."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", style="dim")
    requests = report.requests
    row = table.add_row
    row("requests", f"{requests:,}")
    row("answered from the cache", f"{report.hit_rate:.1%}")
    for tier, told in _TIERS.items():
        hits = report.hits[tier]
        row(f"  {tier}", f"{hits:,}", f"{_share(hits, requests)}  {told}")
    row(
        "misses",
        f"{report.misses:,}",
        f"{report.errors:,} more because the cache could not be read" * bool(report.errors),
    )
    row("tokens saved", f"{report.tokens_saved:,}")
    row("time saved", f"{report.seconds_saved:,.1f} s")
    row("wrong answers, estimated", f"{report.wrong.value:.2%}", _wrong(report, bound))
    row("  expected when served", f"{report.risked:.1f}", "answers, by the risk of each semantic hit")
    row("  reported wrong", f"{report.reported_wrong:,}", "they are served to nobody")
    row("compared before serving", f"{report.explored.of:,.0f}", _explored(report.explored))
    row("died with their documents", f"{report.stale:,}")
    row("a lookup, half of them within", _time(report.percentile(0.5)), "without waiting for another run")
    row("a lookup, 95 % of them within", _time(report.percentile(0.95)))
    return table


def report_object(report: CacheReport, bound: float | None) -> dict[str, Any]:
    """The same, for programs."""

    def share(of: Share) -> dict[str, float]:
        return {"value": of.value, "low_95": of.low, "high_95": of.high, "wrong": of.found, "of": of.of}

    def seconds(at: float) -> float | None:
        within = report.percentile(at)
        return None if math.isinf(within) else within  # JSON knows no infinity

    return {
        "requests": report.requests,
        "hit_rate": report.hit_rate,
        "hits": dict(report.hits),
        "misses": report.misses,
        "errors": report.errors,
        "stored": report.stored,
        "stale": report.stale,
        "coalesced": report.hits["flight"],
        "tokens_saved": report.tokens_saved,
        "seconds_saved": report.seconds_saved,
        "max_error": bound,
        "wrong_of_all_requests": share(report.wrong),
        "wrong_of_checked_hits": share(report.checked),
        "wrong_of_explored": share(report.explored),
        "risked": report.risked,
        "reported_wrong": report.reported_wrong,
        "lookup_seconds": {name: seconds(at) for name, at in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
    }


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "0.0%"


def _wrong(report: CacheReport, bound: float | None) -> str:
    if not report.checked.of:
        return "of all requests; no semantic hit was checked yet"
    told = f"of all requests; with a confidence of 95 % {report.wrong.low:.2%} to {report.wrong.high:.2%}"
    told += f"; {report.checked.found:.0f} of {report.checked.of:.0f} checked hits were wrong"
    return told if bound is None else f"{told}; the bound is {bound:.1%}"


def _explored(explored: Share) -> str:
    return f"{explored.value:.0%} of them would have been wrong" if explored.of else ""


def _time(seconds: float) -> str:
    return "over 500 ms" if math.isinf(seconds) else f"{seconds * 1000:g} ms"
