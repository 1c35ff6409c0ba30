"""Attributes that have one value at a time: a name, a home, an age, a favourite colour."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from freehold.memory.fact_form import plain, stem, word_set
from freehold.memory.large_places import LARGE_PLACES

__all__ = ["Attribute", "attribute"]


@dataclass(frozen=True)
class Attribute:
    """What a fact says about one attribute."""

    key: str
    """The attribute, such as `name` or `favourite colour`; the same for all ways to say it."""
    value: tuple[str, ...]
    """Its value's words, without inflection."""

    def conflicts(self, other: Attribute) -> bool:
        """Whether both cannot be true: the same attribute, and neither value is a part of the other."""
        if self.key != other.key or set(self.value) <= set(other.value) or set(other.value) <= set(self.value):
            return False
        # "Porto" and "Portugal" can both be home.
        return self.key != "home" or _is_large(self.value) == _is_large(other.value)


_NUMBER = r"\d+(?:[.,]\d+)?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
# Heads of noun phrases that name one thing: "my shoe size", "the wifi password", "my wife's birthday".
_HEADS = (
    r"name|surname|nickname|birthday|birthdate|age|address|email|e-mail|phone|number|password|pin|passcode"
    r"|size|weight|height|nationality|citizenship|religion|job|occupation|profession|employer|hometown"
    r"|birthplace|timezone|zone|currency|salary|rent|budget|deadline|flight|plate|diet"
)
_TYPED = r"(?:blood type|native language|mother tongue|zodiac sign|star sign|first language)"
_PERSONS = (
    r"boss|manager|doctor|gp|dentist|landlord|landlady|husband|wife|partner|spouse|fiancé|girlfriend"
    r"|boyfriend"
)
# There may be several of these, and so several of what they have.
_SEVERAL = word_set(
    "sister brother son daughter child kid friend cousin uncle aunt neighbour neighbor colleague coworker dog "
    "cat pet horse bird fish rabbit hamster team roommate flatmate client customer student"
)
_VAGUE = re.compile(
    r"(?:not|too|very|so|such|really|quite|pretty|being|also|like|about to|hard|easy|great|good|bad|nice|boring"
    r"|fun|stressful|high|low|old|new|long|short|important|private|secret|difficult|annoying|close|far|coming|soon"
    r"|broken|big|small|strict|kind|lovely|funny|pronounced|spelled|spelt|written|always|never|tight|fine|ok|okay)\b"
)
_SPELLINGS = {"color": "colour", "favorite": "favourite", "mum": "mother", "mom": "mother", "dad": "father"}
# A value under a condition can stand beside another one.
_CONDITION = re.compile(
    r"\b(?:and|or|also|both|sometimes|mostly|usually|part|half|when|while|during|until|before|if|either|as well"
    r"|in (?:the )?(?:summer|winter|spring|autumn|fall|morning|evening|afternoon)|at weekends|(?:on|every) \w+days?"
    r"|on weekends|one of|(?:in|since) (?:19|20)\d\d)\b"
)
_TIME = re.compile(
    r"\s*(?:,\s*)?\b(?:now|currently|at the moment|these days|since .*"
    r"|for (?:the )?(?:past|last)? ?\w+ (?:years?|months?)|any ?more|instead|with my .*|with .*|from now on|today)$"
)
_NOWHERE = re.compile(
    r"(?:an?|home|night|nights|weekends?|my|our|their|his|her|least|most|times|the moment|people|money|myself|peace)\b"
)
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (key, re.compile(pattern))
    for key, pattern in (
        ("name", r"(?:am|is) (?:called|named) (.+)"),
        ("name", r"(?:please )?(?:call me|go by|goes by) (.+)"),
        ("name", r"(?:prefers?|like|likes) to be called (.+)"),
        (
            "home",
            r"(?:now |currently )?(?:lives?|resides?|am based|is based|am living|is living) (?:now )?(?:in|at) (.+)",
        ),
        ("home", r"(?:have |has )?(?:just |recently )?(?:moved|relocated) (?:from .+? )?to (.+)"),
        ("home", r"(?:my )?home(?:town)? is (?:now )?(?:in )?(.+)"),
        ("workplace", r"(?:now |currently )?(?:works?|am working|is working|am employed) (?:now )?(?:at|for|by) (.+)"),
        ("workplace", r"(?:my )?(?:new )?employer is (?:now )?(.+)"),
        ("workplace", r"(?:have |has )?(?:just |recently )?started (?:working )?(?:a new job )?at (.+)"),
        ("school", r"(?:now |currently )?(?:stud(?:y|ies)|am studying) at (.+)"),
        ("job", r"(?:now |currently )?(?:works?|am working|am employed) (?:now )?as (?:an? |the )?(.+)"),
        ("job", r"(?:my )?(?:new )?(?:job|occupation|profession) is (?:now )?(?:an? |the )?(.+)"),
        ("age", rf"(?:am|is) (?:now |already )?({_NUMBER})(?: years old| years of age)?(?: now)?$"),
        ("age", rf"(?:have |has )?(?:just )?turned ({_NUMBER})(?: years old)?(?: .*)?$"),
        ("age", rf"(?:my )?age is (?:now )?({_NUMBER})"),
        (
            "marital status",
            r"(?:am|is|got|have got|are) (?:now |happily |recently |newly )*"
            r"(married|single|divorced|widowed|engaged|separated)\b.*",
        ),
        ("handedness", r"(?:am|is) (left|right)[ -]handed"),
        ("chronotype", r"(?:am|is) (?:an? )?(?:more of )?(?:an? )?(morning person|early bird|night owl|late riser)"),
    )
)
_FAVOURITE = re.compile(r"(?:my )?(?:new |all-time )?favou?rite (.+?) (?:is|are|has changed to) (?:now )?(?:the )?(.+)")
_FAVOURITE_LAST = re.compile(r"(.+?) (?:is|are) (?:now )?my (?:new |all-time )?favou?rite (.+)")
_POSSESSION = re.compile(
    rf"(?:my |our |the )?(?:new )?((?:[\w'-]+ ){{0,3}}?(?:{_HEADS}|{_TYPED})) "
    r"(?:is|was changed to|has changed to|changed to|changed from .+? to) (?:now )?(.+)"
)
_PERSON = re.compile(
    rf"(?:my |our )?(?:new )?({_PERSONS})(?:'s name)? is (?:now )?(called |named )?(.+)", re.IGNORECASE
)
_COUNT = re.compile(
    rf"(?:now |currently )?((?:have|has|drinks?|weighs?|works?|sleeps?|earns?|pays?|speaks?|needs?|takes?|smokes?|eats?"
    rf"|owns?|runs?|am|is)(?: (?:got|about|around|only|just|now|roughly|over|at least))*) ({_NUMBER}) (.+)"
)
_CLOCK = re.compile(
    r"(?:now |usually |always )*((?:wakes?|gets?) up|go(?:es)? to (?:bed|sleep)"
    r"|(?:starts?|finish(?:es)?|ends?) (?:work|school)|ha(?:ve|s) (?:lunch|dinner)) (?:now )?(?:at|around|about) (.+)"
)


