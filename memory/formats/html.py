"""HTML as Markdown, so that its headings, tables and code survive."""

from __future__ import annotations

import re

from freehold.memory.formats.parsed import FormatError, Parsed

__all__ = ["parse_html", "to_markdown"]

_BLANK_LINES = re.compile(r"\n{3,}")


def parse_html(html: str) -> Parsed:
    """What a reader of the page sees, as Markdown with `#` headings; the page's title is metadata."""
    return to_markdown(html, "the HTML is damaged or nested too deep")


def to_markdown(html: str, wrong: str) -> Parsed:
    """HTML as Markdown.

    Args:
        html: The page.
        wrong: What an error says.
    """
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    try:
        soup = BeautifulSoup(html, "html.parser")
        title = soup.title.get_text(" ", strip=True) if soup.title else ""
        for element in soup(["script", "style", "noscript", "template", "head", "nav", "svg"]):
            element.decompose()
        markdown: str = MarkdownConverter(heading_style="ATX", strip=["img"]).convert_soup(soup)
    except Exception as error:  # the parser and the converter have errors of many kinds, RecursionError among them
        raise FormatError(f"{wrong} ({type(error).__name__}).") from error
    # What other line ends the page has would be counted as characters by some and as lines by others.
    text = markdown.replace("\r\n", "\n").replace("\r", "\n")
    return Parsed(_BLANK_LINES.sub("\n\n", text).strip() + "\n", {"title": title} if title else {})
