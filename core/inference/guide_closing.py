"""The shortest way from where a guided text stands to its end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from llguidance import LLMatcher

__all__ = ["Closing", "allowed_bits"]

_WIDTHS = (1, 6, 32)
"""Ways that are followed at once: few at first, more where that does not come to an end."""
_EFFORT = 4000
"""Places that are looked at before a search gives up."""
_JOINED = 8
"""Tokens of a former ending that may be left out at its beginning."""

# What a token is good for on the way to the end.
_END, _QUOTE_END, _QUOTE, _QUOTE_JOIN, _JOIN, _VALUE, _FILL, _CHARACTER, _OPEN = range(9)
_TRIED = (3, 3, 2, 2, 3, 4, 3, 6, 2)
"""How many of each kind are tried at one place."""
# What each kind costs beside the others, within a string (where a bracket closes nothing), where a value begins, and
# at any other place; None where it is not tried.
_IN_TEXT = (None, 0, 0, 1, None, 3, 2, 3, None)
_AT_VALUE = (0, 2, 2, 3, 1, 1, 3, 3, 3)
_ELSEWHERE = (0, 0, 0, 2, 1, 2, 3, 3, 3)
_FORCED = 2
_STRUCTURE = re.compile(rb'["\[\]{},: ]{1,4}')
_VALUES = re.compile(rb"\d|null|true|false|-")
_RUN = re.compile(rb"[A-Za-z]{2,16}|0{2,16}|\d{2,16}")


def allowed_bits(matcher: LLMatcher, size: int) -> NDArray[np.uint8]:
    """One bit for each token of the vocabulary, the lowest bit of a byte first: whether it may come next."""
    bits = np.zeros((size + 31) // 32, np.uint32)
    matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
    return bits.view(np.uint8)


def _kind(piece: bytes) -> int | None:
    """What a token is good for; None for most of the vocabulary, which a way to the end can do without."""
    if _STRUCTURE.fullmatch(piece):
        opened = piece.count(b"[") + piece.count(b"{")
        if opened > piece.count(b"]") + piece.count(b"}"):
            return _OPEN
        if piece[:1] == b'"':
            return _QUOTE_END if piece[-1:] in b"]}" else _QUOTE if not piece.strip(b'"') else _QUOTE_JOIN
        return _JOIN if set(piece) & set(b",: ") else _END
    if _VALUES.fullmatch(piece):
        return _VALUE
    if len(piece) == 1:
        return _CHARACTER
    return _FILL if _RUN.fullmatch(piece) else None


@dataclass(frozen=True)
class _Way:
    matcher: LLMatcher
    cost: int = 0
    tokens: tuple[int, ...] = ()
    text: bytes = b""
    forced: tuple[int, ...] = field(default=())
    """Tokens that are known to come next."""


class Closing:
    """Finds endings for one vocabulary; safe from any thread.

    A beam search over the matcher itself, which alone knows what may come: token by token, a few ways at once, those
    first that close what is open. It looks at some hundred tokens only, among them every single byte that has one.

    Args:
        pieces: The bytes of each token; nothing for control tokens.
        end: A token that ends a generation.
    """

    def __init__(self, pieces: Sequence[bytes], end: int) -> None:
        self._pieces, self._end = pieces, end
        by_kind: list[list[int]] = [[] for _ in _TRIED]
        for token, piece in enumerate(pieces):
            kind = _kind(piece)
            if kind is not None:
                by_kind[kind].append(token)
        for kind, tokens in enumerate(by_kind):
            # Long ones first where length is what counts; letters before what stands at the vocabulary's edges.
            longest = kind in {_END, _QUOTE_END, _FILL}
            tokens.sort(key=lambda token: (-len(pieces[token]) if longest else 0, not pieces[token].isalnum(), token))
        by_kind[_FILL] = self._varied(by_kind[_FILL])
        ordered = np.array([token for tokens in by_kind for token in tokens], np.int64)
        self._tokens, self._byte, self._bit = ordered, ordered >> 3, (ordered & 7).astype(np.uint8)
        self._edges = np.cumsum([len(tokens) for tokens in by_kind])
        self._marks = [self._place(mark) for mark in (b'"', b",", b"]", b"}")]

    def _place(self, piece: bytes) -> int:
        """Where the token of this piece stands among those that are looked at; -1 where there is none."""
        return next((at for at, token in enumerate(self._tokens.tolist()) if self._pieces[token] == piece), -1)

    def _varied(self, tokens: list[int]) -> list[int]:
        """A few of each length and sort of character."""
        taken: dict[tuple[int, bool, bool], int] = {}
        kept = []
        for token in tokens:
            piece = self._pieces[token]
            sort = (len(piece), piece.isdigit(), piece.islower())
            taken[sort] = taken.get(sort, 0) + 1
            if taken[sort] <= 2:
                kept.append(token)
        return kept

    def leads(self, matcher: LLMatcher, tokens: Sequence[int]) -> bool:
        """Whether the text is whole after exactly these tokens."""
        whole = [*tokens, self._end]
        return bool(matcher.validate_tokens(whole) == len(whole))

    def find(
        self,
        matcher: LLMatcher,
        limit: int,
        *,
        known: Sequence[int] = (),
        words: Sequence[Sequence[int]] = (),
        effort: int = _EFFORT,
    ) -> list[int] | None:
        """Tokens after which the text is whole, at most `limit`; None where none were found. The matcher stays.

        Args:
            matcher: Where the text stands.
            limit: Most tokens.
            known: A former ending: its own end most often fits again.
            words: What may be worth saying in a string: a pattern can ask for what no search would come upon.
            effort: Places to look at before giving up, with each of three widths: some 50 microseconds for each.
        """
        # One way alone is rarely the shortest, but no others that only look good can crowd it out. Little effort first:
        # where one width goes astray, another most often ends soon.
        for share in (64, 512, effort):
            for width in _WIDTHS:
                found = self._search(matcher, limit, (known, words), width, min(share, effort))
                if found is not None:
                    return found
            if share >= effort:
                break
        return None

    def shortest(self, matcher: LLMatcher, limit: int, *, words: Sequence[Sequence[int]] = ()) -> list[int] | None:
        """The shortest that `find` comes upon with any of its widths."""
        best: list[int] | None = None
        for width in _WIDTHS:
            found = self._search(matcher, limit if best is None else len(best) - 1, ((), words), width, _EFFORT)
            best = best if found is None else found
        return best

    def _search(
        self,
        matcher: LLMatcher,
        limit: int,
        hints: tuple[Sequence[int], Sequence[Sequence[int]]],
        width: int,
        effort: int,
    ) -> list[int] | None:
        known, words = hints
        ways, seen = [_Way(matcher)], {b""}
        for length in range(limit + 1):
            for way in ways:
                if way.matcher.is_accepting():
                    return list(way.tokens)
                if not way.forced:
                    first = max(0, length + len(known) - limit)
                    for start in range(first, min(first + _JOINED, len(known))):
                        if self.leads(way.matcher, known[start:]):
                            return [*way.tokens, *known[start:]]
            effort -= sum(not way.forced for way in ways)
            if effort < 0:
                return None
            steps = [(cost, way, token, rest) for way in ways for cost, token, rest in self._steps(way, words)]
            steps.sort(key=lambda step: step[0])
            ways = []
            for cost, way, token, rest in steps:
                # A control token has no text: what follows it is not what follows the same text without it.
                text = way.text + (self._pieces[token] or b"\xff%d\xff" % token)
                if text in seen:
                    continue
                seen.add(text)
                reached = way.matcher.deep_copy()
                if reached.consume_token(token):
                    ways.append(_Way(reached, cost, (*way.tokens, token), text, rest))
                if len(ways) == width:
                    break
            if not ways:
                return None
        return None

    def _steps(self, way: _Way, words: Sequence[Sequence[int]]) -> list[tuple[int, int, tuple[int, ...]]]:
        """Ways to go on: the cost until then, the token, and those that are known to follow."""
        forced = way.forced or tuple(way.matcher.compute_ff_tokens())
        if forced:
            return [(way.cost + _FORCED, forced[0], forced[1:])]
        allowed = allowed_bits(way.matcher, len(self._pieces))
        may = (allowed[self._byte] >> self._bit) & 1
        quote, comma, bracket, brace = (at >= 0 and bool(may[at]) for at in self._marks)
        # Outside of strings no place allows both.
        text = (quote and comma) or (bracket and brace)
        costs = _IN_TEXT if text else _AT_VALUE if way.text[-1:] in {b":", b" ", b"[", b","} else _ELSEWHERE
        steps = []
        if not quote:
            said = (word for word in words if way.matcher.validate_tokens([*word]) == len(word))
            steps = [(way.cost + _FORCED, word[0], tuple(word[1:])) for word in said]
        found = np.flatnonzero(may)
        start = 0
        for end, cost, tried in zip(np.searchsorted(found, self._edges), costs, _TRIED, strict=True):
            if cost is not None:
                tokens = self._tokens[found[start : min(end, start + tried)]]
                steps += [(way.cost + cost, int(token), ()) for token in tokens]
            start = end
        if not steps:
            others = np.flatnonzero(np.unpackbits(allowed, count=len(self._pieces), bitorder="little"))
            steps = [(way.cost + _FORCED, int(token), ()) for token in others[: _TRIED[_CHARACTER]]]
        return steps
