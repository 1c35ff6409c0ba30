"""CSV and TSV: every row as lines of `column: value`, a blank line between rows."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from itertools import islice
from typing import Any

from freehold.memory.formats.parsed import FormatError, Parsed

__all__ = ["parse_table", "records_text"]

_DELIMITERS = ",;\t|"
_SAMPLE = 64
_LONGEST_NAME = 60
_MOST_COLUMNS = 32
_LONGEST_FIELD = 32 * 2**20
_NUMBER = re.compile(r"[-+]?[\d.,:/% $€£-]*\d[\d.,:/% $€£-]*")


def parse_table(text: str, delimiter: str | None = None) -> Parsed:
    """The rows of a table; its delimiter and whether its first row holds names are guessed.

    Rows longer or shorter than the first are kept: values without a name are called `column 5`, empty ones left out.

    Args:
        text: The file.
        delimiter: Between two values, where it is known.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    delimiter = delimiter or _delimiter(text)
    rows = _rows(text, delimiter)
    sample = list(islice(rows, _SAMPLE))
    names = [name.strip() for name in sample[0][1]] if _has_names(sample) else []
    start = 1 if names else 0
    table = ((line, _named(row, names)) for line, row in (*sample[start:], *rows))
    body, lines = records_text(table)
    columns = [name for name in names if name][: _MOST_COLUMNS + 1]
    small = 0 < len(columns) <= _MOST_COLUMNS
    return Parsed(body, {"columns": columns} if small else {}, lines=lines)


def records_text(
    records: Iterable[tuple[int, Mapping[str, str] | str]],
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Records as text, and the line in the file and offset in the text of each.

    A record is `name: value` lines; a blank line stands between two records, so that a splitter keeps them whole.

    Args:
        records: (line in the file, values by name or a text) of each.
    """
    parts: list[str] = []
    lines: list[tuple[int, int]] = []
    offset = 0
    for line, record in records:
        if isinstance(record, str):
            body = record.strip()
        else:
            # A blank line in a value would end the record.
            body = "\n".join(f"{name}: {_flat(value)}" for name, value in record.items() if value.strip())
        if not body:
            continue
        lines.append((line, offset))
        parts.append(body + "\n\n")
        offset += len(body) + 2
    return "".join(parts), tuple(lines)


def _flat(value: str) -> str:
    return "\n".join(line.strip() for line in value.splitlines() if line.strip())


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(first line in the file, values) of each row that holds anything."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    line = 1
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise FormatError(f"line {reader.line_num} is damaged: {error}.") from error


def _delimiter(text: str) -> str:
    """The character that splits the first rows into the same number of values most often, and into most of them."""

    def evenness(delimiter: str) -> tuple[int, int]:
        try:
            widths = Counter(len(row) for _, row in islice(_rows(text[:65_536], delimiter), _SAMPLE))
        except FormatError:
            return 0, 0
        width, rows = max(widths.items(), key=lambda entry: entry[1] * (entry[0] > 1), default=(0, 0))
        return (rows, width) if width > 1 else (0, 0)

    return max(_DELIMITERS, key=evenness)


def _has_names(rows: list[tuple[int, list[str]]]) -> bool:
    """Whether the first row names the columns: short, distinct, no numbers; a table of one row has none."""
    if len(rows) < 2:
        return False
    names = [name.strip() for name in rows[0][1]]
    named = [name for name in names if name]
    return (
        2 * len(named) > len(names)
        and len(set(named)) == len(named)
        and all(len(name) <= _LONGEST_NAME and not _NUMBER.fullmatch(name) for name in named)
    )


def _named(row: list[str], names: list[str]) -> dict[str, Any]:
    return {
        (names[place] if place < len(names) and names[place] else f"column {place + 1}"): value
        for place, value in enumerate(row)
    }
