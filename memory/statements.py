"""What a message states about its writer, by rules alone: sentences, questions, first-person clauses, evidence."""

from __future__ import annotations

import re

__all__ = [
    "clauses",
    "is_about_writer",
    "is_question",
    "mentions_writer",
    "questions",
    "says_something",
    "statements",
    "supports",
]

_LONGEST_MESSAGE = 4000
"""Characters of a message that are looked at; facts about people come early, pasted logs do not matter."""

_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]*")
# "My name is Ada, and I like tea": each half stands alone. A pronoun must follow: "bread and butter" stays whole.
# A run of spaces is tried from its first one alone: a message of nothing else would take the square of its length.
_CLAUSE = re.compile(
    r"(?:[,;]\s+|(?<!\s)\s+)(?:and|but|also)\s+(?=(?:I|I'm|I've|my|we|our)\b)|;\s+|,\s+(?=(?:I|I'm|I've|my)\b)",
    re.IGNORECASE,
)
_SUBJECT = (
    r"(?:i|you|we|they|he|she|it|the|this|that|there|these|those|my|your|our|his|her|their|a|an|any|anyone|someone)"
)
_QUESTION = re.compile(
    r"(?:who|whom|whose|what|which|where|when|why|how)\b(?!\s+(?:i|we|my|our)\b)"
    r"|(?:is|are|am|was|were|do|does|did|can|could|would|will|shall|should|may|might|have|has|had)(?:n't)?"
    rf"\s+{_SUBJECT}\b",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:(?:hi|hello|hey|well|so|also|and|but|oh|ok|okay|yes|no|actually|fyi|btw|by the way|just so you know)\b"
    r"[\s,:!-]*)*",
    re.IGNORECASE,
)
_REMEMBER = re.compile(
    r"(?:please\s+)?(?:remember|note|keep in mind|don't forget|do not forget)\b(?:\s+that\b)?[\s,:]*", re.IGNORECASE
)
_WRITER = re.compile(r"\b(?:i|i'm|i've|i'd|i'll|my|mine|me|myself|we|we're|we've|our|us)\b", re.IGNORECASE)
_SUBJECT_IS_WRITER = re.compile(r"(?:i|i'm|i've|i'd|i'll|my|mine|we|we're|we've|our)\b", re.IGNORECASE)
_SCENE_THEN_WRITER = re.compile(
    r"(?:on|at|in|for|from|every|when|since|during|after|before|as|usually|sometimes|today|yesterday|last|this|next"
    r"|until|once)\b.{0,60}?\b(?:I|I'm|I've|my|we)\b",
    re.IGNORECASE,
)
# First person, and yet about this conversation only.
_PASSING = re.compile(
    r"(?:i|we)(?:'d| would)?\s+(?:"
    r"(?:want|need|like|love)\s+(?:to\s+(?:know|ask|see|find|learn|understand|hear)|help|you|it|this|that|them)\b"
    r"|(?:wonder|mean|see|agree|guess|hope)\b|(?:have|had)\s+(?:a|another|one)\s+question\b"
    r"|(?:do not|don't)\s+(?:know|understand|get)\b|am\s+(?:wondering|asking|looking for)\b)"
    r"|i'm\s+(?:wondering|asking|looking for|sorry|not sure)\b",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"(?:please|let's|let us|do not|don't|add|answer|book|buy|calculate|call|cancel|change|check|compare|compute"
    r"|continue|convert|correct|create|define|delete|describe|draft|draw|explain|find|fix|forget|generate|give|go|help|ignore"
    r"|improve|list|look|make|open|order|plan|play|print|proofread|read|recommend|remind|remove|repeat|rewrite|run|say"
    r"|schedule|search|send|set|shorten|show|start|stop|suggest|summari[sz]e|tell|test|translate|try|turn|update|use"
    r"|write)\b(?!\s+(?:is|are|was|were|has)\b)",
    re.IGNORECASE,
)
_SMALL_TALK = re.compile(
    r"(?:thanks?|thank you|great|nice|cool|perfect|awesome|wow|good (?:morning|afternoon|evening|night|day|job|idea|one"
    r"|point)|bye|goodbye|see you|cheers|welcome|sorry|never ?mind|that(?:'s| is| was) (?:great|nice|cool|good|right"
    r"|wrong|all|it)|that helps|sounds good|got it|of course|sure|you(?:'re| are)?)\b",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(?:is|isn't|are|aren't|was|wasn't|were|be|been|has|hasn't|have|had|will|won't|would|can|can't|could|must|should"
    r"|shall|may|might|do|does|doesn't|did|didn't|[a-z]{3,}ed|lives?|works?|likes?|loves?|hates?|wants?|needs?|goes|comes"
    r"|makes|takes|costs|opens|closes|starts|ends|begins|means|says|stands|lies|hangs|belongs|keeps|holds|uses|eats|drinks"
    r"|plays|went|came|made|took|got|said|told|bought|sold|lost|found|met|broke|left)\b|\w's\s",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_NEGATION = re.compile(
    r"\b(?:not|never|no|cannot|without|hardly|stopped|quit|hate|hates|dislike|dislikes)\b|n't\b", re.IGNORECASE
)
_RELATIVE = re.compile(
    r"\b(?:my|our)\s+(?:\w+\s+)?(sister|brother|mother|father|mum|mom|dad|wife|husband|partner|boyfriend|girlfriend"
    r"|friend|boss|manager|colleague|neighbou?r|son|daughter|child|kid|parent|cousin|uncle|aunt|dog|cat|team)s?\b",
    re.IGNORECASE,
)
# A fact may use these without the message doing so.
_FREE = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been by called does for from had has have he her his i in is it its me my no not of on "
        "or our over own owns person s she that the their they to user users was were who with",
    )
)
# A fact's verb needs a word of the same kind: "I'm Ada" supports "Name is Ada", "My sister" does not "Lives in Sister".
_KINDS = {
    "name": "name named called call am i'm",
    "like": "like love enjoy adore fan fond prefer favourite favorite",
    "prefer": "prefer rather like love favourite favorite",
    "love": "love like enjoy adore",
    "live": "live moved move based home reside stay settled",
    "location": "live moved move based home reside",
    "work": "work job employed career am i'm",
    "use": "use using run have",
}


