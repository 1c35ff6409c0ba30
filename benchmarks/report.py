"""What every benchmark reports, and how."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Bar", "machine", "main", "percentile"]


@dataclass(frozen=True)
class Bar:
    """One measured figure and what it is held against."""

    name: str
    """What was measured; the line of a figure without a bar is indented."""
    value: float
    unit: str
    bar: float | None = None
    """None for a figure that only explains the others."""
    better: Literal["less", "more"] = "less"

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side of its bar, where it has one."""
        if self.bar is None:
            return True
        return self.value <= self.bar if self.better == "less" else self.value >= self.bar

    def __str__(self) -> str:
        line = f"{'  ' * (self.bar is None) + self.name:84} {self.value:10.3f} {self.unit:11}"
        if self.bar is None:
            return line.rstrip()
        return f"{line} {'<=' if self.better == 'less' else '>='} {self.bar:g}  {'holds' if self.holds else 'MISSED'}"


def percentile(seconds: Sequence[float], share: int) -> float:
    """A percentile, in milliseconds."""
    return statistics.quantiles(seconds, n=100)[share - 1] * 1000


def machine() -> str:
    """The processor, its cores, memory, system and Python, in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def main(
    name: str,
    run: Callable[[argparse.Namespace], list[Bar]],
    *,
    description: str,
    arguments: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Parse the common options, run, print a line per bar and, last, one JSON object.

    Args:
        name: The benchmark's module.
        run: Measures.
        description: For `--help`.
        arguments: Further options, with what `add_argument` takes.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--data", type=Path, help="folder with data for measuring")
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    for option, settings in (arguments or {}).items():
        parser.add_argument(option, **settings)
    options = parser.parse_args()
    bars = run(options)
    if not options.json:
        for bar in bars:
            print(bar, file=sys.stderr)
    rows = [
        {"name": bar.name, "value": bar.value, "unit": bar.unit, "bar": bar.bar, "holds": bar.holds} for bar in bars
    ]
    print(json.dumps({"benchmark": name, "machine": machine(), "bars": rows}))
