"""Question types: whether a person, a place, a time, a reason, a way, an amount or a yes is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.cache.gate.function_words import AUXILIARIES
from freehold.cache.gate.word_sets import word_set
from freehold.cache.gate.words import Word

__all__ = ["read_types", "type_objection"]

_AMOUNTS = word_set("many much long far often old tall big high deep heavy large")
_WAYS = word_set("way ways method methods steps tips tricks process procedure techniques strategy strategies")
_DOING = word_set("do can to should could i you we one would")
_WAY_REACH = 6
# Pairs whose answers cannot serve each other. "How" and "why", "what" and "who" often ask the same.
_APART = frozenset(
    frozenset(pair.split("/"))
    for pair in word_set(
        "where/who when/where when/who when/why where/why who/why how/who how_is/who how_is/when "
        "how_many/how_long how_many/why how_much/why how_long/why how_long/when how_old/when how_old/who how_far/when "
        "how_much/how_often how_much/how_long how_long/how_far how_long/how_often"
    )
)


def _how(after: str) -> str:
    """What "how" asks for, by the word behind it: an amount, a reason, the way to do it, or how something is."""
    if after in _AMOUNTS:
        return f"how_{after}"
    return "why" if after == "come" else "how" if after in _DOING else "how_is"


def read_types(words: Sequence[Word]) -> tuple[str, ...]:
    """Tell what is asked for, once for each interrogative word; "yes_no" where there is none, as far as can be told.

    "What is the best way to" asks for a way, as "how" does.

    Example:
        >>> from freehold.cache.gate.words import read_words
        >>> read_types(read_words("When and where was it built?")), read_types(read_words("Is it old?"))
        (('when', 'where'), ('yes_no',))
    """
    types: list[str] = []
    for index, word in enumerate(words):
        text = word.text
        after = words[index + 1].text if index + 1 < len(words) else ""
        if text == "how":
            types.append(_how(after))
        elif text in {"who", "whom", "whose"}:
            types.append("who")
        elif text in {"when", "where", "why"}:
            types.append(text)
        elif text in {"what", "which"}:
            near = {following.text for following in words[index + 1 : index + _WAY_REACH]}
            types.append("how" if near & _WAYS else "when" if after in {"time", "year", "date"} else "what")
    if not types and words and words[0].text in AUXILIARIES:
        types.append("yes_no")
    return tuple(types)


def type_objection(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str | None:
    """Say how two questions of the same content words ask for different things.

    Only pairs of types whose answers cannot serve each other count, and only one interrogative in each question.

    Example:
        >>> type_objection(("who",), ("where",))
        'They ask for different things: who against where.'
    """
    if len(ours) != 1 or len(theirs) != 1 or frozenset(ours + theirs) not in _APART:
        return None
    one, other = (kind.replace("_", " ").replace("yes no", "yes or no") for kind in ours + theirs)
    return f"They ask for different things: {one} against {other}."
