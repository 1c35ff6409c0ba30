"""A cached answer, as it is stored and read back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freehold.state import Citation

__all__ = ["CachedAnswer"]

_VERSION = 1
_TEXTS = ("question", "answer", "route", "model", "created_at")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class CachedAnswer:
    """An answer with what it takes to give it again. Everything is plain JSON.

    Example:
        >>> answer = CachedAnswer(question="What is Freehold?", answer="A LangGraph plugin. [1]", route="documents")
        >>> CachedAnswer.decode(answer.encode()) == answer
        True
    """

    question: str
    """The question that was answered, as it was asked."""
    answer: str
    citations: list[Citation] = field(default_factory=list)
    route: str = ""
    model: str = ""
    """The model that wrote the answer."""
    created_at: str = field(default_factory=_now)
    """ISO 8601, UTC."""
    sources: list[str] = field(default_factory=list)
    """The documents that the answer relies on."""

    def encode(self) -> bytes:
        """The answer as JSON with a version, in ASCII: any text survives, half of a surrogate pair too."""
        return json.dumps({"version": _VERSION, **asdict(self)}, separators=(",", ":")).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> CachedAnswer | None:
        """Read an answer back; None where the bytes are damaged, of another version, or no answer at all."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return cls(**value) if _is_answer(value) else None


def _is_answer(value: Any) -> bool:
    """Whether a JSON value is an answer of this version; takes the version out."""
    if not isinstance(value, dict):
        return False
    version = value.pop("version", None)
    if type(version) is not int or version != _VERSION:  # in Python, true and 1 are equal
        return False
    citations, sources = value.get("citations"), value.get("sources")
    return (
        value.keys() == {*_TEXTS, "citations", "sources"}
        and all(isinstance(value[name], str) for name in _TEXTS)
        and isinstance(citations, list)
        and all(isinstance(citation, dict) for citation in citations)
        and isinstance(sources, list)
        and all(isinstance(source, str) for source in sources)
    )
