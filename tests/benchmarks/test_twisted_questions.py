"""The generator of twisted questions and paraphrases."""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import twisted_questions
from benchmarks.twisted_questions import KINDS, main, paraphrases, questions, twisted

TEXTS = [
    "How do I gain weight in 2 months?",
    "Why do people love Japan so much?",
    "Is Google better than Apple?",
    "What are the best hotels in Paris?",
    "How can I convert pounds to dollars?",
    "What are the advantages of a laptop?",
    "Why did Athens attack Sparta?",
    "How many days does it take to learn piano?",
    "What is the difference between Boston and Chicago?",
    "Do you want to (really) know?",
    "I have three questions. What is the first?",
]


def one(kind: str, text: str) -> str:
    """What the text becomes."""
    return twisted([text], kind, 1)[0].other


@pytest.mark.parametrize(
    ("kind", "text", "others"),
    [
        ("antonym", "What are the advantages of a laptop?", {"What are the disadvantages of a laptop?"}),
        ("negation", "Why do people love Japan so much?", {"Why don't people love Japan so much?"}),
        ("negation", "How do I open it without a key?", {"How do I open it with a key?"}),
        ("unit", "How do I prepare within 15 days?", {f"How do I prepare within 15 {u}?" for u in ("weeks", "months")}),
        ("direction", "Why did Athens attack Sparta?", {"Why did Sparta attack Athens?"}),
        ("direction", "How do you convert cm to feet?", {"How do you convert feet to cm?"}),
        ("comparative", "Is Google better than Apple?", {"Is Apple better than Google?"}),
        ("comparative", "What are the best hotels in Paris?", {"What are the worst hotels in Paris?"}),
    ],
)
def test_twists(kind: str, text: str, others: set[str]) -> None:
    """Protects the measure: each kind changes what it says it changes, and nothing else."""
    assert one(kind, text) in others


def test_numbers_and_names_keep_their_kind() -> None:
    """Protects from twists that nobody would ask: a year stays a year, a city is exchanged for a city."""
    assert 2010 < int(one("number", "Who won the match in 2014?").removesuffix("?").split()[-1]) < 2020
    cities = twisted_questions._lists()["city"]
    assert one("name", "Is it cold in Chicago in winter?").split()[4] in set(cities) - {"Chicago"}
    assert twisted(["Is North Chicago cold?", "Who wrote about him in Chicago?"], "name") == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("antonym", "What are the advantages and disadvantages of a laptop?"),
        ("antonym", "Is this mushroom good to eat?"),
        ("comparative", "Who is your best friend in school?"),
        ("negation", "Why do people not go there?"),
        ("number", "What are the top 1 films of all time?"),
        ("unit", "Can a 2 years old child swim?"),
    ],
)
def test_what_would_not_be_another_question_is_left_alone(kind: str, text: str) -> None:
    """Protects from twists that are no twists: both words there already, idioms, a yes for a no."""
    assert [pair for pair in twisted([text], kind) if pair.source == "edit"] == []


def test_templates_are_filled_with_words_of_the_questions() -> None:
    """Protects the kinds that few questions give: what is built has words of the questions, and says so."""
    pairs = twisted(TEXTS, "direction", 5)
    built = [pair for pair in pairs if pair.source == "template"]
    assert built
    assert all({"Boston", "Chicago", "Paris"} & set(pair.question.replace("?", "").split()) for pair in built)
    assert all(sorted(pair.question) == sorted(pair.other) for pair in built)


def test_paraphrases() -> None:
    """Protects the other half of the measure: other words or case, never another number or a negation."""
    pairs = paraphrases([f"How do I learn playing the piano in {number} days?" for number in range(2, 60)], 40)
    assert len({pair.other for pair in pairs}) == len(pairs) == 40
    assert all(pair.question != pair.other for pair in pairs)
    assert all(set(filter(str.isdigit, pair.question)) == set(filter(str.isdigit, pair.other)) for pair in pairs)
    assert sum("Thank" in pair.other or "Hi!" in pair.other for pair in pairs) < len(pairs) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_pairs(kind: str) -> None:
    """Protects the comparison of two runs: the order of the texts does not matter, the seed does."""
    assert twisted(TEXTS, kind, 20) == twisted(TEXTS[::-1] * 2, kind, 20)
    assert len(twisted(TEXTS, kind, 3)) <= 3


def test_the_rules_are_not_seen() -> None:
    """Protects the measure's independence: the generator imports nothing of the package that it measures."""
    tree = ast.parse(inspect.getsource(twisted_questions))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [module for module in modules if module.startswith(("freehold", "tests"))]


def test_the_data_are_read_and_samples_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects the command: both files are read, each text once; without data it says what it needs."""
    folder = tmp_path / "duplicate_questions"
    folder.mkdir()
    rows = [{"a": one, "b": other, "same": False} for one, other in pairwise(TEXTS)]
    (folder / "dev.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "stream_dev.jsonl").write_text(json.dumps({"text": TEXTS[0], "answer": 1}))
    assert questions(tmp_path) == sorted(TEXTS)
    main(["--data", str(tmp_path), "--show", "1"])
    printed = capsys.readouterr().out
    assert all(f"{kind}: " in printed for kind in (*KINDS, "paraphrase"))
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 0