def statements(message: str) -> list[str]:
    """The sentences of a message that are no questions, as they were written.

    Example:
        >>> statements("My name is Ada, and I like tea. What is yours?")
        ['My name is Ada, and I like tea.']
    """
    text = message[:_LONGEST_MESSAGE].replace("\u2019", "'")
    found = (sentence.strip() for sentence in _SENTENCE.findall(text))
    return [sentence for sentence in found if _WORD.search(sentence) and not is_question(sentence)]


def questions(message: str) -> int:
    """How many of a message's sentences ask.

    Example:
        >>> questions("I like tea. Do you? What is your name?")
        2
    """
    text = message[:_LONGEST_MESSAGE].replace("\u2019", "'")
    return sum(bool(_WORD.search(sentence)) and is_question(sentence.strip()) for sentence in _SENTENCE.findall(text))


def says_something(sentence: str) -> bool:
    """Whether a sentence that is no question states something, about whatever: no request, no thanks, no keywords.

    Example:
        >>> says_something("The boiler code is 4711"), says_something("boiler code"), says_something("Show the code")
        (True, False, False)
    """
    text = _without_lead(sentence)
    if asked := _REMEMBER.match(text):
        return len(_WORD.findall(text[asked.end() :])) > 1
    if _REQUEST.match(text) or _SMALL_TALK.match(text) or _PASSING.match(text):
        return False
    return len(_WORD.findall(text)) > 2 and bool(_VERB.search(text) or text.rstrip().endswith((".", "!")))


