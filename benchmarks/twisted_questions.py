"""Twisted questions: look-alikes that ask something else, and paraphrases that ask the same, made from any questions.

A semantic cache is judged by both: an answer served for a look-alike is wrong, a paraphrase refused is a hit lost. The
lists of words stand here and nowhere else: neither the cache's rules nor its models may have seen them.

    python -m benchmarks.twisted_questions --data FOLDER --show 5
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["KINDS", "Rewritten", "paraphrases", "questions", "twisted"]

KINDS = ("antonym", "negation", "number", "name", "unit", "direction", "comparative")
"""What a twist changes."""
_COUNT = 200  # pairs of a kind
_LENGTHS = range(15, 130)
_PLAIN = re.compile(r"[A-Z][A-Za-z0-9 ,'$%&-]+\?")

# "a/b" is exchanged both ways, "a>b" one way.
_ANTONYMS = """
advantages/disadvantages advantage/disadvantage gain_weight/lose_weight increase/decrease increasing/decreasing
positive/negative internal/external import/export indoor/outdoor winter/summer urban/rural strong/weak rich/poor
healthy/unhealthy happy/unhappy useful/useless solid/liquid morning/evening before/after inside/outside men/women
boys/girls boy/girl husband/wife boyfriend/girlfriend mother/father brother/sister son/daughter male/female buy>sell
introvert/extrovert introverts/extroverts selling/buying borrow>lend install/uninstall enable/disable upload/download
uploading/downloading block/unblock unfollow>follow succeed>fail success/failure strengths/weaknesses hire>fire win>lose
accept/reject encrypt/decrypt deposit/withdraw lock/unlock connect>disconnect married>single dangerous>safe good>bad
easy>difficult difficult>easy illegal/legal legally/illegally people_like>people_hate people_hate>people_love truth>lies
"""
_COMPARATIVES = """
best/worst the_most/the_least is_better/is_worse are_better/are_worse bigger/smaller older/younger highest/lowest
cheapest>most_expensive largest/smallest longest/shortest fastest/slowest richest/poorest biggest/smallest
cheaper/more_expensive oldest/youngest strongest/weakest higher/lower faster/slower easier/harder easiest/hardest
"""
_UNITS = """
kg/pounds kgs>pounds km/miles kilometers/miles cm/inches inches/centimeters meters/feet dollars/euros rupees>dollars
days/weeks weeks/months months/days hours/minutes minutes/seconds GB/MB liters/gallons lakhs/crores per_month/per_year
per_day/per_week per_hour/per_day per_week/per_month a_month>a_year grams/ounces Celsius/Fahrenheit
"""
_SYNONYMS = """
purchase/buy repairing/fixing movies/films movie/film begin>start children/kids quickly>fast get_rid_of>remove
lots_of/a_lot_of photos/pictures scared_of/afraid_of earn_money/make_money TV/television mobile_phone/cell_phone
choose>pick need_to/have_to benefits_of/advantages_of famous>well-known intelligent>smart large>big sofa>couch
What_happens_if>What_would_happen_if How_long_does_it_take/How_much_time_does_it_take any_way_to>a_way_to
Where_can_I_find/Where_do_I_find maths/math tell_if/know_if
"""
_CONTRACTIONS = """
What_is/What's Who_is/Who's Where_is/Where's How_is/How's do_not/don't does_not/doesn't is_not/isn't cannot/can't
I_am/I'm it_is/it's I've>I_have are_not/aren't did_not/didn't you_are/you're will_not/won't
"""
_OPENINGS = """
How_do_I/How_can_I How_do_I/How_to How_can_I/How_to How_do_you/How_can_you How_should_I>How_do_I
What_is_the_best_way_to/What's_the_best_way_to What_is_the_best_way_to>How_can_I_best
What_is_the_best/Which_is_the_best What_are_the_best/Which_are_the_best What_is_the_best_way_to>How_do_I
"""
_WORDS = """
country: India China Japan Germany France Canada Australia Pakistan Russia Brazil Italy Spain Mexico Israel Iran
country: Egypt Nigeria Sweden Norway Ireland Nepal Indonesia Vietnam
people: Indians Germans Canadians Australians Pakistanis Russians Italians Mexicans Americans Koreans
nationality: Indian Chinese Japanese German French Canadian Australian Pakistani Russian Brazilian Italian Korean
city: London Paris Mumbai Delhi Bangalore Chennai Hyderabad Kolkata Pune Chicago Boston Seattle Toronto Sydney Tokyo
company: Google Microsoft Apple Amazon Samsung Intel Oracle IBM Infosys TCS
network: Facebook Twitter Instagram Snapchat Pinterest LinkedIn Tumblr Reddit
language: Java Python PHP Ruby JavaScript Perl
person: Donald_Trump Barack_Obama Narendra_Modi Vladimir_Putin Albert_Einstein Steve_Jobs Bill_Gates Elon_Musk
university: Harvard Stanford MIT Yale Princeton Oxford Cambridge Cornell
game: cricket football tennis basketball hockey
thing: laptop car elephant bicycle piano horse lion book guitar motorcycle house tiger cow camera bus
profession: doctor lawyer teacher nurse pilot journalist programmer designer manager scientist writer
animals: dogs cats wolves lions sharks snakes bears tigers rats monkeys
device: iPhone Android Windows Mac Dropbox WhatsApp Gmail iPad Linux
tongue: English Hindi Spanish Japanese Tamil Arabic Latin
file: PDF Word HTML JPEG Excel XML
being: dogs cats wolves lions sharks snakes bears humans men women girls boys guys parents spiders flies bees birds
"""
_NAMED = ("country", "people", "nationality", "city", "company", "network", "language", "person", "university", "game")
_VERBS = (
    "hate|love|like|dislike|support|trust|need|fear|respect|follow|help|envy|beat|defeat|kill|eat|invade|attack|bomb|nuke"
    "|admire|prefer"
)
# Around words of the kinds named; "u" is one of the units behind the bar.
_UNIT_TEMPLATES = """
How many {u} is it from {city} to {city}?|kilometers miles
How much does an average {thing} weigh in {u}?|kilograms pounds
How much does a new {thing} cost in {u}?|dollars euros rupees yen
How tall is {person} in {u}?|feet centimeters inches
What is the average temperature in {city} in degrees {u}?|Celsius Fahrenheit
How many {u} does it take to get from {city} to {city}?|hours minutes
How much does a {profession} earn per {u} in {country}?|hour month year
"""
_DIRECTION_TEMPLATES = """
How do I convert {file} to {file}?
What is the cheapest way to travel from {city} to {city}?
How do I translate a letter from {tongue} to {tongue}?
How can I move my photos from {device} to {device}?
What do {people} think about {people}?
Why did {country} declare war on {country}?
How much does {country} export to {country}?
Can a {profession} become a {profession}?
Are {animals} afraid of {animals}?
"""


@dataclass(frozen=True)
class Rewritten:
    """A question and what was made of it."""

    kind: str
    """One of `KINDS`, or the way in which a paraphrase was made."""
    question: str
    other: str
    """The look-alike that asks something else, or the paraphrase that asks the same."""
    source: Literal["edit", "template"]
    """Whether it is an edited question, or both were built around words of the questions."""


def questions(folder: Path) -> list[str]:
    """Read the texts of `duplicate_questions/dev.jsonl` and `stream_dev.jsonl`, each once, in the alphabet's order."""
    texts: set[str] = set()
    for name in ("dev.jsonl", "stream_dev.jsonl"):
        for line in (folder / "duplicate_questions" / name).read_text("utf-8").splitlines():
            row = json.loads(line)
            texts.update([row["text"]] if "text" in row else [row["a"], row["b"]])
    return sorted(texts)


