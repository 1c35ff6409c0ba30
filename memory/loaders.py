"""Documents from files: Markdown, text, HTML and PDF, as text with page offsets."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from freehold.errors import DocumentError

__all__ = ["FORMATS", "LoadedDocument", "find_documents", "load"]

Format = Literal["markdown", "text", "html", "pdf"]

FORMATS: dict[str, Format] = {
    ".htm": "html",
    ".html": "html",
    ".markdown": "markdown",
    ".md": "markdown",
    ".pdf": "pdf",
    ".rst": "text",
    ".text": "text",
    ".txt": "text",
    ".xhtml": "html",
}
"""File name endings that can be read."""

MAX_BYTES = 32 * 2**20
"""Largest file that is read; a larger one is refused, so that one file cannot take all memory."""

_SKIPPED_FOLDERS = {"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"}


@dataclass(frozen=True)
class LoadedDocument:
    """A file's text."""

    source: str
    """Path of the file, as it was given."""
    text: str
    """Line ends are `\\n`. HTML has become Markdown, so that its headings survive."""
    pages: tuple[tuple[int, int], ...] | None
    """(number from 1, offset of its first character in the text) of each page; None where the format has no pages."""
    format: Format
    digest: str
    """SHA-256 of the file's bytes, in hexadecimal."""


def find_documents(roots: Iterable[str | Path]) -> list[Path]:
    """Files that `load` can read, sorted: each root that is a file, and everything below each that is a folder.

    Hidden files and folders, build folders and virtual environments are left out, and so are pipes, sockets and
    devices; links to folders are not followed.

    Raises:
        DocumentError: A root does not exist.
    """
    found: set[Path] = set()
    for root in map(Path, roots):
        if root.is_file():
            found.add(root)
        elif not root.is_dir():
            raise DocumentError(f"{root} does not exist. Give a file or a folder of Markdown, text, HTML or PDF files.")
        for folder, below, names in os.walk(root):
            here = Path(folder)
            below[:] = [
                name
                for name in below
                if not name.startswith(".")
                and name not in _SKIPPED_FOLDERS
                and not (here / name / "pyvenv.cfg").exists()
            ]
            found.update(
                here / name
                for name in names
                if not name.startswith(".") and Path(name).suffix.lower() in FORMATS and not _waits(here / name)
            )
    return sorted(found)


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
        raise DocumentError(f"{path} cannot be read: {path.suffix or 'no ending'} is not one of {', '.join(FORMATS)}.")
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DocumentError(f"{path} cannot be read: it is not a regular file. Give a file or a folder of files.")
        if status.st_size > max_bytes:
            raise DocumentError(
                f"{path} cannot be read: it has {status.st_size:,} bytes, and the limit is {max_bytes:,}. Split it."
            )
        data = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror or error}.") from error
    pages = None
    if kind == "pdf":
        text, pages = _pdf(path)
    else:
        text = _decode(path, data)
        if kind == "html":
            text = _html_to_markdown(path, text)
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        hint = " It may hold scanned pictures of pages." if kind == "pdf" else ""
        raise DocumentError(f"{path} cannot be read: it has no text.{hint}")
    return LoadedDocument(str(path), text, pages, kind, hashlib.sha256(data).hexdigest())


def _decode(path: Path, data: bytes) -> str:
    """UTF-8, UTF-16 with its mark, or the encoding that fits the text best."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\x00" in data:
        raise DocumentError(f"{path} cannot be read: it holds binary data, not text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(data).best()
        if best is None:
            raise DocumentError(f"{path} cannot be read: its encoding is unknown. Save it as UTF-8.") from None
        return str(best)


_BLANK_LINES = re.compile(r"\n{3,}")


def _html_to_markdown(path: Path, html: str) -> str:
    """What a reader of the page sees, as Markdown with `#` headings."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    try:
        soup = BeautifulSoup(html, "html.parser")
        for element in soup(["script", "style", "noscript", "template", "head", "nav", "svg"]):
            element.decompose()
        markdown: str = MarkdownConverter(heading_style="ATX", strip=["img"]).convert_soup(soup)
    except Exception as error:  # the parser and the converter have errors of many kinds, RecursionError among them
        raise DocumentError(
            f"{path} cannot be read: the HTML is damaged or nested too deep ({type(error).__name__})."
        ) from error
    return _BLANK_LINES.sub("\n\n", markdown).strip() + "\n"


def _pdf(path: Path) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Text of every page, and where each page starts."""
    from pypdf import PdfReader
    from pypdf.errors import FileNotDecryptedError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it reports every oddity of a file that it reads nonetheless
    try:
        reader = PdfReader(path)
        if reader.is_encrypted:
            reader.decrypt("")  # many are locked against changes only
        texts = [page.extract_text() for page in reader.pages]
    except FileNotDecryptedError as error:
        raise DocumentError(f"{path} cannot be read: the PDF is encrypted. Save a copy without a password.") from error
    except Exception as error:  # pypdf meets damaged files with errors of many kinds, KeyError and RecursionError too
        raise DocumentError(f"{path} cannot be read: the PDF is damaged ({type(error).__name__}: {error}).") from error
    pages, parts, offset = [], [], 0
    for number, text in enumerate(texts, start=1):
        # A lone surrogate from a broken font table could not be stored as UTF-8.
        clean = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8").strip() + "\n\n"
        pages.append((number, offset))
        parts.append(clean)
        offset += len(clean)
    return "".join(parts), tuple(pages)
