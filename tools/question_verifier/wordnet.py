"""What is taken from WordNet: opposites, and nouns of like kind.

The folder is that of Debian's package wordnet-base, `usr/share/wordnet` in it.
Source: Miller, WordNet: A Lexical Database for English, 1995; file formats in wndb(5WN).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["WordNet", "read_wordnet"]

_PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
"""The ends of the files' names, and the letters by which pointers call them."""


@dataclass(frozen=True)
class WordNet:
    """Words without spaces, in lower case."""

    opposites: dict[str, frozenset[str]]
    """Words to their antonyms."""
    kinds: dict[str, str]
    """Nouns to the number of the lexicographer file of their most frequent sense: 05 animals, 06 artefacts, ..."""
    senses: dict[str, frozenset[str]]
    """Words to their synsets: two words that share one may mean the same."""
    adjectives: frozenset[str]
    """Words that are adjectives and neither nouns nor verbs."""


def _entries(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            yield line.split(" | ")[0].split()


def read_wordnet(folder: Path) -> WordNet:
    """Read the folder."""
    words: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    pointers: list[tuple[str, str, str]] = []
    senses: defaultdict[str, set[str]] = defaultdict(set)
    for part, letter in _PARTS.items():
        for fields in _entries(folder / f"data.{part}"):
            name, count = letter + fields[0], int(fields[3], 16)
            words[name] = [word.split("(")[0].lower() for word in fields[4 : 4 + 2 * count : 2]]
            files[name] = fields[1]
            for word in words[name]:
                senses[word].add(name)
            rest = fields[5 + 2 * count :]
            pointers += [
                (name, rest[place + 2].replace("s", "a") + rest[place + 1], rest[place + 3])
                for place in range(0, 4 * int(fields[4 + 2 * count]), 4)
                if rest[place] == "!"
            ]
    opposites: defaultdict[str, set[str]] = defaultdict(set)
    for name, other, places in pointers:
        place, other_place = bytes.fromhex(places)
        first, second = words[name][place - 1], words[other][other_place - 1]
        if first.isalpha() and second.isalpha():
            opposites[first].add(second)
            opposites[second].add(first)
    kinds = {}
    for fields in _entries(folder / "index.noun"):
        if fields[0].isalpha():
            kinds[fields[0]] = files["n" + fields[-int(fields[2])]]
    adjectives = {fields[0] for fields in _entries(folder / "index.adj")}
    for part in ("noun", "verb", "adv"):
        adjectives -= {fields[0] for fields in _entries(folder / f"index.{part}")}
    return WordNet(
        {word: frozenset(found) for word, found in opposites.items()},
        kinds,
        {word: frozenset(found) for word, found in senses.items()},
        frozenset(word for word in adjectives if word.isalpha()),
    )