def _usable(texts: Iterable[str]) -> list[str]:
    """The plain questions of one sentence among the texts, each once, in the alphabet's order."""
    stripped = sorted({text.strip() for text in texts})
    return [text for text in stripped if len(text) in _LENGTHS and _PLAIN.fullmatch(text) and "  " not in text]


@cache
def _table(lines: str) -> list[tuple[str, str]]:
    """What is exchanged for what, both ways where a slash says so."""
    found: list[tuple[str, str]] = []
    for entry in lines.split():
        one, other = entry.replace("_", " ").replace(">", "/").split("/")
        found += [(one, other)] if ">" in entry else [(one, other), (other, one)]
    return found


@cache
def _lists() -> dict[str, list[str]]:
    """The words of each kind."""
    found: dict[str, list[str]] = {}
    for line in _WORDS.strip().splitlines():
        kind, _, words = line.partition(": ")
        found.setdefault(kind, []).extend(word.replace("_", " ") for word in words.split())
    return found


def _articles(text: str) -> str:
    """The text with "a" or "an" as the word behind wants it."""
    text = re.sub(r"\b([Aa])n (?=[bcdfghjklmnpqrstvwyzBCDGJKPQTVWYZ])", r"\1 ", text)
    return re.sub(r"\b([Aa]) (?=(?:[aeioAEIO]|un[^i])\w)", r"\1n ", text)


