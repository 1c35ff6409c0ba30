"""The words that the changes of a question draw from, some of them kept for measuring."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from .wordnet import WordNet

__all__ = ["Lexicon", "is_trained_on"]

_DATA = json.loads(Path(__file__).with_name("lexicon.json").read_text(encoding="utf-8"))
_GRAMMAR = frozenset(_DATA["grammar"])
"""Words that carry the form of a question rather than what it is about."""
_NOUNS = frozenset(("03", "05", "06", "08", "11", "13", "14", "15", "17", "18", "19", "20", "22", "25", "26", "27"))
"""Lexicographer files of things rather than of thoughts: replacing one always asks something else."""
_COMMON = 12
"""Kinds of things are known best by words that stand at least so often in the texts."""


def is_trained_on(word: str) -> bool:
    """Whether a word may be put into a training text: the sha1 of it in lower case begins with a decimal digit.

    Ten of sixteen words may. The others are for measuring whether the model compares words that it never saw replaced.
    """
    return hashlib.sha1(word.lower().encode()).hexdigest()[0].isdigit()


class Lexicon:
    """Opposites, groups of words that exclude each other, and nouns of like kind.

    Args:
        wordnet: Opposites and kinds of nouns.
        texts: Questions, from which the names are taken and common words counted.
        trained_on: Draw from the words for training, or else from those for measuring.
    """

    def __init__(self, wordnet: WordNet, texts: Iterable[str], *, trained_on: bool = True) -> None:
        self._wordnet, self._trained_on = wordnet, trained_on
        self._texts = list(texts)
        self.groups = {kind: self._table(groups) for kind, groups in _DATA["groups"].items()}
        names = self.groups["name"]
        self.places = sorted({*names["India"], *names["London"], *names["California"]})
        self.products = sorted({*names["PostgreSQL"], *names["Python"], *names["Windows"], *names["WhatsApp"]})
        self.peoples = sorted(names["Indians"])

    def _table(self, groups: list[list[str]]) -> dict[str, list[str]]:
        """Each word of the groups, with those that may take its place."""
        table: defaultdict[str, list[str]] = defaultdict(list)
        for group in groups:
            for word in group:
                table[word] += [other for other in group if other != word and self._may_replace(word, other)]
        return dict(table)

    def _may_replace(self, word: str, other: str) -> bool:
        return self._is_kept(other) and self.may_pair(word, other)

    def _is_kept(self, word: str) -> bool:
        return is_trained_on(word) == self._trained_on

    def may_pair(self, first: str, second: str) -> bool:
        """Whether these two may be exchanged: the alphabetically first one decides."""
        return self._is_kept(min(first.lower(), second.lower()))

    @cached_property
    def opposites(self) -> dict[str, list[str]]:
        """Words to their opposites, with the regular forms of verbs and nouns."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        pairs = {tuple(sorted(pair)) for pair in _DATA["opposites"]}
        pairs |= {tuple(sorted((word, other))) for word, others in self._wordnet.opposites.items() for other in others}
        for first, second in pairs:
            if first in _GRAMMAR or second in _GRAMMAR or not self.may_pair(first, second):
                continue
            for one, other in zip(_forms(first), _forms(second), strict=True):
                if self.may_pair(one, other):
                    found[one].add(other)
                    found[other].add(one)
        return {word: sorted(others) for word, others in found.items()}

    @cached_property
    def counts(self) -> Counter[str]:
        """How many times each word stands in the texts."""
        return Counter(word for text in self._texts for word in re.findall(r"[a-z]+", text.lower()))

    @cached_property
    def _things(self) -> dict[tuple[str, bool], list[str]]:
        things: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
        for word, kind in self._wordnet.kinds.items():
            if kind in _NOUNS and len(word) > 3 and word not in _GRAMMAR and self._is_kept(word):
                things[kind, self.counts[word] >= _COMMON].append(word)
        return things

    def is_thing(self, word: str) -> bool:
        """Whether a word names a thing, as singular or regular plural."""
        return self._kind(word.lower()) is not None

    def is_unit(self, word: str) -> bool:
        """Whether a word is a unit of measurement."""
        return word.lower() in self.groups["unit"]

    def _kind(self, word: str) -> str | None:
        if len(word) < 4 or word in _GRAMMAR:
            return None
        singular = word[:-1] if word.endswith("s") and not word.endswith("ss") else word
        kind = self._wordnet.kinds.get(word, self._wordnet.kinds.get(singular))
        return kind if kind in _NOUNS else None

    def another_thing(self, word: str, rng: random.Random) -> str | None:
        """Another noun of the same kind, common or rare, in the same number and case; None for what is no thing."""
        kind = self._kind(word.lower())
        if kind is None:
            return None
        other = rng.choice(self._things[kind, rng.random() < 0.6] or self._things["06", True])
        if self.may_mean_the_same(word.lower(), other):
            return None
        plural = word.lower().endswith("s") and word.lower() not in self._wordnet.kinds
        return like(word, _plural(other) if plural else other)

    def a_thing(self, rng: random.Random) -> str:
        """Any noun, common or rare."""
        return rng.choice(self._things[rng.choice(["06", "06", "26", "27", "08", "13", "05"]), rng.random() < 0.6])

    def may_mean_the_same(self, first: str, second: str) -> bool:
        """Whether two words share a sense."""
        senses = self._wordnet.senses
        return bool(senses.get(first, frozenset()) & senses.get(second, frozenset())) or first == second

    def is_adjective(self, word: str) -> bool:
        """Whether a word is an adjective and nothing else, and says which ones are meant rather than how good."""
        return word in self._wordnet.adjectives and word not in _GRAMMAR

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """The word before a name, to the names that follow it somewhere in the texts."""
        after: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for text in self._texts:
            for before, name in re.findall(r"\b([a-z]+) ([A-Z]\w+)\b(?! [A-Z])", text):
                if self._is_kept(name) and name.lower() not in _GRAMMAR:
                    after[before][name] += 1
        return {word: sorted(found) for word, found in after.items() if len(found) > 5}


def like(model: str, word: str) -> str:
    """The word in the case of the other: capitals, a capital first, or small."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if model[0].isupper() else word


def _plural(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh", "z")):
        return word + "es"
    return re.sub(r"(?<=[^aeiou])y$", "ie", word) + "s"


def _forms(word: str) -> tuple[str, ...]:
    """A word, with s, ed, ing, er and est: nonsense in part, which no text holds."""
    doubles = re.fullmatch(r"[^aeiou]*[aeiou][bdgnt]", word)  # big, bigger
    stem = word + word[-1] if doubles else word.removesuffix("e")
    graded = word[:-1] + "i" if word.endswith("y") else stem
    return word, _plural(word), stem + "ed", stem + "ing", graded + "er", graded + "est"
