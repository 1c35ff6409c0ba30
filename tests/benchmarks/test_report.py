"""What a benchmark prints."""

from __future__ import annotations

import argparse
import json
import sys

import pytest

from benchmarks.report import Bar, main


@pytest.mark.parametrize(
    ("bar", "holds"),
    [
        (Bar("a", 1.0, "x", 1.0, "more"), True),
        (Bar("a", 0.9, "x", 1.0, "more"), False),
        (Bar("a", 1.1, "x", 1.0), False),
        (Bar("a", 1.1, "x"), True),
    ],
)
def test_a_bar_holds_on_its_right_side(bar: Bar, holds: bool) -> None:
    """More and less are not mixed up, and a figure without a bar misses nothing."""
    assert bar.holds is holds
    assert ("MISSED" in str(bar)) is not holds


def test_last_line_is_one_json_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts read the figures from the last line; a benchmark's own options reach it."""
    monkeypatch.setattr(sys, "argv", ["benchmark", "--peer", "7"])

    def run(options: argparse.Namespace) -> list[Bar]:
        return [Bar("speed", float(options.peer), "x", 2, "more"), Bar("why", 1, "s")]

    main("speed", run, description="", arguments={"--peer": {"type": int}})
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["benchmark"] == "speed"
    assert report["bars"][0] == {"name": "speed", "value": 7.0, "unit": "x", "bar": 2, "holds": True}
    assert report["bars"][1]["bar"] is None
