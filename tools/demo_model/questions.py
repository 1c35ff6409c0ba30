"""Questions that a sentence answers, by patterns of English: definitions, modals, conditions, purposes, plain verbs."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from .phrases import QUESTION

__all__ = ["STOP_WORDS", "ask", "content_words"]

STOP_WORDS = frozenset(QUESTION["stop_words"])
_VERBS = frozenset(QUESTION["verbs"])
_FORMS: dict[str, list[str]] = QUESTION["forms"]
_ASK = {word: ask for ask, found in QUESTION["ways"].items() for word in found}
_SYNONYMS = {one: other for pair in QUESTION["synonyms"] for one, other in (pair, pair[::-1])}
_OFTEN = ("every", "twice")

_NOUN = r"((?:[Tt]he |[Aa]n? |[Ee]ach |[Ee]very )?(?:[\w.\-/]+ ){0,4}?[\w.\-/]+)"
_PREPOSITION = (
    r"(?:in|on|at|to|into|from|under|inside|for|with|by|when|if|until|after|before|as|using|because|only|through|during"
    r"|every|twice|behind|between|beside)"
)
_PART = (
    r"(?:only |always |also |usually |then |now |not )*"
    r"(\w+ed|set|kept|read|written|run|found|given|made|sent|shown|built|held)"
)
_TIME = re.compile(
    r"(the |early |late )*(morning|evening|night|day|week|month|year|spring|summer|autumn|winter|january|february|march"
    r"|april|may|june|july|august|september|october|november|december|monday|tuesday|wednesday|thursday|friday|saturday|sunday"
    r"|first|start|end|beginning|noon|\d+)",
    re.IGNORECASE,
)
_COUNT = r"(?:\d+|[Oo]ne|[Tt]wo|[Tt]hree|[Ff]our|[Ff]ive|[Ss]ix|[Ss]even|[Ee]ight|[Nn]ine|[Tt]en)"
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_\-]+")


def content_words(text: str) -> list[str]:
    """The words that carry meaning, in order, as written."""
    return [word for word in _WORD.findall(text) if word.lower() not in STOP_WORDS and len(word) > 2]


def _third(verb: str) -> str:
    """The verb's third person."""
    if re.search("[^aeiou]y$", verb):
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else "s")


_BASES = {_third(verb): verb for verb in _VERBS} | {"has": "have"}
_THIRD = "(" + "|".join(_BASES) + ")"
_PLAIN = "(" + "|".join(sorted(_VERBS)) + ")"


def _short(text: str, rng: random.Random) -> str:
    """The first words of a phrase, cut at a clause's end and never after a function word."""
    found = re.split(r"[,;:()]| which | that | and | or | but |\. ", text.strip())[0].split()
    found = found[: rng.randint(2, 9)]
    while found and found[-1].lower().strip("*\"'") in STOP_WORDS:
        found.pop()
    return " ".join(found)


def _name(text: str) -> str | None:
    """A subject that can be asked about: not a pronoun, and with a word of its own."""
    if text.split(maxsplit=1)[0].lower() in QUESTION["pronouns"]:
        return None
    known = content_words(text)
    return text[0].lower() + text[1:] if known and text[1:2].islower() else (text if known else None)


def _form(kind: str, rng: random.Random, **words: str) -> str:
    """A form of this kind, filled in."""
    return rng.choice(_FORMS[kind]).format(**words)


def _definition(sentence: str, rng: random.Random) -> str | None:
    m = re.match(rf"{_NOUN} (is|are|was|were) (.+)", sentence)
    name = _name(m[1]) if m else None
    if not m or not name:
        return None
    be, rest = m[2], m[3]
    part = re.match(rf"{_PART} ({_PREPOSITION}) (.+)", rest)
    if not part or rng.random() < 0.2:
        who = "Who" if name[0].isupper() else "What"
        return _form("definition", rng, be=be, Be=be.capitalize(), name=name, rest=_short(rest, rng), who=who)
    word, how = part[2], _ASK.get(part[2], "Where")
    if word in ("in", "on", "at", "during") and _TIME.match(part[3]):
        how = "When"
    if word in _OFTEN:
        how = rng.choice(["When", "How often"])
    kind = "part_purpose" if word in ("for", "to") else "part"
    return _form(
        kind,
        rng,
        how=how,
        be=be,
        name=name,
        part=part[1],
        word=word,
        Be=be.capitalize(),
        more=_short(part[3], rng),
        noun=m[1].split()[-1],
    )


