"""Changes after which a question still asks the same, by kind."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from .change import Change, exchanged, put
from .lexicon import Lexicon, like

__all__ = ["PARAPHRASES"]

_DATA = json.loads(Path(__file__).with_name("paraphrases.json").read_text(encoding="utf-8"))


def _any_of(words: list[str]) -> str:
    """A pattern for one of these, the longest that fits."""
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


_SYNONYMS: dict[str, list[str]] = {}
for _group in _DATA["synonyms"]:
    for _word in _group:
        _SYNONYMS.setdefault(_word, []).extend(other for other in _group if other != _word)
_SYNONYM = re.compile(rf"\b{_any_of(list(_SYNONYMS))}\b", re.IGNORECASE)
_FORMS = [(re.compile(_any_of(forms) + r"(?= )", re.IGNORECASE), forms) for forms in _DATA["forms"]]
_MUTUAL = (
    r"difference between|differences between|similarities between|relationship between|comparison between|compare|"
    r"better[:,]|best[:,]|prefer[:,]|choose[:,]|distance between|both|either"
)
_SYMMETRIC = (
    re.compile(
        rf"\b(?:{_MUTUAL}) ([\w+#.' -]{{2,40}}?) (?:and|or|vs\.?|versus) ([\w+#.' -]{{2,40}}?)(?=\?|$|,)", re.IGNORECASE
    ),
    re.compile(r"\b([A-Z][\w+#.]*|a \w+|\w+) (?:or|vs\.?|versus|and) ([A-Z][\w+#.]*|a \w+|\w+)(?=\?| in | for |$)"),
)
_MOVABLE = re.compile(r" ((?:in|for|on|at|during|after|before|without|as|if|when) (?:[\w'.-]+ ?){1,5})\?$")
_LITTLE = re.compile(r"\b(?:the|a|an|some of|actually|really|exactly|just|currently|ever|usually|possibly) (?=[a-z])")
_NEAR = {"a": "s", "e": "r", "i": "o", "o": "p", "t": "y", "n": "m", "s": "a", "r": "t", "l": "k", "c": "v"}
"""Letters and the ones beside them on a keyboard."""


def _case(text: str, _lexicon: Lexicon, rng: random.Random) -> str:
    way = rng.random()
    if way < 0.6:
        return text.lower()
    return text.upper() if way < 0.8 else re.sub(r"\b[a-z](?=\w)", lambda found: found[0].upper(), text)


def _punctuation(text: str, _lexicon: Lexicon, rng: random.Random) -> str:
    way, body = rng.random(), text.rstrip("?.! ")
    if way < 0.5:
        return body
    if way < 0.7:
        return body + rng.choice(["??", " ?", ".", "???", "?!", "...", "!"])
    if way < 0.85:
        return re.sub(r"(?<=\w)[,;:](?= )|['\u2019\"]", "", text)
    return text.replace(" ", "  ", 1) if way < 0.9 else re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)


def _courtesy(text: str, _lexicon: Lexicon, rng: random.Random) -> str:
    small = text if re.match(r"I\b|[A-Z]\w*[A-Z]", text) else text[:1].lower() + text[1:]
    way, before, after = rng.random(), rng.choice(_DATA["before"]), rng.choice(_DATA["after"])
    if way < 0.65:
        return f"{before} {small}"
    if way < 0.9:
        return text.rstrip("?. ") + rng.choice([", ", "? ", " ", " - "]) + after + rng.choice(["", "?", ".", "!"])
    return f"{before} {small.rstrip('?. ')}, {after}"


def _contraction(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    usable = []
    for long, short in _DATA["short"]:
        # Longer again, unless it is a sign or a letter, which may be something else.
        sources = (long, short) if (short.isalpha() and len(short) > 2) or "'" in short else (long,)
        for source in sources:
            found = re.search(rf"(?<![\w'\u2019]){re.escape(source)}(?![\w'\u2019])", text, re.IGNORECASE)
            if found:
                usable.append(put(text, found, like(found[0], short if source == long else long)))
    return rng.choice(usable) if usable else None


def _form(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    for pattern, forms in _FORMS:
        found = pattern.match(text)
        if found:
            other = rng.choice(forms)
            return None if other.lower() == found[0].lower() else put(text, found, like("A", other))
    return None


def _typo(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    words = list(re.finditer(r"\b[a-z]{5,}\b", text))
    if not words:
        return None
    found = rng.choice(words)
    word, place = found[0], rng.randrange(1, len(found[0]) - 1)
    before, letter, after, way = word[:place], word[place], word[place + 1 :], rng.random()
    if way < 0.3:
        changed = before + after
    elif way < 0.55:
        changed = before + letter + letter + after
    elif way < 0.85:
        changed = before + after[0] + letter + after[1:]
    else:
        changed = before + _NEAR.get(letter, letter * 2) + after
    return put(text, found, changed) if changed != word else None


def _synonym(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    words = [found for found in _SYNONYM.finditer(text) if found[0].islower() or found[0].istitle()]
    if not words:
        return None
    found = rng.choice(words)
    return put(text, found, like(found[0], rng.choice(_SYNONYMS[found[0].lower()])))


def _order(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    """Exchange what may be exchanged, or move a place or a condition to the front."""
    for pattern in _SYMMETRIC:
        found = pattern.search(text)
        if found:
            return exchanged(text, found.span(1), found.span(2))
    moved = _MOVABLE.search(text)
    if moved is None or moved.start() < 16:
        return None
    rest, end = text[: moved.start()], moved[1].strip()
    return f"{like('A', end)}{rng.choice([', ', ' '])}{rest[0].lower()}{rest[1:]}?"


def _possessive(text: str, _lexicon: Lexicon, _rng: random.Random) -> str | None:
    """The capital of France, and France's capital."""
    found = re.search(r"\bthe ([a-z]+) of ([A-Z]\w+|[a-z]+)(?=[?.,]|$)", text)
    if found:
        return put(text, found, f"{found[2]}'s {found[1]}")
    found = re.search(r"\b([A-Z]\w+|[a-z]+)['\u2019]s ([a-z]+)(?=[?.,]|$)", text)
    return put(text, found, f"the {found[2]} of {found[1]}") if found else None


def _little_words(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    """Articles and words that only soften, dropped or put in."""
    found = list(_LITTLE.finditer(text))
    if found and rng.random() < 0.7:
        return put(text, rng.choice(found), "")
    places = [place.end() for place in re.finditer(r"(?<=....)\b(?:do|is|to|in|of|for) (?=[a-z]{4,})", text)]
    if not places:
        return None
    place = rng.choice(places)
    return text[:place] + rng.choice(["the ", "really ", "actually ", "exactly "]) + text[place:]


PARAPHRASES: dict[str, Change] = {
    "case": _case,
    "punctuation": _punctuation,
    "courtesy": _courtesy,
    "contraction": _contraction,
    "form": _form,
    "typo": _typo,
    "synonym": _synonym,
    "order": _order,
    "possessive": _possessive,
    "little words": _little_words,
}
