"""The form of a fact: its words without inflection, whether it denies, whether it is past."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["FactForm", "form", "plain", "same_fact", "stem", "word_set"]


def word_set(words: str) -> frozenset[str]:
    """The words of a text between blanks."""
    return frozenset(words.split())


_CONTRACTIONS = (
    (re.compile(r"\bcan(?:'t|not)\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"\b(it|that|he|she|there)'s\b"), r"\1 is"),
)
_LEAD = re.compile(
    r"(?:(?:hi|hello|hey|well|so|and|but|oh|ok|okay|yes|no|actually|fyi|btw|by the way|just so you know|sorry"
    r"|correction|please|remember|note|keep in mind|don't forget|do not forget|that|as of (?:now|today)|these days"
    r"|nowadays|from now on|update|it turns out|turns out|i think|i guess|to be clear)\b[\s,:!.-]*)*"
)
_SUBJECT = re.compile(r"(?:i|we|the user|user)\b\s*")
_WORD = re.compile(r"\d+(?:[.,:]\d+)*|\w+(?:'s)?")

_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        re.findall(r"\w+", "zero one two three four five six seven eight nine ten eleven twelve")
    )
}
_DENIALS = word_set("not never no nothing neither nor without hardly")
_DISLIKES = word_set("hate hates dislike dislikes detest detests loathe loathes despise despises")
_ENDINGS = word_set("stopped quit quitting stop ceased")
# Words that a fact may have or lack without saying anything else.
_LIGHT = word_set(
    "a an the is are am be been being do does did of to in at on for and i my our we me us user it its this "
    "that these there also too very really quite so much just still now currently always usually actually "
    "definitely truly lot lots any anymore more longer some as who which called named got"
)
_SYNONYMS = {
    stem: word
    for word, stems in {
        "have": "own has had hav",
        "like": "lov enjoy ador fond lik fan hat dislik detest loath despis",
        "liv": "resid",
        "favourit": "favorit",
        "colour": "color",
        "mother": "mum mom",
        "father": "dad",
        "child": "kid children",
        "bicycl": "bike bik",
        "televis": "tv",
        "work": "employ",
    }.items()
    for stem in word_set(stems)
}
_ENDED = re.compile(r"\b(?:stopped|quit|ceased|gave up|used to|sold|lost|gave away|got rid of|can not stand)\b")
_PAST = re.compile(r"\b(?:was|were|had|been|used to|did|ago|last (?:year|month|week)|formerly|once)\b")
_KEPT_PAST = word_set("need speed feed seed weed bed red wed shed sled married divorced engaged retired based")


@dataclass(frozen=True)
class FactForm:
    """What decides whether two facts say the same."""

    words: tuple[str, ...]
    """Content words in their order, without inflection; numbers as digits."""
    negative: bool
    past: bool

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers among the words."""
        return tuple(word for word in self.words if word[0].isdigit())


@lru_cache(4096)
def plain(fact: str) -> str:
    """A fact in lower case, without contractions, without what may stand before it, and without its writer.

    Example:
        >>> plain("Actually, I don't like tea."), plain("Lives in Porto")
        ('do not like tea', 'lives in porto')
    """
    text = " ".join(fact.replace("\u2019", "'").casefold().split()).strip(" .!;,")
    lead = _LEAD.match(text)
    text = text[lead.end() :] if lead else text
    for pattern, whole in _CONTRACTIONS if "'" in text or "cannot" in text else ():
        text = pattern.sub(whole, text)
    subject = _SUBJECT.match(text)
    return text[subject.end() :] if subject else text


@lru_cache(4096)
def form(fact: str) -> FactForm:
    """The form of a fact.

    Example:
        >>> form("I really love green tea").words, form("Likes green tea").words
        (('like', 'green', 'tea'), ('like', 'green', 'tea'))
        >>> form("I no longer like tea").negative
        True
    """
    text = plain(fact)
    words = _WORD.findall(text)
    negative = sum(word in _DENIALS for word in words) + any(word in _DISLIKES for word in words)
    negative += any(word in _ENDINGS for word in words) or "used to" in text or "gave up" in text
    negative += bool(re.search(r"\b(?:sold|lost|gave away|got rid of) (?:my|our|the)\b", text))
    words = [word for word in _WORD.findall(_ENDED.sub(_instead, text)) if word not in _DENIALS]
    content = [word for word in words if word not in _LIGHT]
    # Behind the verb, "fishing" is not "fish".
    stems = tuple(word if at and word.endswith("ing") else stem(word) for at, word in enumerate(content))
    past = bool(_PAST.search(text)) or any(
        word.endswith("ed") and len(word) > 4 and word not in _KEPT_PAST for word in words[:2]
    )
    return FactForm(stems, negative % 2 == 1, past and "used to" not in text)


def _instead(match: re.Match[str]) -> str:
    """What somebody does no more who says that it ended."""
    if match[0] == "can not stand":
        return "like"
    return "have" if match[0] in ("sold", "lost", "gave away", "got rid of") else ""


def stem(word: str) -> str:
    """A word without its inflection, and one word for words that mean the same here; numbers as digits.

    Example:
        >>> stem("lives"), stem("living"), stem("two"), stem("enjoys")
        ('liv', 'liv', '2', 'like')
    """
    if word in _NUMBERS or word[0].isdigit():
        return _NUMBERS.get(word, word)
    word = word.removesuffix("'s")
    for ending, instead in (("ies", "y"), ("ing", ""), ("ied", "y"), ("ed", ""), ("es", ""), ("s", ""), ("e", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)] + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] in "nptgm":
        word = word[:-1]
    word = word.rstrip("e") if len(word) > 3 else word
    return _SYNONYMS.get(word, word)


def same_fact(left: str, right: str) -> bool:
    """Whether two facts say the same by their form: word for word the same but for inflection and light words.

    Example:
        >>> same_fact("I really like green tea", "Loves green tea"), same_fact("I like tea", "I like coffee")
        (True, False)
    """
    one, other = form(left), form(right)
    return bool(one.words) and one == other
