"""What an answer depends on: the question, and the situation it is asked in."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Situation", "digest", "normalise"]

# Part of every key: a change in how keys are made must raise it, so that no old entry is read under a new meaning.
_KEY_VERSION = "v3"

# NFKC makes plain digits of these. Behind or before a digit that would change the number ("10²" would become "102").
_RAISED = "\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u207a\u207b"
_OTHER_DIGITS = "\u2080-\u2089\u00bc-\u00be\u2150-\u215e\u2460-\u249b\u24ea\u3251-\u325f\u32b1-\u32bf"
_POWER = re.compile(rf"(?<=[\w)])(?<![{_RAISED}])(?=[{_RAISED}])")
_JOINT = re.compile(rf"(?<=\d)(?=[{_OTHER_DIGITS}])|(?<=[{_RAISED}{_OTHER_DIGITS}])(?=\d)")
# "$?" and "5!" mean something else than "$" and "5"; "C++?" and "C#?" do not.
_CLOSING = re.compile(r"(?:(?<![$.?!,;:\s\d])[.?!,;:\s]+|(?<=\d)[.?,;:\s]+|(?<=!)[.?,;:\s]+)\Z")

_MOST_PASSES = 8


def digest(value: Any) -> str:
    """Digest a plain JSON value; the order of a dictionary's keys does not matter.

    Returns:
        The sha256 of its canonical JSON, as 64 hexadecimal characters.

    Example:
        >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
        True
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _simplify(text: str) -> str:
    text = _JOINT.sub(" ", _POWER.sub("^", text))
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _CLOSING.sub("", text) or text


def normalise(question: str) -> str:
    """Write a question in the one form that all its exact repeats share.

    Unicode compatibility form (NFKC, UAX #15), case folded, white space collapsed, closing punctuation trimmed. What
    can change the meaning stays: inner punctuation, digits, powers, symbols, every word. Normalising twice changes
    nothing more.

    Example:
        >>> normalise("  What is   Freehold ?!")
        'what is freehold'
        >>> normalise("What is 10²?") == normalise("What is 102?")
        False
    """
    # Folding makes room for new compositions and the other way round: repeated until nothing changes, once as a rule.
    for _ in range(_MOST_PASSES):
        simple = _simplify(question)
        if simple == question:
            break
        question = simple
    return question


@dataclass(frozen=True)
class Situation:
    """Everything besides the question that an answer depends on: two situations share answers where all fields agree.

    Example:
        >>> situation = Situation(model="9f2c", prompt="41aa", documents="7e01", user_id="ada")
        >>> situation.key("What is Freehold?") == situation.key("what is freehold")
        True
    """

    model: str
    """Digest of the model's file, or its id."""
    prompt: str = ""
    """Digest of the system prompt and of whatever else shapes the prompt."""
    tools: str = ""
    """Digest of the tools that the model may call; empty where there are none."""
    route: str = ""
    """The route, where one was taken before the cache is asked."""
    documents: str = ""
    """Which documents there are: the name of their collection, or their version where an answer shall die with any
    change of any of them. Those that an answer cites are watched by themselves (`CachedAnswer.sources`)."""
    tenant: str = "default"
    user_id: str = "default"
    """Whose answers; empty for those that all users of the tenant share."""
    guardrails: str = ""
    """Digest of the guardrails' configuration."""
    thread: str = ""
    """Digest of the earlier turns, where the question leans on them; empty where it stands alone."""
    sampling: str = ""
    """Digest of the sampling settings."""

    @property
    def owner(self) -> str:
        """Digest of tenant and user, with which each of their keys begins, so that all of theirs can be found."""
        return digest([_KEY_VERSION, self.tenant, self.user_id])[:32]

    @property
    def scope(self) -> str:
        """Digest of the situation without the question: the semantic tier looks at entries of the same scope only."""
        return digest([_KEY_VERSION, asdict(self)])

    def key(self, question: str) -> str:
        """The exact key of a question in this situation: the owner, a full stop, 64 hexadecimal characters."""
        return f"{self.owner}.{digest([_KEY_VERSION, asdict(self), normalise(question)])}"
