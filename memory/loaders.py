"""Documents from files, as text: found in folders, read by their format, refused with a reason."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from freehold.errors import DocumentError
from freehold.memory.formats.docx import parse_docx
from freehold.memory.formats.html import parse_html
from freehold.memory.formats.languages import LANGUAGES
from freehold.memory.formats.parsed import FormatError, Parsed
from freehold.memory.formats.pdf import parse_pdf
from freehold.memory.formats.plain import decode, parse_markdown
from freehold.memory.formats.records import parse_json, parse_json_lines
from freehold.memory.formats.tables import parse_table

__all__ = ["FORMATS", "LoadedDocument", "find_documents", "load"]

Format = Literal["code", "csv", "docx", "html", "json", "jsonl", "markdown", "pdf", "text"]

FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".docx": "docx",
    ".htm": "html",
    ".html": "html",
    ".json": "json",
    ".jsonl": "jsonl",
    ".markdown": "markdown",
    ".md": "markdown",
    ".ndjson": "jsonl",
    ".pdf": "pdf",
    ".rst": "text",
    ".tab": "csv",
    ".text": "text",
    ".tsv": "csv",
    ".txt": "text",
    ".xhtml": "html",
    **dict.fromkeys(LANGUAGES, "code"),
}
"""Format of each file name ending that can be read."""

MAX_BYTES = 32 * 2**20
"""Largest file that is read; a larger one is refused, so that one file cannot take all memory."""

_SKIPPED_FOLDERS = {"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"}
_SKIPPED_NAMES = {"npm-shrinkwrap.json", "package-lock.json", "pnpm-lock.yaml"}
_SKIPPED_ENDINGS = (".min.css", ".min.js")

_BINARY: dict[str, Callable[[bytes], Parsed]] = {"docx": parse_docx, "pdf": parse_pdf}
_TEXTUAL: dict[str, Callable[[str], Parsed]] = {
    "csv": parse_table,
    "html": parse_html,
    "json": parse_json,
    "jsonl": parse_json_lines,
    "markdown": parse_markdown,
}


@dataclass(frozen=True)
class LoadedDocument:
    """A file's text."""

    source: str
    """Path of the file, as it was given."""
    text: str
    """Line ends are `\\n`. HTML and DOCX have become Markdown, so that their headings survive; rows and records have
    become lines of `name: value`."""
    pages: tuple[tuple[int, int], ...] | None
    """(number from 1, offset of its first character in the text) of each page; None where the format has no pages."""
    format: Format
    digest: str
    """SHA-256 of the file's bytes, in hexadecimal."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON: `format`, `modified` (ISO 8601, UTC), and `title`, `language`, `columns` and what the front matter
    says, where the file has them."""
    lines: tuple[tuple[int, int], ...] | None = None
    """(line in the file from 1, offset in the text) of each row or record of a CSV or JSON Lines file."""


def find_documents(roots: Iterable[str | Path], *, onerror: Callable[[OSError], object] | None = None) -> list[Path]:
    """Files that `load` can read, sorted: each root that is a file, and everything below each that is a folder.

    Hidden files and folders, build folders, virtual environments, lock files of package managers and minified code are
    left out, and so are pipes, sockets and devices; links to folders are not followed.

    Args:
        roots: Files and folders.
        onerror: Called with the error of each folder that cannot be listed; it is left out.

    Raises:
        DocumentError: A root does not exist.
    """
    found: set[Path] = set()
    for root in map(Path, roots):
        # `os.path`, here and below: a `Path` raises where a folder above has no rights.
        if os.path.isfile(root):  # noqa: PTH113
            found.add(root)
            continue
        if not os.path.isdir(root):  # noqa: PTH112
            raise DocumentError(f"{root} does not exist. Give a file, or a folder of files.")
        for folder, below, names in os.walk(root, onerror=onerror):
            here = Path(folder)
            below[:] = [
                name
                for name in below
                if not name.startswith(".")
                and name not in _SKIPPED_FOLDERS
                and not os.path.exists(here / name / "pyvenv.cfg")  # noqa: PTH110
            ]
            found.update(here / name for name in names if _wanted(name) and not _waits(here / name))
    return sorted(found)


def _wanted(name: str) -> bool:
    """Whether a file in a folder is a document by its name."""
    return (
        Path(name).suffix.lower() in FORMATS
        and not name.startswith(".")
        and name not in _SKIPPED_NAMES
        and not name.endswith(_SKIPPED_ENDINGS)
    )


def _waits(path: Path) -> bool:
    """Whether opening a path could wait for ever: a pipe does, until somebody writes."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a broken link, a folder without rights: `load` says what it is
        return False


def load(path: str | Path, *, max_bytes: int = MAX_BYTES) -> LoadedDocument:
    """Read a file's text.

    Args:
        path: The file.
        max_bytes: Largest file that is read.

    Raises:
        DocumentError: The file is missing, no regular file, too large, of another format, encrypted, damaged, nested
            too deep, or has no text; the message names the file and the reason.

    Example:
        >>> document = load("README.md")  # doctest: +SKIP
        >>> document.format  # doctest: +SKIP
        'markdown'
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DocumentError(
            f"{path} cannot be read: {path.suffix or 'no ending'} is not one of the endings of Markdown, text, HTML, "
            "PDF, DOCX, CSV, JSON and source code."
        )
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # asked before it is opened: a pipe would wait
            raise DocumentError(f"{path} cannot be read: it is not a regular file. Give a file or a folder of files.")
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > max_bytes:
        raise DocumentError(
            f"{path} cannot be read: it has {status.st_size:,} bytes, and the limit is {max_bytes:,}. Split it."
        )
    try:
        parsed = _parse(path, kind, data)
    except FormatError as error:
        raise DocumentError(f"{path} cannot be read: {error}") from error
    if not parsed.text.strip():
        hint = " It may hold scanned pictures of pages." if kind == "pdf" else ""
        raise DocumentError(f"{path} cannot be read: it has no text.{hint}")
    language = {"language": LANGUAGES[path.suffix.lower()]} if kind == "code" else {}
    modified = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
    metadata = {**_storable(dict(parsed.metadata)), **language, "format": kind, "modified": modified}
    digest = hashlib.sha256(data).hexdigest()
    return LoadedDocument(str(path), _storable(parsed.text), parsed.pages, kind, digest, metadata, parsed.lines)


def _storable(value: Any) -> Any:
    """Without the halves of surrogate pairs, which UTF-8 cannot hold; a text is as long as before, so offsets stay."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case list():
            return [_storable(item) for item in value]
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case _:
            return value


def _parse(path: Path, kind: Format, data: bytes) -> Parsed:
    if kind in _BINARY:
        return _BINARY[kind](data)
    text = decode(data)
    if path.suffix.lower() in (".tsv", ".tab"):
        return parse_table(text, "\t")
    return _TEXTUAL.get(kind, Parsed)(text)