def is_question(sentence: str) -> bool:
    """Whether a sentence asks rather than states.

    Example:
        >>> is_question("where do I live"), is_question("When I was six I lived in Rome.")
        (True, False)
    """
    text = _without_lead(sentence)
    return text.rstrip("\"') ").endswith("?") or _QUESTION.match(text) is not None


def clauses(message: str) -> list[str]:
    """The clauses of a message that could state something: its statements, cut before `and I`.

    Example:
        >>> clauses("My name is Ada, and I like tea. What is yours?")
        ['My name is Ada', 'I like tea']
    """
    parts = (part for sentence in statements(message) for part in _CLAUSE.split(sentence))
    return [clause for part in parts if _WORD.search(clause := part.strip().rstrip(".!;, "))]


def is_about_writer(clause: str) -> bool:
    """Whether a clause states something about its writer that is worth keeping, by its form.

    Example:
        >>> is_about_writer("I have a dog"), is_about_writer("Explain my results"), is_about_writer("I wonder why")
        (True, False, False)
    """
    text = _without_lead(clause)
    if asked := _REMEMBER.match(text):
        return len(_WORD.findall(text[asked.end() :])) > 1
    if _PASSING.match(text):
        return False
    return len(_WORD.findall(text)) > 1 and bool(_SUBJECT_IS_WRITER.match(text) or _SCENE_THEN_WRITER.match(text))


def supports(clause: str, fact: str) -> bool:
    """Whether a clause holds the evidence for a fact: its content words, the same polarity, and the same person.

    Example:
        >>> supports("I like tea", "Likes tea"), supports("I like tea", "Lives in Porto")
        (True, False)
        >>> supports("I don't like tea", "Likes tea"), supports("My sister likes tea", "Likes tea")
        (False, False)
    """
    given = _words(clause)
    kinds = {word: _kind(word) for word in _words(fact) if word not in _FREE}
    if all(kinds.values()):
        return False  # "Likes" alone says nothing
    for word, kind in kinds.items():
        if not any(_same(accepted, other) for accepted in (word, *kind) for other in given):
            return False
    if bool(_NEGATION.search(clause)) != bool(_NEGATION.search(fact)):
        return False
    relative = _RELATIVE.search(clause)
    return relative is None or any(_same(relative[1].lower(), word) for word in _words(fact))


def mentions_writer(clause: str) -> bool:
    """Whether a clause speaks of its writer at all, or asks to be remembered: the rest is not worth a model's time.

    Example:
        >>> mentions_writer("Tea keeps me awake"), mentions_writer("Explain the write-ahead log")
        (True, False)
    """
    return bool(_WRITER.search(clause) or _REMEMBER.match(_without_lead(clause)))


def _without_lead(text: str) -> str:
    """The text without greetings and fillers at its beginning."""
    lead = _LEAD.match(text)
    return text[lead.end() :] if lead else text


def _words(text: str) -> list[str]:
    words = _WORD.findall(text.replace("\u2019", "'").casefold())
    return [*words, "i'm"] if "i'm" in text.replace("\u2019", "'").casefold() else words


def _kind(word: str) -> list[str]:
    """Words that bear a fact's verb out; empty where the word is no such verb."""
    return next((accepted.split() for verb, accepted in _KINDS.items() if _same(verb, word)), [])


def _same(left: str, right: str) -> bool:
    """Equal, or inflections of one word: a common beginning of four letters and at most three letters after it."""
    if left == right:
        return True
    if left.isdigit() or right.isdigit():
        return False
    shorter, longer = sorted((left, right), key=len)
    stem = shorter.rstrip("e") if len(shorter) > 3 else shorter
    if len(stem) < 3 or not longer.startswith(stem):
        return False
    return longer[len(stem) :] in {"", "s", "es", "d", "ed", "ing", "er", "e", "ly"}