def _exchanged(text: str, table: Sequence[tuple[str, str]], rng: random.Random) -> str | None:
    """The text with one of its words exchanged; None where it has none, or has both already."""
    whole = r"(?<![\w'-]){}(?![\w'-])".format
    there = [(one, other) for one, other in table if one in text and re.search(whole(one), text)]
    found = [(one, other) for one, other in there if not re.search(rf"\b{other}\b", text)]
    if not found:
        return None
    one, other = rng.choice(found)
    return _articles(re.sub(whole(one), other, text, count=1))


# Where an exchanged word would not be the opposite, or leave a pronoun or a preposition that no longer fits.
_UNFIT = {
    "antonym": r"he|she|his|her|him|(?:buy|sell)\b.* (?:from|to)|(?:before|after) and|enough|win a|a women"
    r"|good (?:at|luck|will|as|thing|news|morning|for nothing)|as good|(?:look|feel) good|success (?:rate|story)"
    r"|(?:long|day) before|strong (?:acid|base)|private (?:label|part)|import(?:ed)? to|morning (?:person|wood)",
    "comparative": r"is the best|best (?:friends?|man|buddy|seller|known|case)|all the best|Best|is better to"
    r"|(?:no|any) longer|higher (?:studies|education|power)|better (?:late|than nothing)|(?:know|second|at) best"
    r"|harder than|most (?:recent|people)|lower (?:leg|back|body|abs|class|lip|eyelid|belly|case)|better and|worse and",
    "unit": r"olds?|[Cc]onvert|this|GPA|1|notes?|currency|worth|next|these|early",
}
_FIT = {
    "antonym": r"^(?:How|What|Why|Which|Where|Who|When)\b",  # a yes or no to the opposite often tells the same
    "unit": r"\d [a-zA-Z]+|\b(?:in|per|many) [a-zA-Z]+",
}
_TABLES = {"antonym": _ANTONYMS, "comparative": _COMPARATIVES, "unit": _UNITS}
_NUMBER_WORDS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBER = re.compile(
    rf"(?<![\w.,/$:'-])(?:\d{{1,4}}(?![\w./:,'-])(?! ?%)|(?:{'|'.join(_NUMBER_WORDS)})\b)",
)


def _other_number(text: str, rng: random.Random) -> str | None:
    """A number exchanged for one of the same size; a year for a year nearby."""
    found = [match for match in _NUMBER.finditer(text) if match[0] != "1" and match[0][0] != "0"]
    if not found:
        return None
    match = rng.choice(found)
    if match[0] in _NUMBER_WORDS:
        near = [word for word in _NUMBER_WORDS if word != match[0]]
    else:
        number = int(match[0])
        year = 1900 < number < 2031 and not re.search(r"\b(?:[Rr]s|INR|rupees?|notes?)\b", text)
        step = 1 if year else 10 ** (len(match[0]) - len(match[0].rstrip("0")))
        values = [number + step * shift for shift in (-3, -2, -1, 1, 2, 3, 4)]
        near = [str(value) for value in values if value > 1 and len(str(value)) == len(match[0])]
    other = rng.choice(near)
    return None if re.search(rf"\b{other}\b", text) else text[: match.start()] + other + text[match.end() :]


def _other_name(text: str, rng: random.Random) -> str | None:
    """A name exchanged for another of its kind, where it is no part of a longer name."""
    found: list[tuple[re.Match[str], list[str]]] = []
    for kind in _NAMED:
        names = _lists()[kind]
        for name in names:
            for match in re.finditer(rf"(?<![\w-]){name}(?![\w-])", text):
                before = text[: match.start()].split()
                joined = len(before) > 1 and before[-1][0].isupper()
                if not joined and not re.match(r" [A-Z0-9]", text[match.end() :]):
                    found.append((match, [other for other in names if other not in text]))
    if not found or re.search(r"\b(?:he|she|his|her|him)\b", text):
        return None
    match, others = rng.choice(found)
    return _articles(text[: match.start()] + rng.choice(others) + text[match.end() :])


