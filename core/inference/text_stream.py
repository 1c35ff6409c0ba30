"""Turns the bytes of tokens into text that is safe to show."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

__all__ = ["TextStream"]


class TextStream:
    """Joins tokens' bytes to text: never half a character, never part of a stop string.

    A token may end in the middle of a UTF-8 character, and a stop string may be spread over several tokens: what could
    still become either is held back until the next token decides.

    Args:
        stop: Strings that end the text; the one that is complete first counts, and is not part of it.

    Example:
        >>> stream = TextStream(["END"])
        >>> stream.push(b"one E"), stream.push(b"ND two"), stream.stopped
        ('one ', '', True)
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(text for text in stop if text)
        self._pending = ""
        self.stopped = False
        """True once a stop string has come."""

    def push(self, piece: bytes) -> str:
        """Take a token's bytes; return the text that is certain now."""
        if self.stopped:
            return ""
        self._pending += self._decoder.decode(piece)
        found = [(at + len(text), at) for text in self._stop if (at := self._pending.find(text)) >= 0]
        if found:
            self.stopped = True
            # The one that is complete first, so that the text does not depend on how tokens cut it.
            ready, self._pending = self._pending[: min(found)[1]], ""
            return ready
        held = max((self._held(text) for text in self._stop), default=0)
        cut = len(self._pending) - held
        ready, self._pending = self._pending[:cut], self._pending[cut:]
        return ready

    def _held(self, stop: str) -> int:
        """How many characters at the end could begin this stop string."""
        for length in range(min(len(stop) - 1, len(self._pending)), 0, -1):
            if self._pending.endswith(stop[:length]):
                return length
        return 0

    def finish(self) -> str:
        """The rest, at the end of generation; an unfinished character is dropped."""
        ready, self._pending = self._pending, ""
        return ready