def _modal(sentence: str, rng: random.Random) -> str | None:
    m = re.match(rf"{_NOUN} (can|must|may|should|will|could|cannot) (?:not |also |only |then )*(\w+) (.+)", sentence)
    if not m:
        return None
    verb, rest, modal = m[3], _short(m[4], rng), m[2].replace("cannot", "can")
    if m[1].lower() == "you":
        return _form("modal_you", rng, verb=verb, rest=rest)
    name = _name(m[1])
    return name and _form("modal", rng, modal=modal, Modal=modal.capitalize(), name=name, verb=verb, rest=rest)


def _condition(sentence: str, rng: random.Random) -> str | None:
    m = re.match(r"(If|When|Whenever|Once|After|Before|Unless|While) ([^,]{8,90}), (?:then )?(.+)", sentence)
    if m:
        word = "when" if m[1] == "Whenever" else m[1].lower()
        return _form("condition", rng, word=word, clause=m[2], short=_short(m[2], rng), rest=_short(m[3], rng))
    m = re.match(r"(.{10,90}?) (if|when|unless|after|before|because) (.{8,})", sentence)
    if not m or not _name(m[1]):
        return None
    why = m[2] == "because"
    words = {"word": "when" if why else m[2], "ask": "Why" if why else "When"}
    return _form("condition_behind", rng, short=_short(m[3], rng), turned=_turned(m[1]), **words)


def _turned(clause: str) -> str:
    """A clause in the order of a question: "the cache is used" becomes "is the cache used", where its verb is known."""
    m = re.match(rf"{_NOUN} (is|are|was|were|can|must|may|should|will) (.+)", clause)
    if m:
        return f"{m[2]} {m[1][0].lower()}{m[1][1:]} {m[3]}"
    m = re.match(rf"{_NOUN} {_THIRD}\b(.*)", clause)
    return f"does {m[1][0].lower()}{m[1][1:]} {_BASES[m[2]]}{m[3]}" if m else clause


def _purpose(sentence: str, rng: random.Random) -> str | None:
    m = re.match(r"To (\w+) ([^,]{5,80}), ", sentence) or re.search(r"\b[Uu]sed? .{3,60}? to (\w+) (.{5,80})", sentence)
    if not m and sentence.split(" ", 1)[0].lower() in _VERBS:
        m = re.match(r"[A-Z][a-z]+ .{3,60}? to (\w+) (.{4,80})", sentence)
    return _form("purpose", rng, verb=m[1], rest=_short(m[2], rng)) if m and m[1] in _VERBS else None


def _verb(sentence: str, rng: random.Random) -> str | None:
    adverb = r"(?:also |only |always |first |then |never )*"
    m = re.match(rf"{_NOUN} {adverb}{_THIRD} (.+)", sentence)
    plural = None if m else re.match(rf"{_NOUN[:-1]}s) {adverb}{_PLAIN} (.+)", sentence)
    m = m or plural
    name = _name(m[1]) if m else None
    if not m or not name:
        return None
    verb, rest, noun = m[2], m[3], m[1].split()[-1]
    base = _BASES.get(verb, verb)
    words = {"name": name, "base": base, "do": "do" if plural else "does"}
    if base in QUESTION["standing"] and rng.random() < 0.7:
        return _form("verb_stands", rng, be="are" if plural else "is", **words)
    where = re.match(rf"(.{{4,60}}?) ({_PREPOSITION}) (.+)", rest)
    if where and rng.random() < 0.45:
        ask_word = _ASK.get(where[2], "Where")
        if where[2] in _OFTEN:
            ask_word = rng.choice(["When", "How often"])
        elif _TIME.match(where[3]):
            ask_word = "When"
        return _form("verb_where", rng, ask=ask_word, what=where[1], **words)
    who = rng.choice(["What", "Who"])
    return _form(
        "verb", rng, Do=words["do"].capitalize(), who=who, verb=verb, noun=noun, rest=_short(rest, rng), **words
    )


def _imperative(sentence: str, rng: random.Random) -> str | None:
    m = re.match(r"(?:Do not |Don't |Never |Always )?([A-Z][a-z]+) (.+)", sentence)
    known = m and m[1].lower() in _VERBS
    return _form("imperative", rng, verb=m[1].lower(), rest=_short(m[2], rng)) if m and known else None