_NEGATIONS = (
    (r"^Why (do|does|did|is|are|was|were|should|would|has|have) (?!not\b)", r"Why \1n't "),
    (r"^Why (do|does|did|is|are|was|were|should|would|has|have)n't ", r"Why \1 "),
    (r"^(What|Which [a-z]+|Who|Where|When) should (I|we|you|one) (?!not\b)", r"\1 should \2 not "),
    (r"^Should (I|we) (?!not\b)", r"Should \1 not "),
    (r"^(What (?:happens|would happen|will happen) (?:if|when)) (you|I|we|people) (?=[a-z])", r"\1 \2 don't "),
    (r"\bwithout (?=(?:a |an |the |my |using |having )?(?!\w+ing)[A-Za-z]+(?: [a-z]+)?\?)", "with "),
)


def _negated(text: str, rng: random.Random) -> str | None:
    """The question with a negation more, or one less."""
    found = sorted({re.sub(pattern, put, text, count=1) for pattern, put in _NEGATIONS} - {text})
    if not found or re.search(r"\b(?:not|never|no|any|yet|still|only|nobody|nothing)\b|n't.*n't", text):
        return None
    other = rng.choice(found)
    return None if other.count("n't") > 1 else other


_SWAPS = (
    r"\bfrom (?P<a>[A-Z]\w+) to (?P<b>[A-Z]\w+)\b",
    r"\b(?:convert|translate|change|turn) (?:an? )?(?P<a>\w+) (?:in)?to (?:an? )?(?P<b>\w+)\?",
    r"^What do (?P<a>[A-Z]\w+s|Chinese|Japanese) (?:people )?think (?:of|about) (?P<b>[A-Z]\w+s|Chinese|Japanese)\?",
    rf"(?:[Dd]o|[Dd]oes|[Dd]id|[Ww]ould|[Ww]ill|[Cc]an|[Cc]ould) (?P<a>[A-Za-z]+) (?:{_VERBS}) (?P<b>[A-Za-z]+)\?",
    rf" if (?P<a>[A-Z]\w+) (?:{_VERBS})(?:s|ed|d)? (?P<b>[A-Z]\w+)\?",
)
_COMPARED = r"\b(?P<a>[A-Z]\w+) (?:is |are )?(?:so |much )?(?:more \w+|better|worse|\w+er) than (?P<b>[A-Z]\w+)\?"


def _swapped(text: str, patterns: Sequence[str]) -> str | None:
    """The question with two names, or two beings, in each other's place."""
    beings = set(_lists()["being"])
    for pattern in patterns:
        match = re.search(pattern, text)
        if match is None or match["a"] == match["b"]:
            continue
        before = text[: match.start("a")].split()
        fit = all(match[part][0].isupper() or match[part] in beings or "convert" in text for part in "ab")
        if fit and match["a"] != "I" and not (len(before) > 1 and before[-1][0].isupper()):
            one, other = match.span("a"), match.span("b")
            return _articles(text[: one[0]] + match["b"] + text[one[1] : other[0]] + match["a"] + text[other[1] :])
    return None


def _edited(kind: str, text: str, rng: random.Random) -> str | None:
    """The question twisted in one way; None where it cannot be."""
    if kind in _TABLES:
        swapped = _swapped(text, [_COMPARED]) if kind == "comparative" else None
        unfit = re.search(rf"\b(?:{_UNFIT[kind]})\b", text) or not re.search(_FIT.get(kind, ""), text)
        return swapped or (None if unfit else _exchanged(text, _table(_TABLES[kind]), rng))
    if kind == "direction":
        return _swapped(text, _SWAPS)
    return {"negation": _negated, "number": _other_number, "name": _other_name}[kind](text, rng)


def _built(kind: str, texts: Sequence[str], tries: int, rng: random.Random) -> Iterator[Rewritten]:
    """Questions and their twists around words of the questions."""
    known = set(re.findall(r"[\w']+", " ".join(texts)))
    words = {slot: [word for word in found if set(word.split()) <= known] for slot, found in _lists().items()}
    templates = (_UNIT_TEMPLATES if kind == "unit" else _DIRECTION_TEMPLATES).strip().splitlines()
    for _ in range(tries):
        template, _, units = rng.choice(templates).partition("|")
        slots = re.findall(r"{([a-z]+)}", template)
        words["u"] = rng.sample(units.split(), 2) if units else []
        if any(len(words[slot]) < slots.count(slot) for slot in slots):
            continue
        chosen = {slot: rng.sample(words[slot], slots.count(slot)) for slot in sorted(set(slots))}
        first = [chosen[slot].pop() for slot in slots]
        other = {*words["u"]} - {*first}
        second = [other.pop() if slot == "u" else word for slot, word in zip(slots, first, strict=True)]
        plain = re.sub(r"{[a-z]+}", "{}", template)
        second = second if units else first[::-1]
        yield Rewritten(kind, _articles(plain.format(*first)), _articles(plain.format(*second)), "template")


