"""Questions about less or more than before: a restriction put in, or dropped."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from .change import put
from .lexicon import Lexicon

__all__ = ["limited"]

_DATA = json.loads(Path(__file__).with_name("limits.json").read_text(encoding="utf-8"))
_END = re.compile(
    r" (?:in|for|from|at|on|with|without|during|after|before|under|using|by|as|while|if) (?:[\w'-]+ ?){1,4}$"
)


def _ended(text: str, lexicon: Lexicon, rng: random.Random) -> str | None:
    """A restriction put at the end."""
    body = text.rstrip("?. ")
    limit = rng.choice(_DATA["limits"]).format(
        place=rng.choice(lexicon.places), product=rng.choice(lexicon.products), thing=lexicon.a_thing(rng)
    )
    return None if body.endswith(limit) else f"{body} {limit}?"


def _shortened(text: str, _lexicon: Lexicon, _rng: random.Random) -> str | None:
    """What stands at the end behind a preposition, dropped."""
    body = text.rstrip("?. ")
    found = _END.search(body)
    return body[: found.start()] + "?" if found and found.start() > 18 else None


def _other_make(text: str, _lexicon: Lexicon, rng: random.Random) -> str | None:
    """Another make of the same thing: MacBook Pro for MacBook."""
    names = [found for found in re.finditer(r"(?<=[a-z] )[A-Z][a-zA-Z]+\b(?! [A-Z0-9])(?!')", text) if found[0] != "I"]
    if not names:
        return None
    found = rng.choice(names)
    return put(text, found, f"{found[0]} {rng.choice(_DATA['variants'])}")


def _described(text: str, lexicon: Lexicon, rng: random.Random) -> str | None:
    """An adjective put before a noun."""
    nouns = [found for found in re.finditer(r"\b[a-z]{4,}\b", text) if lexicon.is_thing(found[0])]
    if not nouns:
        return None
    found = rng.choice(nouns)
    return put(text, found, f"{rng.choice(_DATA['adjectives'])} {found[0]}")


def _undescribed(text: str, lexicon: Lexicon, rng: random.Random) -> str | None:
    """An adjective dropped."""
    words = re.finditer(r"\b([A-Za-z]{4,}) (?=[a-z]{3,})", text)
    usable = [found for found in words if lexicon.is_adjective(found[1].lower())]
    return put(text, rng.choice(usable), "") if usable else None


def limited(text: str, lexicon: Lexicon, rng: random.Random) -> str | None:
    """Restrict the question, or drop what restricts it."""
    ways = (_ended, _shortened, _other_make, _described, _undescribed)
    return rng.choices(ways, (30, 20, 12, 23, 15))[0](text, lexicon, rng)
