"""What the cache keeps under a key: an answer, or the name of the answer that serves this question too."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from freehold.state import Citation

__all__ = ["Alias", "CachedAnswer", "decode"]

_VERSION = 2
_TOO_LARGE = 1e300


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class _Stored:
    """Written as JSON with a kind and a version, in ASCII: any text survives, half of a surrogate pair too."""

    kind: ClassVar[str]

    def encode(self) -> bytes:
        """The value as it is stored."""
        value = {"version": _VERSION, "kind": self.kind, **asdict(self)}  # type: ignore[call-overload]
        return json.dumps(value, separators=(",", ":")).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Read a value of this kind back; None where the bytes are damaged, of another version, or something else."""
        value = decode(data)
        return value if isinstance(value, cls) else None


@dataclass(frozen=True)
class CachedAnswer(_Stored):
    """An answer with what it takes to give it again. Everything is plain JSON.

    Example:
        >>> answer = CachedAnswer(question="What is Freehold?", answer="A LangGraph plugin. [1]", route="documents")
        >>> CachedAnswer.decode(answer.encode()) == answer
        True
    """

    kind = "answer"

    question: str
    """The question that was answered, as it was asked."""
    answer: str
    citations: list[Citation] = field(default_factory=list)
    route: str = ""
    model: str = ""
    """The model that wrote the answer."""
    created_at: str = field(default_factory=_now)
    """ISO 8601, UTC."""
    sources: dict[str, str] = field(default_factory=dict)
    """The documents that the answer relies on, each with the digest of its content then."""
    documents: str = ""
    """Version of all documents together then."""
    tokens: int = 0
    """Tokens that the model read and wrote for it: what a hit saves."""
    seconds: float = 0.0
    """How long it took: what a hit saves."""
    stayed: float | None = None
    """Seconds that the document it cites which changes most last stayed the same; None where none changed twice."""
    quarantined: bool = False
    """Somebody reported that it is wrong: kept for its owner to look at, served to nobody."""
    doubted: bool = False
    """The report came from another question that it was served to: written again in the same words, it is right."""

    @property
    def age(self) -> float:
        """Seconds since it was written; 0 where that cannot be told."""
        try:
            return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(self.created_at)).total_seconds())
        except (ValueError, TypeError):
            return 0.0


@dataclass(frozen=True)
class Alias(_Stored):
    """A question that was served the answer to another one, and at what risk.

    Example:
        >>> Alias.decode(Alias("key", (1.0, 0.5), 0.03, 0.98).encode()).entry
        'key'
    """

    kind = "alias"

    entry: str
    """Key of the answer."""
    signals: tuple[float, ...]
    """What was known of the two questions, as the calibration takes it."""
    risk: float
    """The probability that the answer is wrong here, as it was estimated."""
    similarity: float
    """Cosine similarity of the two questions."""


def decode(data: bytes) -> CachedAnswer | Alias | None:
    """Read back what `encode` wrote; None where the bytes are damaged, of another version, or nothing of ours."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    version, kind = value.pop("version", None), value.pop("kind", None)
    if type(version) is not int or version != _VERSION:  # in Python, true and 1 are equal
        return None
    if kind == "answer" and _is_answer(value):
        return CachedAnswer(**value)
    if kind == "alias" and _is_alias(value):
        return Alias(**{**value, "signals": tuple(value["signals"])})
    return None


def _is_answer(value: dict[str, Any]) -> bool:
    texts = ("question", "answer", "route", "model", "created_at", "documents")
    return (
        value.keys() == CachedAnswer.__dataclass_fields__.keys()
        and all(isinstance(value[name], str) for name in texts)
        and isinstance(value["citations"], list)
        and all(isinstance(citation, dict) for citation in value["citations"])
        and isinstance(value["sources"], dict)
        and all(isinstance(digest, str) for digest in value["sources"].values())
        and all(_is_number(value[name]) and value[name] >= 0 for name in ("tokens", "seconds"))
        and (value["stayed"] is None or _is_number(value["stayed"]))
        and all(isinstance(value[name], bool) for name in ("quarantined", "doubted"))
    )


def _is_alias(value: dict[str, Any]) -> bool:
    return (
        value.keys() == Alias.__dataclass_fields__.keys()
        and isinstance(value["entry"], str)
        and isinstance(value["signals"], list)
        and all(map(_is_number, [*value["signals"], value["risk"], value["similarity"]]))
    )


def _is_number(value: Any) -> bool:
    """Whether it can be added up: JSON knows no infinity, but Python's reads one, and integers of any length."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _TOO_LARGE
