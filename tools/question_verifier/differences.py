"""Changes after which a question asks something else, by kind."""

from __future__ import annotations

import random
import re

from .change import Change, put
from .directions import turned_round
from .lexicon import Lexicon, like
from .limits import limited
from .negations import negated

__all__ = ["DIFFERENCES"]

_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
_NAME_AFTER = re.compile(r"\b([a-z]+) ([A-Z]\w+)\b(?! [A-Z])")


def _opposite(text: str, lexicon: Lexicon, rng: random.Random) -> str | None:
    found = [word for word in _WORD.finditer(text) if word[0].lower() in lexicon.opposites]
    if not found:
        return None
    word = rng.choice(found)
    return put(text, word, like(word[0], rng.choice(lexicon.opposites[word[0].lower()])))


def _number(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    numbers = list(re.finditer(r"\d+", text))
    if not numbers:
        return None
    found = rng.choice(numbers)
    digits = found[0][:9]
    value, place = int(digits), rng.randrange(len(digits))
    one_digit = int(digits[:place] + str(rng.randint(1, 9)) + digits[place + 1 :])
    near = [value + 1, value - 1, value + rng.randint(2, 12)]
    far = [value * 2, value * 10, value // 2, rng.randint(2, 99)]
    other = abs(rng.choice([*near, *far, one_digit, one_digit, one_digit]))
    return put(text, found, str(other)) if other != value else None


def _year(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    years = list(re.finditer(r"(?: in| of| for)? ?\b((?:19|20)\d\d)\b", text))
    if not years:
        return None
    found = rng.choice(years)
    if rng.random() < 0.15:  # the same thing, without the year
        return put(text, found, "")
    other = int(found[1]) + rng.choice([-10, -5, -4, -3, -2, -1, -1, 1, 1, 2, 3, 4, 5, 10])
    return put(text, found, found[0].replace(found[1], str(other)))


def _letter(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    letters = list(re.finditer(r"(?<=[a-z] )(?!I\b|A\b)[A-Z]\b(?!['.])", text))
    if not letters:
        return None
    found = rng.choice(letters)
    return put(text, found, rng.choice([letter for letter in "BCDEFGHKLPRSTXYZ" if letter != found[0]]))


def _exchange(kind: str) -> Change:
    """Another member of a group of words of this kind."""

    def change(text: str, lexicon: Lexicon, rng: random.Random) -> str | None:
        usable = []
        for found in re.finditer(r"[A-Z]\w+ [A-Z]\w+|[A-Z]\w+" if kind == "name" else r"[A-Za-z0-9]+", text):
            known = found[0] if kind == "name" else found[0].lower()
            if len(known) < 3 and not re.search(r"\d ?$", text[: found.start()]):
                continue  # units of one or two letters stand behind a number
            others = lexicon.groups[kind].get(known, [])
            usable += [(found, other) for other in others if other != known and other.lower() not in text.lower()]
        if not usable:
            return None
        found, other = rng.choice(usable)
        return put(text, found, other if kind == "name" else like(found[0], other))

    return change


def _name(text: str, lexicon: Lexicon, rng: random.Random) -> str | None:
    known = _exchange("name")(text, lexicon, rng)
    if known is not None and rng.random() < 0.7:
        return known
    usable = [found for found in _NAME_AFTER.finditer(text) if found[2] != "I" and found[1] in lexicon.names]
    if not usable:
        return known
    found = rng.choice(usable)
    other = rng.choice(lexicon.names[found[1]])
    return None if other.lower() in text.lower() else put(text, found, f"{found[1]} {other}")


_ASKED = (
    (r"^how (?:to|do i) ", "when do I|where do I|why do I|should I|who should|how long does it take to"),
    (r"^how can i ", "why can I|when can I|where can I|how often can I|why should I|how much does it cost to"),
    (r"^(?:how|when|where|why) (?=do|does|did|can|should|will|would|is|are|was|were|could)", "how|when|where|why"),
    (r"^how (?:much|many|long|often|far|old|fast|big) ", "how much|how long|how often|how far|how old|how many|why"),
    (r"^what is the best way to ", "what is the best time to|what is the best place to|what does it cost to"),
    (r"^(?:what|which) is the best ", "what is the worst|who is the best|where is the best|what is the price of the"),
    (r"^what (?=is|are|was|were)", "who|where|why|how|when"),
    (r"^who (?=is|are|was|were)", "what|where|why|how old"),
    (r"^who (?=[a-z]+s\b)", "what|why"),
    (r"^(?:is|are|can|should) ", "why is|how is|where is"),
)


def _question_word(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    usable = [(found, words) for pattern, words in _ASKED if (found := re.match(pattern, text, re.IGNORECASE))]
    if not usable:
        return None
    found, words = rng.choice(usable)
    other = rng.choice([word for word in words.split("|") if word.lower() != found[0].strip().lower()])
    return put(text, found, like(text[0], other) + " ")


def _thing(text: str, lexicon: Lexicon, rng: random.Random) -> str | None:
    things = [found for found in _WORD.finditer(text) if lexicon.is_thing(found[0])]
    if not things:
        return None
    found = rng.choice(things)
    other = lexicon.another_thing(found[0], rng)
    return put(text, found, other) if other else None


DIFFERENCES: dict[str, Change] = {
    "antonym": _opposite,
    "negation": negated,
    "number": _number,
    "number word": _exchange("number"),
    "year": _year,
    "date": _exchange("date"),
    "letter": _letter,
    "name": _name,
    "unit": _exchange("unit"),
    "direction": turned_round,
    "comparative": _exchange("comparative"),
    "question word": _question_word,
    "modifier": limited,
    "word of a group": _exchange("word"),
    "thing": _thing,
}
