"""The text of a passage as it is embedded, searched, reranked and graded."""

from __future__ import annotations

from freehold.state import Passage

__all__ = ["indexed_text"]


def indexed_text(passage: Passage) -> str:
    """A passage with its heading in front: its text often does not repeat what the heading says it is about."""
    return f"{passage['heading']}\n{passage['text']}" if passage["heading"] else passage["text"]
