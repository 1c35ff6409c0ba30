"""PDF, page by page."""

from __future__ import annotations

import logging
from io import BytesIO

from freehold.memory.formats.parsed import FormatError, Parsed

__all__ = ["parse_pdf"]


def parse_pdf(data: bytes) -> Parsed:
    """The text of every page, and where each page starts; the document's title is metadata."""
    from pypdf import PdfReader
    from pypdf.errors import FileNotDecryptedError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it reports every oddity of a file that it reads nonetheless
    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted:
            reader.decrypt("")  # many are locked against changes only
        texts = [page.extract_text() for page in reader.pages]
        title = _clean(str((reader.metadata and reader.metadata.title) or ""))
    except FileNotDecryptedError as error:
        raise FormatError("the PDF is encrypted. Save a copy without a password.") from error
    except Exception as error:  # pypdf meets damaged files with errors of many kinds, KeyError and RecursionError too
        raise FormatError(f"the PDF is damaged ({type(error).__name__}: {error}).") from error
    pages, parts, offset = [], [], 0
    for number, text in enumerate(texts, start=1):
        clean = _clean(text) + "\n\n"
        pages.append((number, offset))
        parts.append(clean)
        offset += len(clean)
    return Parsed("".join(parts), {"title": title} if title else {}, tuple(pages))


def _clean(text: str) -> str:
    r"""Without what cannot be stored as UTF-8: a broken font table gives lone surrogates. Line ends are `\n`."""
    text = text.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode("utf-8").strip()