@lru_cache(4096)
def attribute(fact: str) -> Attribute | None:
    """The attribute that a fact gives a value to; None for everything of which there can be several.

    Example:
        >>> attribute("I just moved to Porto"), attribute("I have a dog")
        (Attribute(key='home', value=('porto',)), None)
        >>> attribute("My favourite colour is blue").key
        'favourite colour'
    """
    text = plain(fact)
    if re.search(r"\b(?:not|no longer|never|used to|wants?|would|will|might|may (?:be|have)|could)\b|\?", text):
        return None
    for find in (_favourite, _person, _simple, _possession, _clock, _count):
        if (found := find(text, fact)) is not None:
            return found
    return None


def _simple(text: str, _: str) -> Attribute | None:
    for key, pattern in _PATTERNS:
        if match := pattern.fullmatch(text):
            place = key in ("home", "workplace", "school")
            return None if place and _NOWHERE.match(match[1]) else _made(key, match[1])
    return None


def _favourite(text: str, _: str) -> Attribute | None:
    if match := _FAVOURITE.fullmatch(text):
        return _made(f"favourite {_key(match[1])}", match[2])
    if match := _FAVOURITE_LAST.fullmatch(text):
        return _made(f"favourite {_key(match[2])}", match[1])
    return None


def _person(text: str, fact: str) -> Attribute | None:
    match = _PERSON.fullmatch(text)
    if match is None:
        return None
    first = re.split(r"\W", match[3].strip())[0]
    named = match[2] or re.search(rf"\b{re.escape(first)}\b", fact, re.IGNORECASE)
    written = named if isinstance(named, str) else (named[0] if named else "")
    is_name = bool(match[2]) or "'s name" in text or written[:1].isupper()
    return _made(_key(match[1]), match[3]) if is_name else None


def _possession(text: str, _: str) -> Attribute | None:
    match = _POSSESSION.fullmatch(text)
    if match is None or _VAGUE.match(match[2]):
        return None
    whose = {word.removesuffix("'s") for word in match[1].split() if word.endswith("'s")}
    return None if whose & _SEVERAL else _made(_key(match[1]), match[2])


def _clock(text: str, _: str) -> Attribute | None:
    match = _CLOCK.fullmatch(text)
    return _made(_key(match[1]), match[2]) if match and re.search(r"\d|noon|midnight|" + _NUMBER, match[2]) else None


def _count(text: str, _: str) -> Attribute | None:
    match = _COUNT.fullmatch(text)
    if match is None or re.fullmatch(r"(?:19|20)\d\d", match[2]):
        return None
    verb = "" if match[1].split()[0] in ("have", "has", "own", "owns") else stem(match[1].split()[0])
    counted = " ".join(stem(word) for word in re.findall(r"[\w'-]+", _TIME.sub("", match[3])))
    return _made(f"number {verb} {counted}", match[2])


def _made(key: str, value: str) -> Attribute | None:
    value = _TIME.sub("", value)
    if not value or _CONDITION.search(value) or _VAGUE.match(value):
        return None
    words = tuple(stem(word) for word in re.findall(r"[\w@.+-]*\w", value) if word not in ("the", "a", "an"))
    return Attribute(key, words) if words else None


def _key(text: str) -> str:
    words = (word.removesuffix("'s") for word in re.findall(r"[\w'-]+", _TIME.sub("", text)))
    return " ".join(_SPELLINGS.get(word, word) for word in words)


_LARGE = frozenset(tuple(stem(word) for word in name.split()) for name in LARGE_PLACES)


def _is_large(value: tuple[str, ...]) -> bool:
    return value in _LARGE
