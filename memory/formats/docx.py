"""Word documents (DOCX), as Markdown: headings, lists and tables survive."""

from __future__ import annotations

import zipfile
from io import BytesIO
from xml.etree import ElementTree as ET

from freehold.memory.formats.html import to_markdown
from freehold.memory.formats.parsed import FormatError, Parsed

__all__ = ["parse_docx"]

_MARKUP_LIMIT = 32 * 2**20
"""Bytes of unpacked markup: its tree in memory takes about thirty times as much."""

_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


def parse_docx(data: bytes) -> Parsed:
    """The document as Markdown, without pictures; its title is metadata."""
    import mammoth

    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            unpacked = sum(part.file_size for part in archive.infolist() if part.filename.endswith((".xml", ".rels")))
            if unpacked > _MARKUP_LIMIT:
                raise FormatError(
                    f"it unpacks to {unpacked:,} bytes of markup, and the limit is {_MARKUP_LIMIT:,}. Split it."
                )
            title = _title(archive)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        if data.startswith(b"\xd0\xcf\x11\xe0"):  # the container of old Office files, and of encrypted new ones
            raise FormatError("it is encrypted, or an old Word file. Save it as DOCX without a password.") from error
        raise FormatError(f"the DOCX is damaged ({type(error).__name__}: {error}).") from error
    try:
        html: str = mammoth.convert_to_html(
            BytesIO(data),
            style_map=_STYLES,
            convert_image=mammoth.images.img_element(lambda _: {}),
            external_file_access=False,
        ).value
    except Exception as error:  # a part that is missing is a KeyError, broken markup an ExpatError, and so on
        raise FormatError(f"the DOCX is damaged ({type(error).__name__}: {error}).") from error
    parsed = to_markdown(html, "the DOCX is damaged or nested too deep")
    return Parsed(parsed.text, {"title": title} if title else {})


def _title(archive: zipfile.ZipFile) -> str:
    """What the document's properties call it, if anything."""
    try:
        root = ET.fromstring(archive.read("docProps/core.xml"))  # noqa: S314 - expat limits what entities do
    except (KeyError, ET.ParseError):
        return ""
    return (root.findtext(_TITLE) or "").strip()
