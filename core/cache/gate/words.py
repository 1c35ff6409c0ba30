"""Words: a question cut into words, each in its folded form and as it was typed."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from freehold.cache.gate.word_sets import word_set

__all__ = ["DOTLESS_I", "Word", "fold", "read_words"]

# Marks inside the words of Hebrew, Arabic and the scripts of India and South-East Asia, which `\w` leaves out.
_VOWEL_SIGNS = (
    "\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e31-\u0ebf\u0f71-\u109f\u17b4-\u17d3"
)
_TOKEN = re.compile(
    r"(?<![\w)\]-])-?\d+(?:[.:/]\d+)*|\d+(?:[.:/]\d+)*"  # "-5" and "5" differ, "2010-2015" holds no negative number
    r"|[^\W\d_]{1,2}(?:\+\+?|\#)(?![\w+])|(?:[aA]?[bB]|[aAoO])-(?=[\s,.?)]|$)"  # C++, C#, AB+, O-
    rf"|[^\W\d_]+(?:(?:'|[{_VOWEL_SIGNS}]+)[^\W\d_]+|[{_VOWEL_SIGNS}]+)*"
    r"|[$\u20ac\u00a3\u00a5\u20b9\u20bd\u20a9%\u00b0+*=^<>\u00d7\u00f7]"
    r"|[\u2190-\u2bff\U0001f000-\U0001faff]"
)
# Groups of three digits, and the Indian 1,00,000; no more of them than numbers have, so that lists cost their length.
_THOUSANDS = re.compile(r"(?<=\d),(?=(?:\d\d,){0,6}\d{3}(?!\d))")
_DOTTED = re.compile(r"(?<![\w.])(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,5}(?!\w)\.?")
_SENTENCE_END = re.compile(r"[.?!:;][\"')]*\s|\n")
DOTLESS_I = "\u0131"
"""The letter whose capital is that of "i" too."""
_MARKS = re.compile("[\u0300-\u036f]")
_RAISED = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
# What people type for an apostrophe, a minus, a quotation mark; raised digits are powers, NFKC would make "102" of 10².
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2019\u2018\u02bc\u00b4`\uff07", "'"),
        **dict.fromkeys("\u2212\u2010\u2011", "-"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **{raised: f"^{digit}" for digit, raised in enumerate(_RAISED)},
        "\u00bc": " 1/4",
        "\u00bd": " 1/2",
        "\u00be": " 3/4",
    }
)
_TITLES = word_set("mr mrs ms dr prof st jr sr vs no")  # the full stop behind them ends no sentence
_IS = word_set("it he she that this there here what who where when why how which let")
_ENDINGS = {"re": "are", "ve": "have", "ll": "will", "d": "would", "m": "am"}
_NEGATED = word_set("do does did is are was were has have had could would should must need might")
# People leave the apostrophe out; and a war's number may be part of its name.
_SHORTENED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(["can't", "cant", "cannot"], ("can", "not")),
    **dict.fromkeys(["won't", "wont"], ("will", "not")),
    **dict.fromkeys(["ain't", "aint"], ("is", "not")),
    **{f"{verb}nt": (verb, "not") for verb in _NEGATED},
    **{f"{word}s": (word, "is") for word in ("what", "how", "where", "who", "that", "there")},
    "shan't": ("shall", "not"),
    "im": ("i", "am"),
    "ive": ("i", "have"),
    "youre": ("you", "are"),
    "theyre": ("they", "are"),
    "gonna": ("going", "to"),
    "wanna": ("want", "to"),
    "wwi": ("ww", "1"),
    "wwii": ("ww", "2"),
}


class Word(NamedTuple):
    """One word, number or sign of a question."""

    text: str
    """Folded: lower case, no accents, contractions written out."""
    surface: str
    """As it was typed, in Unicode compatibility form; empty for the second half of a contraction."""
    opens: bool = False
    """Whether it begins a sentence, so that its capital letter says nothing."""
    glued: bool = False
    """Whether no white space parts it from the word before."""
    quoted: bool = False
    """Whether it stands between quotation marks."""


def fold(text: str) -> str:
    """Fold a word: lower case and without accents.

    Example:
        >>> fold("Pokémon")
        'pokemon'
    """
    text = text.casefold()
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", text)))
    return plain.replace(DOTLESS_I, "i")


def _plain(text: str) -> str:
    """The text in Unicode compatibility form, with one apostrophe, one minus, and digits of every script as 0 to 9."""
    if text.isascii():
        text = text.replace("`", "'")
    else:
        text = unicodedata.normalize("NFKC", text.translate(_SIGNS)).translate(_SIGNS)
        text = "".join([str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text])
    if "," in text:
        text = _THOUSANDS.sub("", text)
    if "." in text:
        text = _DOTTED.sub(lambda match: match[0].replace(".", "") + " ", text)
    return text


def _written_out(folded: str, surface: str) -> tuple[str, str, tuple[str, ...]]:
    """A word with an apostrophe, or a plural: its base, how that was typed, and the words that it also stands for."""
    base, apostrophe, ending = folded.rpartition("'")
    typed = surface.rpartition("'")[0]
    if not apostrophe:  # the plural of an abbreviation, "DVDs"
        return folded[:-1], surface, ()
    if ending == "t" and base.endswith("n"):
        return base[:-1], surface, ("not",)
    if ending in _ENDINGS:
        return base, typed, (_ENDINGS[ending],)
    if ending == "s":
        return base, typed, ("is",) if base in _IS else ()
    return folded.replace("'", ""), surface, ()


def read_words(text: str) -> list[Word]:
    """Cut a question into words, numbers and the few signs that carry meaning.

    Contractions are written out, possessives lose their ending, dotted abbreviations their full stops, numbers their
    separators of thousands.

    Example:
        >>> [word.text for word in read_words("Why doesn't the U.S. pay $1,000 for C++?")]
        ['why', 'does', 'not', 'the', 'us', 'pay', '$', '1000', 'for', 'c++']
    """
    text = _plain(text)
    plain = text.isascii()
    quoting = '"' in text and text.count('"') % 2 == 0
    words: list[Word] = []
    end = 0
    opens, quoted = True, False
    for match in _TOKEN.finditer(text):
        surface, start = match[0], match.start()
        between = text[end:start]
        end = match.end()
        if len(between) > 1:
            ends = _SENTENCE_END.search(between) is not None
            opens = opens or (ends and not (words and words[-1].text in _TITLES))
        if quoting and '"' in between:
            quoted = not quoted
        folded = surface.lower() if plain else fold(surface)
        also: tuple[str, ...] = ()
        if folded in _SHORTENED:
            also = _SHORTENED[folded][1:]
            folded = _SHORTENED[folded][0]
        elif "'" in folded or (folded[-1] == "s" and len(folded) > 2 and surface[:-1].isupper() and surface[-1] == "s"):
            folded, surface, also = _written_out(folded, surface)
        if folded:
            words.append(Word(folded, surface, opens, not between, quoted))
        words.extend([Word(word, "") for word in also])
        opens = False
    return words
