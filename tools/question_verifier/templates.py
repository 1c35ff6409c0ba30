"""Questions about anything at all: forms that ask the same, filled with words from far beyond the training pairs."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

from .lexicon import Lexicon
from .pairs import Pair

__all__ = ["Templates"]


@dataclass(frozen=True)
class _Template:
    say: list[str]
    """Forms that ask the same."""
    differ: list[str]
    """Forms that ask something else with the same words."""
    ordered: bool
    """Whether exchanging the two things asks something else; where it is symmetric, it asks the same."""
    symmetric: bool


_DATA = json.loads(Path(__file__).with_name("templates.json").read_text(encoding="utf-8"))
_OPPOSED = (("x", "y"), ("product", "rival"), ("place", "other"), ("people", "others"))


class Templates:
    """Makes pairs from the forms.

    Args:
        lexicon: Fills the slots.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._templates = [
            _Template(form["say"], form.get("differ", []), form.get("ordered", False), form.get("symmetric", False))
            for form in _DATA["templates"]
        ]
        self._words: dict[str, list[str]] = {
            **_DATA["slots"],
            "day": [day.capitalize() for day in lexicon.groups["date"]["monday"]],
            **dict.fromkeys(("place", "other"), lexicon.places),
            **dict.fromkeys(("product", "rival"), lexicon.products),
            **dict.fromkeys(("people", "others"), lexicon.peoples),
        }

    def _fill(self, slot: str, rng: random.Random) -> str:
        if slot in {"x", "y"}:
            thing = self._lexicon.a_thing(rng)
            return f"{self._lexicon.a_thing(rng)} {thing}" if rng.random() < 0.25 else thing
        if slot in {"number", "version"}:
            ways = [rng.randint(2, 20), rng.randint(10, 500), rng.randint(1, 9) / 10 + rng.randint(1, 12)]
            return str(rng.choice(ways))
        return str(rng.randint(1950, 2026)) if slot == "year" else rng.choice(self._words[slot])

    def pair(self, rng: random.Random) -> Pair:
        """A pair that asks the same, or asks something else in as few words as possible."""
        template = rng.choice(self._templates)
        a, b = rng.choice(template.say), rng.choice(template.say)
        slots = sorted(set(re.findall(r"{(\w+)}", template.say[0])))
        values = {slot: self._fill(slot, rng) for slot in slots}
        changed, same, way = dict(values), 0.0, rng.random()
        swap = next(((one, two) for one, two in _OPPOSED if one in values and two in values), None)
        if template.symmetric and way < 0.5 and swap:
            changed[swap[0]], changed[swap[1]] = values[swap[1]], values[swap[0]]
            same = 1.0
        elif template.ordered and way < 0.4 and swap:
            changed[swap[0]], changed[swap[1]] = values[swap[1]], values[swap[0]]
            same = float(changed == values)
        elif way < 0.65:
            slot = rng.choice(slots)
            changed[slot] = self._fill(slot, rng)
            same = float(changed == values)
        elif way < 0.72 and template.differ:
            b = rng.choice(template.differ)
        else:
            same = 1.0
        return Pair(a.format(**values), b.format(**changed), same)
