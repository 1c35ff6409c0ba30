"""Other names: "US", "America" and "the United States" are written in one form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from freehold.cache.gate.word_sets import read_lines
from freehold.cache.gate.words import Word

__all__ = ["write_aliases"]


@cache
def _tables() -> tuple[dict[str, str], dict[str, str], dict[str, list[tuple[list[str], str]]]]:
    singles: dict[str, str] = {}
    capitals: dict[str, str] = {}
    phrases: dict[str, list[tuple[list[str], str]]] = {}
    for line in read_lines("aliases.txt"):
        name, *others = line.split()
        if name.endswith("^"):
            name = name[:-1]
            capitals[name] = name
        for other in others:
            first, *rest = other.split("_")
            if rest:
                phrases.setdefault(first, []).append((rest, name))
            elif first.endswith("^"):
                capitals[first[:-1]] = name
            else:
                singles[first] = name
    for choices in phrases.values():
        choices.sort(key=lambda choice: -len(choice[0]))
    return singles, capitals, phrases


def write_aliases(words: Sequence[Word]) -> list[Word]:
    """Write each name that has several forms in its first one; the rest of the words stays.

    Example:
        >>> from freehold.cache.gate.words import read_words
        >>> [word.text for word in write_aliases(read_words("Is the United Kingdom, like us, in NYC?"))]
        ['is', 'the', 'uk', 'like', 'us', 'in', 'nyc']
    """
    singles, capitals, phrases = _tables()
    texts = [word.text for word in words]
    if singles.keys().isdisjoint(texts) and capitals.keys().isdisjoint(texts) and phrases.keys().isdisjoint(texts):
        return list(words)
    written: list[Word] = []
    index, count = 0, len(words)
    while index < count:
        word = words[index]
        text = word.text
        index += 1
        if text in phrases:
            for rest, name in phrases[text]:
                if [following.text for following in words[index : index + len(rest)]] == rest:
                    surface = " ".join([word.surface, *(w.surface for w in words[index : index + len(rest)])])
                    word = word._replace(text=name, surface=surface)
                    index += len(rest)
                    text = ""
                    break
        if text in singles:
            word = word._replace(text=singles[text])
        elif text in capitals and (word.surface.isupper() or (written and written[-1].text == "the" and text == "us")):
            word = word._replace(text=capitals[text])
        written.append(word)
    return written
