"""The response cache: its bound on wrong answers, twisted questions, speed, flights, Redis in trouble, CachePolicy."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from benchmarks import cache_flights, cache_nodes, cache_redis, cache_speed, cache_stream, cache_twisted
from benchmarks.report import Bar, main

PARTS = ("stream", "twisted", "speed", "flights", "redis", "nodes")
_ON_DATA = ("stream", "twisted", "speed")


async def _on_data(data: Path, options: argparse.Namespace, parts: set[str]) -> list[Bar]:
    models = cache_stream.Models.shipped()
    bars: list[Bar] = []
    try:
        stream = cache_stream.read_stream(data)
        learned = None
        if "stream" in parts:
            found, learned = await cache_stream.rows(data, models, quick=options.quick)
            bars += found
        if "twisted" in parts:
            bars += await cache_twisted.rows(data, models, learned, quick=options.quick)
        if "speed" in parts:
            bars += await cache_speed.rows(stream, models, quick=options.quick)
    finally:
        models.close()
    return bars


def run(options: argparse.Namespace) -> list[Bar]:
    """Measure the parts that are wanted; those that need data only where there is some.

    Raises:
        SystemExit: The folder that was named is not there, or a part named by `--only` needs one.
    """
    parts = set(options.only or PARTS)
    data: Path | None = options.data
    on_data = [part for part in _ON_DATA if part in parts]
    if data is not None and not data.is_dir():
        raise SystemExit(f"There is no folder {data}.")
    bars: list[Bar] = []
    if on_data and data is not None:
        bars += asyncio.run(_on_data(data, options, parts))
    elif on_data and options.only:
        raise SystemExit(f"Name the folder with the data by --data: {', '.join(on_data)} cannot do without.")
    elif on_data:
        print(f"Left out, because they need data (--data FOLDER): {', '.join(on_data)}.", file=sys.stderr)
    if "flights" in parts:
        bars += cache_flights.rows(quick=options.quick)
    if "redis" in parts:
        bars += asyncio.run(cache_redis.rows(quick=options.quick))
    if "nodes" in parts:
        bars += cache_nodes.rows(options.quick)
    return bars


if __name__ == "__main__":
    main(
        "cache",
        run,
        description=__doc__ or "",
        arguments={"--only": {"nargs": "+", "choices": PARTS, "help": "these parts only"}},
    )
