"""What every benchmark reports, and how."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Bar", "machine", "main"]


@dataclass(frozen=True)
class Bar:
    """One measured figure and what it is held against."""

    name: str
    value: float
    unit: str
    bar: float
    better: Literal["less", "more"] = "less"

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side of its bar."""
        return self.value <= self.bar if self.better == "less" else self.value >= self.bar


def machine() -> str:
    """The processor, its cores, memory, system and Python, in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def main(name: str, run: Callable[[argparse.Namespace], list[Bar]], *, description: str) -> None:
    """Parse the common options, run, print a line per bar and, last, one JSON object."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--data", type=Path, help="folder with data for measuring")
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    options = parser.parse_args()
    bars = run(options)
    if not options.json:
        for bar in bars:
            sign = "<=" if bar.better == "less" else ">="
            verdict = "holds" if bar.holds else "MISSED"
            print(f"{bar.name:60} {bar.value:10.3f} {bar.unit:6} {sign} {bar.bar:g}  {verdict}", file=sys.stderr)
    rows = [{**{k: v for k, v in asdict(bar).items() if k != "better"}, "holds": bar.holds} for bar in bars]
    print(json.dumps({"benchmark": name, "machine": machine(), "bars": rows}))
