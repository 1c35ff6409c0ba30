"""Text as rails judge it: invisible characters taken off and styled letters made plain before any rule is asked.

`normalise` gives the text that goes on to the model, the cache and the memory; it leaves ordinary writing in any script
as it is. What a rule reads beside it is in `freehold.guardrails.disguises`.

Source: Unicode Standard Annex 15 (normalisation forms).
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["normalise"]

# Superscripts, fractions and circled digits carry meaning ("x²", "½"), so only these compatibility forms are replaced.
_REPLACED_FORMS = ("<wide>", "<narrow>", "<font>")
# Tag characters spell hidden text, except in the three flags of Britain's nations, which are made of them.
_FLAG_OR_TAGS = re.compile(r"(\U0001f3f4[\U000e0061-\U000e007a]{2,6}\U000e007f)|[\U000e0000-\U000e007f]")
_INVISIBLE = re.compile(
    r"[\u0000-\u0008\u000b\u000e-\u001f\u007f-\u0084\u0086-\u009f"  # controls, but not tab, line feeds and form feed
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]"
)
# Joiners shape Persian, Indic scripts and emoji; beside a letter or digit of these scripts they only hide something.
_JOINER = re.compile(r"[\u200c\u200d]+")
_PLAIN_LETTER = re.compile(r"[0-9A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]")
_SELECTOR_AFTER_LETTER = re.compile(r"(?<=[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff .,;:!?])[\ufe00-\ufe0f]+")
_VARIATION_SUPPLEMENT = re.compile(r"(?<![\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]+")
_LINE_BREAK = re.compile(r"\r\n?|[\u0085\u2028\u2029\u000b\u000c]")
_SPACE = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def _drop_joiners(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    before, after = text[start - 1 : start], text[end : end + 1]
    if not before or not after or before.isspace() or after.isspace():
        return ""
    return "" if _PLAIN_LETTER.match(before) or _PLAIN_LETTER.match(after) else match.group()[0]


def _plain_form(character: str) -> str:
    decomposition = unicodedata.decomposition(character)
    if decomposition.startswith(_REPLACED_FORMS):
        return unicodedata.normalize("NFKC", character)
    return character


def _once(text: str) -> str:
    text = _SURROGATE.sub("\ufffd", text)
    text = _SPACE.sub(" ", _LINE_BREAK.sub("\n", text))
    text = _INVISIBLE.sub("", text)
    text = _FLAG_OR_TAGS.sub(lambda match: match.group(1) or "", text)
    text = _VARIATION_SUPPLEMENT.sub("", text)
    replaced = {character: _plain_form(character) for character in set(text) if character > "\u2100"}
    text = text.translate({ord(old): new for old, new in replaced.items() if old != new})
    text = _JOINER.sub(_drop_joiners, text)
    text = _SELECTOR_AFTER_LETTER.sub("", text)
    return unicodedata.normalize("NFC", text).strip()


def normalise(text: str) -> str:
    r"""Take off what hides text from a rule and does not change what a reader sees.

    Zero-width, bidirectional, control and tag characters go; full-width and mathematical letters become plain ones;
    spaces and line breaks become `" "` and `"\n"`; the result is in normalisation form C, without blanks at its ends.
    Emoji, superscripts, and joiners in scripts that need them stay. Normalising twice changes nothing more.

    Example:
        >>> normalise("Ig\u00adnore the\u200b rules")
        'Ignore the rules'
    """
    if text.isascii() and not _INVISIBLE.search(text) and not _LINE_BREAK.search(text):
        return text.strip()
    previous, text = text, _once(text)
    # Each step takes characters away or maps them to plain ones, so this ends; it seldom runs twice.
    while text != previous:
        previous, text = text, _once(text)
    return text
