"""Whether a question leans on what was said before, so that its words alone do not say what is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["leans_on"]

_APOSTROPHES = str.maketrans({"\u2019": "'"})

# Said at any time: these continue something, also where nothing stands before them in this thread.
_CONTINUES = re.compile(
    r"^(?:and|but|or|so|then|also|plus|what about|how about|same for|now (?:do|for|with|in)"
    r"|ok(?:ay)?,? (?:and|but|so|now))\b"
    r"|^(?:why|how|how so|how come|why not|when|where|who|which|which one|what|what else|anything else|really|more"
    r"|yes|no|go on|continue|please continue|tell me more|more please|explain|elaborate|try again|say that again|next"
    r"|the (?:first|second|third|last|next|other|former|latter|same)(?: ones?)?)$"
    r"|\bthe (?:first|second|third|fourth|last|next|previous|other|former|latter) ones?\b"
    r"|\b(?:as (?:you|i) (?:said|mentioned|told|wrote|asked)|you (?:just |already )?(?:said|mentioned|told me|wrote)"
    r"|your (?:last|previous|first|second) (?:answer|reply|point|message|suggestion)"
    r"|my (?:last|previous|first) (?:question|message)|mentioned (?:above|before|earlier)|(?:from|see) above)\b"
)

# Pronouns and the like, which may stand for something of an earlier turn.
_STANDS_FOR = re.compile(
    r"\b(?:it|it's|itself|they|they're|them|theirs|he|he's|him|she|she's|hers|this|that|that's|these|those|such|there"
    r"|then|ones?|another|others?|else|instead|too|again|same|the (?:rest|above|former|latter))\b"
    r"|\bthe (?:two|three|four|five)$|\b(?:both|more)(?: please)?$"
    r"|\b(?:point|step|item|option|number|part|paragraph|line|example|reason|answer|question)s? (?:\d+|one|two|three)\b"
    r"|\bthe (?:first|second|third|fourth|fifth|last|next|previous|\d+(?:st|nd|rd|th)) (?:point|step|item|option|part"
    r"|paragraph|sentence|line|example|reason|answer|question|suggestion)\b"
)
# What is to be done with the last answer, or about what it was about; the rest of such a message is short.
_CLIPPED = re.compile(
    r"^(?:(?:please|can you|could you|now) )*(?:translate|convert|rewrite|rephrase|reword|shorten|simplify|summari[sz]e"
    r"|reformat|expand|paraphrase|improve|give|show|list|try|in|for|with|without|on|at|from|to|by|since|until|during"
    r"|under|after|before|of|via|using)\b"
)
# "Rewrite in a friendlier tone", and not "Rewrite 'we was there' correctly".
_REWORKS = re.compile(
    r"^(?:(?:please|can you|could you|now) )*(?:translate|rewrite|rephrase|reword|shorten|simplify|summari[sz]e"
    r"|reformat|expand|paraphrase|improve)\b(?!.*[\"':\u201c])"
)
_OWNS = re.compile(r"\b(?:its|their|his|her)\b")
# "What is it like to ...", "Is it safe to ...", "How long does it take to ...", and not "Is it safe for children?".
_EMPTY_IT = re.compile(
    r"\bit (?:rain|snow)|\bit(?:'s)? (?:is |was |be |would be |really |still |even |too )*"
    r"(?:like|feels? like|take|takes|took|cost|costs|mean|means|possible|necessary|safe|legal|illegal|worth"
    r"|ok|okay|good|bad|better|best|easy|hard|difficult|normal|true|important|wrong|right|healthy|dangerous|rude|common"
    r"|allowed|advisable|cheaper|[a-z]+(?:able|ible))(?: that\b|(?= (?:to|if|when|for (?:[a-z']+ ){1,4}to)\b))"
)
# "The books that I read", "Is there a limit?".
_RELATIVE = re.compile(
    r"(?<=[a-z]) that (?=(?:i|you|we|they|he|she|it|people|is|are|was|were|can|will|has|have|would|could|should|do|does"
    r"|did|don't|never|[a-z]+s)\b)|(?<=[a-z]) (?:are|is) there\b|^(?:is|are|was|were|will|would|can|could) there\b"
)
_NO_NOUN = re.compile(
    r"\b(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|am|be|been|do|does|did|has|have|had|can|could"
    r"|will|would|shall|should|may|might|must|a|an|the|to|of|in|on|at|by|for|from|with|about|as|and|or|but|not|i|me|my"
    r"|you|your|we|us|our|please|into|any|some|much|many|long|far|often|old|big|there|if|so|just|also|more|most|get|make|tell|give"
    r"|show|explain|mean|work|works|say|says|know|think|use|find|go|it|its)(?:n't|'(?:s|re|d|ll|ve|m|t))?\b"
)
_WORD = re.compile(r"[^\W_]+(?:['.\-][^\W_]+)*")
_NAME = re.compile(r"(?<!^)(?<![.?!] )\b(?!I\b)[A-Z][\w.+#-]*")
_BARE = re.compile(r"^(?:why|how|when|where)(?: not)? \S+$|^what if\b")  # "Why Paris?"
_DEFINITE = re.compile(
    r"\bthe (?:(?!(?:of|in|for|to|on|at|by|from|with|about) )[a-z'-]+ ){0,2}[a-z'-]+(?: in \d+)?$"
)  # "the account", and nothing says which

# "I have a peanut allergy", "my server runs Debian", and not "How do I ...", "what I have", "is my account ...".
_SUBJECT = re.compile(
    r"(?:\b([a-z']+) )?\b(?:i|we)(?:'m|'ve|'re| (?:am|are|have|had|was|were|got|just|only|also|already|recently|never"
    r"|always|usually|currently|don't|do not|didn't|can't|cannot|live|work|use|want|need|like|prefer|hate|love|own|run"
    r"|speak|study|suffer|take|eat|drink|play|teach|moved|bought|[a-z]+ed))\b"
    r"|(?:^|[.!;:] |\band )(?:my|our) (?:[a-z'-]+ ){1,3}(?:is|are|was|were|has|have|had|runs?|uses?|[a-z]+ed)\b"
)
_NOT_TOLD = re.compile(
    r"(?:do|did|does|ca|can|could|should|shall|would|will|wo|may|might|must|am|are|is|was|were|have|had)(?:n't)?|if|when"
    r"|whenever|what|that|how|why|where|which|who|whether|until|before|after"
)
_ASKS = re.compile(
    r"^(?:(?:please|and|so|then|now|ok|okay|well|hi|hello|hey|thanks|thank you)[,.!]* )*(?:what|what's|which|who|who's"
    r"|whom|whose|when|where|why|how|how's|is|are|was|were|do|does|did|can|could|will|would|should|may|must|has|have"
    r"|had|tell|explain|list|show|give|describe|compare|find|search|look|write|name|define|help|translate|convert"
    r"|rewrite|rephrase|summari[sz]e|shorten|expand|calculate|compute|recommend|suggest|create|make|draw|generate"
    r"|outline|discuss|draft|plan|teach|check|prove|solve|count|sort|read|open|continue|repeat|go)\b"
)
_COURTESY = re.compile(
    r"^(?:(?:(?:thanks|thank you|thx)\b[^.!]*|(?:hi|hello|hey|ok|okay|great|good|perfect|cool|nice|sure|yes|no|right"
    r"|fine|got it)\b)[,.! ]*)+"
)

# What a user lays down for the rest of a conversation.
_STANDING_ORDER = re.compile(
    r"\b(?:from now on|always|never|for the rest of|call me|act as|pretend|you are (?:now |a |an |my )"
    r"|speak (?:like|in|as)|(?:answer|reply|respond|write|talk|explain)(?: to)?(?: me| us| everything| all)? "
    r"(?:in|as|like|with|only|briefly|shortly|using)|keep (?:it|your|the|answers)|in (?:english|french|german|spanish"
    r"|italian|portuguese|dutch|polish|russian|chinese|japanese|arabic|hindi) (?:from|please)"
    r"|(?:short|brief|long|simple) (?:answers|replies)|your (?:answers|replies|name)|i want you to"
    r"|(?:when|if) i (?:say|ask))\b|^(?:please )?(?:be|use|don't|do not|stop|avoid|assume|suppose|imagine|remember"
    r"|forget|ignore|let's|role-?play|play|behave)\b"
)
_FEWEST = 3
"""Words with a meaning of their own that a question in the middle of a thread needs, where it names nothing."""


def leans_on(question: str, earlier: Sequence[str] = ()) -> str | None:
    """Say why a question cannot be understood, or answered, without the turns before it; None where it stands alone.

    Rules for English. They would rather take a question for one that leans: that costs a hit, the other way round
    would be an answer to something else. Behind a turn in which the user told something, such as an allergy, every
    question leans. In the first turn of a thread only what openly continues something leans.

    Args:
        question: The newest message of the user.
        earlier: The user's earlier messages in the thread.

    Returns:
        One sentence, or None.

    Example:
        >>> leans_on("And the second one?")
        'It continues what was said before ("and").'
        >>> leans_on("What is its price?", ["Do you sell the Rover 2?"])
        'It may speak of an earlier turn ("its").'
        >>> leans_on("Where does Freehold keep its data?", ["Hello"]) is None
        True
    """
    text = " ".join(question.translate(_APOSTROPHES).split()).rstrip(" ?!.")
    if not text:
        return "It has no words."
    if found := _CONTINUES.search(text.lower()):
        return f'It continues what was said before ("{found[0].strip()}").'
    return _unclear(text, earlier) if any(message.strip() for message in earlier) else None


def _unclear(text: str, earlier: Sequence[str]) -> str | None:
    """What in a question, or in the turns before it, keeps it from being understood without them."""
    plain = _RELATIVE.sub(" ", _EMPTY_IT.sub(" ", text.lower()))
    told = [message.translate(_APOSTROPHES).strip().lower() for message in earlier]
    statements = [message for message in told if not message.endswith("?")]
    for message in statements:
        if order := _STANDING_ORDER.search(message):
            return f'An earlier turn lays down how to answer ("{order[0]}").'
    if any(map(_tells, told)):
        return "What an earlier turn told may bear on it."
    owner = _OWNS.search(plain)
    if owner and _words(plain[: owner.start()]):  # "its" behind a noun of the same question is that noun's
        owner = None
    if found := _STANDS_FOR.search(plain) or owner:
        return f'It may speak of an earlier turn ("{found[0]}").'
    clipped = _CLIPPED.search(plain) or _DEFINITE.search(plain)
    fewest = _FEWEST if clipped else 1 if _NAME.search(text) else _FEWEST - 1
    reworks = _REWORKS.search(plain) and not _NAME.search(text)
    if reworks or _BARE.search(plain) or len(_words(plain)) < fewest:
        return "It is too short to be understood without the earlier turns."
    return None


def _tells(message: str) -> bool:
    """Whether a user told something in a message, rather than asked: any later answer may depend on it."""
    if any(not _NOT_TOLD.fullmatch(found[1] or "") for found in _SUBJECT.finditer(message)):
        return True
    if message.endswith("?") or _ASKS.search(message):
        return False
    return len(_words(_COURTESY.sub("", message))) >= _FEWEST


def _words(text: str) -> list[str]:
    """The words that say what a text is about."""
    return _WORD.findall(_NO_NOUN.sub(" ", text))
