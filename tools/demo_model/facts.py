"""What people say about themselves: as a message, as a stored fact, as a question about it, and as the answer."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from .phrases import USER

__all__ = ["ACKNOWLEDGED", "UNKNOWN", "Fact", "clash", "make_fact", "make_facts", "message", "recall_lines", "to_json"]

UNKNOWN = "I do not know that about you."
ACKNOWLEDGED = "Thanks, I will remember that."
_ASKED: dict[str, list[str]] = USER["questions"]


@dataclass(frozen=True)
class Fact:
    """One fact about the user in its four forms."""

    stored: str
    """As memory holds it: "Likes tea"."""
    said: str
    """As the user says it, without a full stop: "I like tea"."""
    questions: tuple[str, ...]
    answer: str
    """As the assistant says it: "You like tea."."""


def _questions(kind: str, **words: str) -> tuple[str, ...]:
    return tuple(form.format(**words) for form in _ASKED[kind])


def _invented(rng: random.Random) -> str:
    """A word nobody has seen, so that the model learns to copy and not to remember."""
    word = "".join(rng.choice(USER["syllables"]) for _ in range(rng.randint(2, 3)))
    return (word + rng.choice(["", "", "n", "s", "r", "l", "x"])).capitalize()


def _one(values: list[str], rng: random.Random, invented: float = 0.25) -> str:
    return _invented(rng) if rng.random() < invented else rng.choice(values)


def _thing(rng: random.Random) -> str:
    """Something to like: tea, green tea, long letters, or a word nobody has seen."""
    if rng.random() < 0.15:
        return f"{rng.choice(USER['adjectives'])} {rng.choice(USER['nouns'])}"
    return rng.choice(USER["long_things"]) if rng.random() < 0.25 else _one(USER["things"], rng, 0.12)


def _third(verb: str) -> str:
    """The third person, as a stored fact begins: "Likes", "Studies", "Has"."""
    if verb == "have":
        return "Has"
    if re.search("[^aeiou]y$", verb):
        return verb[:-1].capitalize() + "ies"
    return verb.capitalize() + ("es" if verb.endswith(("s", "sh", "ch", "o")) else "s")


def _an(noun: str) -> str:
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


def _plain(verb: str, what: str, kind: str, **words: str) -> Fact:
    """I work at Acme; works at Acme; you work at Acme."""
    questions = _questions(kind, verb=verb, what=what, **words)
    return Fact(f"{_third(verb)} {what}", f"I {verb} {what}", questions, f"You {verb} {what}.")


def _am(what: str, kind: str) -> Fact:
    return Fact(f"Is {what}", f"I am {what}", _questions(kind, what=what), f"You are {what}.")


def _mine(what: str, value: str, kind: str = "mine", **words: str) -> Fact:
    asked = _questions(kind, what=what, be="is", **words)
    return Fact(f"{what[0].upper()}{what[1:]} is {value}", f"my {what} is {value}", asked, f"Your {what} is {value}.")


def _name(rng: random.Random) -> Fact:
    name = _one(USER["names"], rng, 0.3)
    said = [f"my name is {name}"] * 3 + [f"I am called {name}", f"you can call me {name}", f"I am {name}"]
    return Fact(f"Name is {name}", rng.choice(said), _questions("name"), f"Your name is {name}.")


def _like(rng: random.Random) -> Fact:
    verb = rng.choice(["like", "like", "like", "love", "enjoy", "hate", "dislike", "prefer"])
    what, other = _thing(rng), _thing(rng)
    if verb == "prefer" and rng.random() < 0.5:
        return _plain("prefer", what, "other")
    if verb == "prefer" or rng.random() < 0.05:
        return Fact(
            f"Prefers {what} over {other}",
            f"I prefer {what} {rng.choice(['over', 'to'])} {other}",
            _questions("prefer", what=what, other=other),
            f"You prefer {what} over {other}.",
        )
    questions = _questions("like", verb=verb, what=what)
    if verb in ("like", "love", "enjoy"):
        questions += ("What are my preferences?", "What do I like?")
    really = rng.choice(["", "", "", "really "])
    return Fact(f"{_third(verb)} {what}", f"I {really}{verb} {what}", questions, f"You {verb} {what}.")


def _negative(rng: random.Random) -> Fact:
    verb, what = rng.choice(
        [
            ("like", _thing(rng)),
            ("eat", rng.choice(["meat", "fish", *USER["allergies"][:6]])),
            ("drink", rng.choice(["coffee", "alcohol", "milk"])),
            ("own", "a car"),
            ("speak", _one(USER["languages"], rng)),
        ]
    )
    said = f"I {rng.choice(['do not', 'don' + chr(39) + 't'])} {verb} {what}"
    return Fact(
        f"Does not {verb} {what}",
        said,
        (f"What do I not {verb}?", f"Do I {verb} {what}?"),
        f"You do not {verb} {what}.",
    )


def _favourite(rng: random.Random) -> Fact:
    what = rng.choice(list(USER["favourites"]))
    values = USER["favourites"][what]
    value = str(rng.randint(2, 99)) if what == "number" else _one(values, rng) if values else _thing(rng)
    return _mine(f"{rng.choice(['favourite', 'favorite'])} {what}", value)


def _pet(rng: random.Random) -> Fact:
    pet, how, name = rng.choice(USER["pets"]), rng.choice(["named", "called"]), _one(USER["names"], rng, 0.3)
    return _plain("have", f"{_an(pet)} {how} {name}", "pet", pet=pet)


def _family(rng: random.Random) -> Fact:
    kin, name = rng.choice(USER["family"]), _one(USER["names"], rng, 0.3)
    fact = _mine(kin, name, "family", kin=kin)
    return replace(fact, said=f"my {kin} is {rng.choice(['called ', 'named ', '', ''])}{name}")


def _job(rng: random.Random) -> Fact:
    at = rng.choice(["", "", f" at {_one(USER['workplaces'], rng, 0.4)}"])
    return _plain("work", f"as {_an(rng.choice(USER['jobs']))}{at}", "work_as")


def _use(rng: random.Random) -> Fact:
    verb = rng.choice(["use", "collect", "drive", "need", "want", "read", "own", "sell"])
    thing = _thing(rng)
    if rng.random() < 0.4:
        thing = _an(
            f"{rng.choice(USER['adjectives'])} {rng.choice(['car', 'house', 'boat', 'bicycle', _invented(rng)])}"
        )
    return _plain(verb, thing, "other")


def _birthday(rng: random.Random) -> Fact:
    return _mine("birthday", f"{rng.randint(1, 28)} {rng.choice(USER['months'])}", "birthday")


def _count(rng: random.Random) -> Fact:
    return _plain("have", f"{rng.choice(['two', 'three', 'four'])} {rng.choice(USER['counted'])}", "have")


_MAKERS: list[tuple[int, Callable[[random.Random], Fact]]] = [
    (4, _name),
    (5, _like),
    (3, _favourite),
    (2, lambda rng: _plain("live", f"in {_one(USER['cities'], rng, 0.3)}", "live")),
    (2, _job),
    (2, lambda rng: _plain("work", f"at {_one(USER['workplaces'], rng, 0.5)}", "work_at")),
    (2, lambda rng: _am(_an(rng.choice(USER["jobs"])), "job")),
    (2, _pet),
    (1, lambda rng: _plain("work", f"on {_thing(rng)}", "work_on")),
    (1, _family),
    (1, lambda rng: _am(f"allergic to {rng.choice(USER['allergies'])}", "allergy")),
    (1, lambda rng: _am(f"{rng.randint(18, 90)} years old", "age")),
    (1, lambda rng: _am(f"from {_one(USER['countries'], rng)}", "origin")),
    (1, lambda rng: _am(rng.choice(USER["traits"]), "trait")),
    (1, lambda rng: _plain("speak", _one(USER["languages"], rng), "speak")),
    (1, lambda rng: _plain("play", rng.choice(USER["played"]), "play")),
    (1, lambda rng: _plain("study", _thing(rng), "study")),
    (1, _use),
    (1, _count),
    (1, _birthday),
    (1, _negative),
]


def make_fact(rng: random.Random) -> Fact:
    """Make one fact, drawn over some twenty kinds."""
    return rng.choices([maker for _, maker in _MAKERS], weights=[weight for weight, _ in _MAKERS])[0](rng)


def clash(fact: Fact, other: Fact) -> bool:
    """Whether a question about one could mean the other."""
    first = fact.stored.split(maxsplit=1)[0]
    same_verb = first == other.stored.split(maxsplit=1)[0] and first != "Is"
    return same_verb or bool(set(fact.questions) & set(other.questions))


def make_facts(rng: random.Random, count: int) -> list[Fact]:
    """Make facts that do not clash, so that a question has one answer."""
    facts: list[Fact] = []
    while len(facts) < count:
        fact = make_fact(rng)
        if not any(clash(fact, other) for other in facts):
            facts.append(fact)
    return facts


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def message(facts: list[Fact], rng: random.Random) -> str:
    """The facts as one message, with small talk around in half of them."""
    said = [fact.said if rng.random() < 0.8 else re.sub(r"\bI am\b", "I'm", fact.said) for fact in facts]
    if len(said) > 1 and rng.random() < 0.65:
        text = _capital(", ".join(said[:-1]) + rng.choice([" and ", ", and ", " and "]) + said[-1]) + "."
    else:
        text = " ".join(_capital(one) + rng.choice([".", ".", "!"]) for one in said)
    if rng.random() < 0.15:
        text = text.rstrip(".!")
    if rng.random() < 0.35:
        before = rng.choice(USER["before"])
        whole = before[-1] in ".!" or text.startswith("I")
        text = f"{before} {text if whole else text[0].lower() + text[1:]}"
    if rng.random() < 0.15 and text[-1] in ".!":
        text += rng.choice(USER["after"])
    return text


def recall_lines(facts: list[Fact], rng: random.Random) -> str:
    """The block that a system message carries: stored facts, some of them in the user's own words."""
    lines = [fact.stored if rng.random() < 0.85 else _capital(fact.said) + rng.choice(["", "."]) for fact in facts]
    return "What is known about the user:\n" + "\n".join(f"- {line}" for line in lines)


def to_json(facts: list[Fact]) -> str:
    """The facts in the form that extraction gives."""
    return json.dumps({"facts": [fact.stored for fact in facts]}, ensure_ascii=False)