def _number(sentence: str, rng: random.Random) -> str | None:
    """How many there are: of what the sentence begins with, or of what its subject has."""
    m = re.match(rf"(?:Only |All )?{_COUNT} (\w+s? .+)", sentence)
    if m:
        return f"How many {_short(m[1], rng)}?"
    m = re.match(rf"{_NOUN} {_THIRD} (?:at most |about |up to |only )?{_COUNT} (\w+s)\b", sentence)
    return f"How many {m[3]} does {m[1][0].lower()}{m[1][1:]} {_BASES[m[2]]}?" if m and _name(m[1]) else None


def _span(sentence: str, rng: random.Random) -> str | None:
    """Some words of the sentence as they stand, in a form that fits anything."""
    found = sentence.split()
    starts = [i for i, word in enumerate(found) if word.strip("*\"'(),").lower() not in STOP_WORDS]
    if len(starts) < 2:
        return None
    start = rng.choice(starts[:-1])
    span = found[start : start + rng.randint(2, 7)]
    while span and span[-1].strip("*\"'(),").lower() in STOP_WORDS:
        span.pop()
    text = " ".join(span).strip("*\"'(),;: ")
    return rng.choice(QUESTION["about"]).format(text) if len(content_words(text)) >= 2 else None


def _keywords(sentence: str, rng: random.Random, rarity: Callable[[str], float]) -> str | None:
    """Rarer words of the sentence, mostly in order, now and then with a function word between."""
    known = list(enumerate(content_words(sentence)))
    if len(known) < 3:
        return None
    count = rng.randint(2, min(6, len(known)))
    chosen = sorted(known, key=lambda pair: -rarity(pair[1]) * rng.uniform(0.4, 2))[:count]
    if rng.random() < 0.8:
        chosen.sort()
    out = []
    for _, word in chosen:
        out.append(word if rng.random() < 0.6 else word.lower())
        if rng.random() < 0.2:
            out.append(rng.choice(["of", "the", "in", "for", "a", "and", "to", "with"]))
    return rng.choice(QUESTION["about"]).format(" ".join(out))


def _worn_word(word: str, rng: random.Random) -> str:
    """A word as somebody else might say it: a synonym, or another ending."""
    bare, chance = word.strip("?").lower(), rng.random()
    if bare in _SYNONYMS and chance < 0.2:
        return word.replace(word.strip("?"), _SYNONYMS[bare])
    if bare in STOP_WORDS or not word.isalpha() or len(word) < 5:
        return word
    if chance < 0.04 and word.endswith("s"):
        return word[:-1]
    if chance < 0.08 and len(word) > 6:
        return re.sub(r"(ing|ed)$", "", word)
    return word + "s" if chance > 0.96 and not word.endswith("s") else word


def _worn(question: str, rng: random.Random) -> str:
    """The question as people write it: worn words, no capitals, no question mark."""
    text = " ".join(_worn_word(word, rng) for word in question.split(" "))
    chance = rng.random()
    if chance < 0.12:
        text = text.lower()
    elif chance < 0.9:
        text = text[0].upper() + text[1:]
    return text.rstrip("?") if rng.random() < 0.08 else text


def ask(sentence: str, rng: random.Random, rarity: Callable[[str], float]) -> str | None:
    """Make one question that the sentence answers.

    Args:
        sentence: The sentence, Markdown allowed.
        rng: Where chance comes from.
        rarity: Inverse document frequency of a word, to prefer words that tell passages apart.

    Returns:
        The question, or None where the sentence has too little in it.
    """
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", sentence) if rng.random() < 0.75 else sentence
    plain = plain.rstrip(".!?")
    makers = [_number, _definition, _modal, _condition, _purpose, _verb, _imperative]
    rng.shuffle(makers)
    question, natural = None, rng.random() < 0.85
    if natural:
        question = next((made for made in (maker(plain, rng) for maker in makers) if made), None)
        # Most sentences that fit no pattern are passed over: people ask in sentences more than in keywords.
        if not question and rng.random() < 0.7:
            return None
    if not question and rng.random() < 0.5:
        question = _span(plain, rng)
    question = question or _keywords(plain, rng, rarity)
    if not question or len(question) > 160:
        return None
    # Two common words point at no sentence.
    asked = content_words(question)
    if len(asked) < 3 and not any(rarity(word.lower()) > 4 for word in asked):
        return None
    return _worn(re.sub(r"\s+", " ", question), rng)
