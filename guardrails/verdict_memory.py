"""Verdicts on texts that were checked before."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import replace

from freehold.guardrails.verdict import Verdict

__all__ = ["VerdictMemory"]


class VerdictMemory:
    """The newest verdicts, by a digest of what was checked: the texts themselves are not kept.

    A question that is asked again, and the answer that the cache holds, are checked once. What the rails masked or
    wrote in another form is checked each time, because its verdict holds a text of its own. Only for rails whose
    verdict depends on nothing but the text.

    Args:
        size: Most verdicts.

    Example:
        >>> memory = VerdictMemory()
        >>> memory.put("Hello", "input", Verdict("none", "Nothing found.", "allow", "Hello"))
        >>> memory.get("Hello", "input").decision, memory.get("Hello", "output")
        ('allow', None)
    """

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, Verdict] = OrderedDict()

    def get(self, text: str, surface: str) -> Verdict | None:
        """The verdict on this text, where it is still known."""
        key = _key(text, surface)
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
        return replace(found, text=text) if found.decision == "allow" else found

    def put(self, text: str, surface: str, verdict: Verdict) -> None:
        """Keep a verdict; not one of a rail that failed, and not one that lets another text pass."""
        passes = text if verdict.decision == "allow" else ""
        if verdict.failed or verdict.text != passes:
            return
        with self._lock:
            self._kept[_key(text, surface)] = replace(verdict, text="")
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)


def _key(text: str, surface: str) -> bytes:
    return hashlib.blake2b(f"{surface}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