def twisted(texts: Iterable[str], kind: str, count: int = _COUNT, seed: int = 0) -> list[Rewritten]:
    """Make look-alikes that ask something else.

    Args:
        texts: Questions to make them of.
        kind: One of `KINDS`.
        count: At most how many.
        seed: The same seed and questions give the same pairs.

    Example:
        >>> twisted(["How do I gain weight in 2 months?"], "number", 1)[0].question
        'How do I gain weight in 2 months?'
    """
    rng = random.Random(f"{kind} {seed}")
    usable = _usable(texts)
    made: dict[str, Rewritten] = {}
    for text in rng.sample(usable, len(usable)):
        if len(made) == count:
            break
        other = _edited(kind, text, rng)
        if other and other != text:
            made[text] = Rewritten(kind, text, other, "edit")
    if kind in {"unit", "direction"}:
        for rewritten in _built(kind, usable, 20 * count, rng):
            if len(made) < count:
                made.setdefault(rewritten.question, rewritten)
    return list(made.values())


def _slip(text: str, rng: random.Random) -> str | None:
    """Two letters inside a long word exchanged."""
    places = [match.start() + rng.randrange(2, len(match[0]) - 3) for match in re.finditer(r"\b[a-z]{7,}\b", text)]
    at = rng.choice(places) if places else 0
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :] if at else None


def _typed(text: str, rng: random.Random) -> str:
    """Other case and closing punctuation."""
    return rng.choice([text.lower(), text[:-1], text.lower()[:-1], text[:-1] + " ?", text + "?"])


_POLITE = ("Please tell me: {}", "Hi! {}", "Quick question: {}", "Hello, {}", "{} Thanks!", "{} Thank you.")
_WAYS: Mapping[str, Callable[[str, random.Random], str | None]] = {
    "case and punctuation": _typed,
    "politeness": lambda text, rng: rng.choice(_POLITE).format(text),
    "contraction": lambda text, rng: _exchanged(text, _table(_CONTRACTIONS), rng),
    "opening": lambda text, rng: _exchanged(text, _table(_OPENINGS), rng),
    "slip": _slip,
    "synonym": lambda text, rng: _exchanged(text, _table(_SYNONYMS), rng),
}


def paraphrases(texts: Iterable[str], count: int = _COUNT, seed: int = 0) -> list[Rewritten]:
    """Write questions in other words that ask the same, in about as many of each way as they give.

    Example:
        >>> len(paraphrases(["How do I gain weight?"], 1))
        1
    """
    rng = random.Random(f"paraphrase {seed}")
    usable = _usable(texts)
    used: Counter[str] = Counter()
    made: list[Rewritten] = []
    for text in rng.sample(usable, len(usable)):
        if len(made) == count:
            break
        for way in sorted(_WAYS, key=lambda way: (used[way], way)):
            other = _WAYS[way](text, rng)
            if other and other != text:
                made.append(Rewritten(way, text, other, "edit"))
                used[way] += 1
                break
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Print samples, and how many pairs of each kind the questions give."""
    parser = argparse.ArgumentParser(description="Print twisted questions and paraphrases.")
    parser.add_argument("--data", type=Path, help="folder that holds duplicate_questions/")
    parser.add_argument("--show", type=int, default=3, help="samples of each kind")
    parser.add_argument("--quick", action="store_true", help="changes nothing: it is quick")
    options = parser.parse_args(arguments)
    if options.data is None:
        parser.exit(message="Give the folder that holds duplicate_questions/: --data FOLDER.\n")
    texts = questions(options.data)
    for kind in (*KINDS, "paraphrase"):
        pairs = twisted(texts, kind) if kind in KINDS else paraphrases(texts)
        sources = Counter(pair.source for pair in pairs)
        print(f"\n{kind}: {len(pairs)} pairs, {sources['edit']} edited, {sources['template']} from templates")
        for pair in pairs[: options.show]:
            print(f"  {pair.question}  |  {pair.other}")


if __name__ == "__main__":
    main()
