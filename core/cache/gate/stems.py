"""Stems: one form for the inflections of an English word."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from freehold.cache.gate.word_sets import read_lines, word_set

__all__ = ["stem"]

# They end like an inflected form, and are none.
_WHOLE = word_set(
    "always bias christmas james lens mathematics morning news nothing something anything everything evening physics "
    "politics series species ielts wedding hundred sacred during ceiling sibling economics ethics statistics genetics "
    "electronics athletics texas thomas dallas arkansas kansas mars moses united"
)
_VOWEL = re.compile("[aeiouy]")
_SYLLABLES = re.compile("[aeiouy]+")
_SHORT = re.compile(r"(?:[^aeiou]*|[^aeiou]?u)[aeiouy][bdgklmnprstz]")
_LOST_E = word_set("rg dg lg bl tl dl gl cl pl fl")
_ISE = ("ise", "ised", "ising", "ises", "yse", "ysed", "ysing", "yses")


@cache
def _irregular() -> dict[str, str]:
    entries = (line.split(": ") for line in read_lines("inflections.txt"))
    return {form: base for base, forms in entries for form in forms.split()}


def _repaired(root: str) -> str:
    """The base form of what stays when "ed" or "ing" goes: "runn" is "run", "car" is "care", "visit" itself."""
    if root[-1] == root[-2] and root[-1] not in "aeiouyslz":
        return root[:-1]
    if len(_SYLLABLES.findall(root)) > 1:
        return root
    if root[-1] in "vcuz" or root[-2:] in _LOST_E:
        return root + "e"
    if (root[-1] == "s" and root[-2] != "s") or (root[-1] == "g" and root[-2] != "n"):
        return root + "e"
    return root + "e" if _SHORT.fullmatch(root) else root


@lru_cache(maxsize=32768)
def stem(word: str) -> str:
    """Take the inflection off a word in lower case: plural, third person, past and participles.

    Derivations stay ("teacher", "quickly"): they mean something else. The stem need not be a word.

    Example:
        >>> [stem(word) for word in ["enabling", "enabled", "enables", "enable"]]
        ['enabl', 'enabl', 'enabl', 'enabl']
        >>> [stem(word) for word in ["studies", "studying", "caring", "care", "running", "women", "bought"]]
        ['study', 'study', 'care', 'care', 'run', 'woman', 'buy']
    """
    irregular = _irregular()
    if word in irregular:
        return stem(irregular[word])
    if len(word) <= 3 or word in _WHOLE or not word.isascii():
        return word
    british = word.endswith(_ISE)
    if word.endswith("ies"):
        word = word[:-3] + "y" if len(word) > 4 else word[:-1]
    elif word.endswith(("sses", "xes", "ches", "shes", "zzes", "oes")):
        word = word[:-2]
    elif word[-1] == "s" and word[-2] not in "sui'":
        word = word[:-1]
    if word.endswith("ied") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("ed") and not word.endswith("eed") and len(word) > 4 and _VOWEL.search(word[:-2]):
        word = _repaired(word[:-2])
    elif word.endswith("ing") and len(word) > 5 and _VOWEL.search(word[:-3]):
        word = _repaired(word[:-3])
    if word in irregular:
        return stem(irregular[word])
    return _spelled(word, british)


def _spelled(word: str, british: bool) -> str:
    """The ending in its one spelling: "organis" and "organize" are "organiz", "movie" is "movy" as "movies" is."""
    if word.endswith("ie"):
        return word[:-2] + "y" if len(word) > 4 else word
    if len(_SYLLABLES.findall(word, 0, len(word) - (word[-1] == "e"))) > 1:
        if (word[-1] == "e" and word[-2] not in "aeio") or word.endswith("ll"):
            word = word[:-1]
        if word.endswith("our") and len(word) > 4:
            word = word[:-3] + "or"
        elif british and len(word) > 5:
            word = word[:-1] + "z"
    return word
