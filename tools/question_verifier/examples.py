"""What is trained on: the labelled pairs, and about as many made from them by known changes."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from .differences import DIFFERENCES
from .lexicon import Lexicon, like
from .pairs import Pair
from .paraphrases import PARAPHRASES
from .templates import Templates

__all__ = ["Examples"]

_WEIGHTS = {
    "antonym": 4,
    "negation": 1.5,
    "number": 2,
    "number word": 0.7,
    "year": 1.5,
    "date": 0.7,
    "letter": 0.4,
    "name": 3,
    "unit": 1.2,
    "direction": 3,
    "comparative": 1.5,
    "question word": 1.5,
    "modifier": 2.5,
    "word of a group": 2,
    "thing": 2.5,
}
"""How often each kind of difference is tried; rare forms of questions make some fail."""


class Examples:
    """Makes pairs whose label is known from how they were made.

    Args:
        pairs: The labelled pairs that may be trained on.
        lexicon: The words that may be put into texts.
        made: How many made pairs there are for each labelled one.
    """

    def __init__(self, pairs: Sequence[Pair], lexicon: Lexicon, made: float) -> None:
        self._lexicon, self._made = lexicon, made
        self._same = [pair for pair in pairs if pair.same > 0.5]
        self._texts = sorted({text for pair in pairs for text in (pair.a, pair.b)})
        self._templates = Templates(lexicon)

    def paraphrase(self, text: str, rng: random.Random) -> str:
        """The text after one to three changes of form."""
        for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
            for _ in range(4):
                changed = PARAPHRASES[rng.choice(list(PARAPHRASES))](text, self._lexicon, rng)
                if changed and changed != text:
                    text = changed
                    break
        return text

    def different(self, rng: random.Random) -> Pair | None:
        """A pair that differs in one known way, the sides otherwise equal, paraphrased, or labelled as the same."""
        kind = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        for _ in range(60):
            if rng.random() < 0.35:
                pair = rng.choice(self._same)
                pair = pair if rng.random() < 0.5 else pair.swapped()
            else:
                text = rng.choice(self._texts)
                pair = Pair(text, text, 1)
            changed = DIFFERENCES[kind](pair.b, self._lexicon, rng)
            if changed and changed.strip().lower() not in (pair.a.strip().lower(), pair.b.strip().lower()):
                a = self.paraphrase(pair.a, rng) if rng.random() < 0.45 else pair.a
                b = self.paraphrase(changed, rng) if rng.random() < 0.25 else changed
                return Pair(a, b, 0.0)
        return None

    def same(self, rng: random.Random) -> Pair:
        """A pair that differs in form only."""
        text = rng.choice(self._texts)
        b = text if rng.random() < 0.04 else self.paraphrase(text, rng)
        return Pair(self.paraphrase(text, rng) if rng.random() < 0.3 else text, b, 1.0)

    def renamed(self, pair: Pair, rng: random.Random) -> Pair:
        """The pair with up to three of the words that both sides share replaced by others, the same on both sides."""
        words = {word for word in re.findall(r"[A-Za-z]{4,}", pair.a) if re.search(rf"\b{word}\b", pair.b)}
        for word in rng.sample(sorted(words), len(words))[: rng.randint(1, 3)]:
            group = next((found for table in self._lexicon.groups.values() if (found := table.get(word))), None)
            other = rng.choice(group) if group and rng.random() < 0.8 else self._lexicon.another_thing(word, rng)
            if other:
                other = like(word, other) if word[0].islower() else other
                pair = replace(pair, a=re.sub(rf"\b{word}\b", other, pair.a), b=re.sub(rf"\b{word}\b", other, pair.b))
        return pair

    def mixed(self, pairs: Sequence[Pair], rng: random.Random) -> list[Pair]:
        """These labelled pairs, some of them renamed or paraphrased, and made ones."""
        out = []
        for pair in pairs:
            changed = self.renamed(pair, rng) if rng.random() < 0.15 else pair
            if rng.random() < 0.15:
                changed = replace(changed, b=self.paraphrase(changed.b, rng))
            out.append(changed)
        while len(out) < len(pairs) * (1 + self._made):
            way = rng.random()
            if way < 0.5:
                out += filter(None, [self.different(rng)])
            else:
                out.append(self.same(rng) if way < 0.83 else self._templates.pair(rng))
        return out
