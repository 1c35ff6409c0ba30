"""Bytes become text without half characters and without parts of stop strings."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from freehold.inference.text_stream import TextStream

texts = st.text(alphabet="aAbB<|é漢🙂 ", max_size=40)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, as tokens cut it."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(text=texts, places=st.lists(st.integers(0, 200), max_size=12))
def test_nothing_is_lost(text: str, places: list[int]) -> None:
    """However tokens cut it, the text comes out whole, and no piece holds a replacement character."""
    stream = TextStream()
    parts = [stream.push(piece) for piece in cut(text.encode(), places)] + [stream.finish()]
    assert "".join(parts) == text
    assert "\ufffd" not in "".join(parts)


@given(
    text=texts,
    stop=st.lists(st.text(alphabet="aAb<|é", min_size=1, max_size=3), max_size=3),
    places=st.lists(st.integers(0, 200), max_size=12),
)
def test_stop_strings_never_show(text: str, stop: list[str], places: list[int]) -> None:
    """What comes out is the text before the stop string that is complete first, and never more at any moment."""
    found = [(at + len(s), at) for s in stop if (at := text.find(s)) >= 0]
    expected = text[: min(found)[1]] if found else text
    stream, shown = TextStream(stop), ""
    for piece in cut(text.encode(), places):
        shown += stream.push(piece)
        assert expected.startswith(shown)
    assert shown + stream.finish() == expected
    assert stream.stopped == bool(found)


def test_unfinished_character_is_dropped() -> None:
    """An answer that ends within a character ends before it."""
    stream = TextStream()
    assert stream.push("na\u00efve".encode()[:3]) == "na"
    assert stream.finish() == ""


def test_invalid_bytes_are_replaced() -> None:
    """A model that writes bytes that are no UTF-8 does not stop the stream."""
    assert TextStream().push(b"a\xffb") == "a\ufffdb"
