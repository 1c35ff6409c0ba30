"""Measure a demonstration model through llama.cpp, with the file's own chat template, on what it was not trained on.

python -m tools.demo_model.evaluate model.gguf held-out-chunks.jsonl [--count 150] [--show 3]

Prints one JSON object. For `quote`: `exact` is the expected sentence and number to the letter, `cited` the right
passage's number, `faithful` any sentence that stands in the passage cited. The kinds that begin with `written_` are in
handwritten.json, no template of the training behind them; their passages are those that BM25 finds. Everything else is
the share of answers that are right to the letter.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import llama_cpp

from .corpus import read_chunks
from .dialogue import Dialogue, Turn
from .examples import DOCUMENT_SYSTEM, NOT_IN_DOCUMENTS, Examples
from .facts import ACKNOWLEDGED
from .search import Bm25
from .talk import EXTRACT, PLAIN_SYSTEM

__all__ = ["main"]

_MOST_CHARACTERS = 2600  # of a prompt: about 900 tokens, of 1,024
_TABLES = re.compile(r"requirements|changes|releaselog|hlr")


def _generated(path: Path, count: int) -> list[Dialogue]:
    """Dialogues from passages, of facts, of extraction and of small talk, one of each group."""
    examples = Examples([chunk for chunk in read_chunks(path) if not _TABLES.search(chunk.source)], seed=77)
    talk = examples.talk
    out: list[Dialogue] = []
    for make, share in ((examples.documents, 1.0), (talk.recall, 0.6), (talk.extraction, 0.4), (talk.chat, 0.3)):
        made = 0
        while made < count * share:
            group = [one for one in make() if sum(len(text) for _, text in one.messages) < _MOST_CHARACTERS]
            if group:
                out.append(examples.rng.choice(group))
                made += 1
    return out


def _written(limit: int = 4) -> list[Dialogue]:
    """Natural questions on a small collection, with the passages that BM25 finds, and natural statements."""
    data = json.loads(Path(__file__).with_name("handwritten.json").read_text(encoding="utf-8"))
    texts = [" ".join(text.split()) for text in data["passages"]]
    index = Bm25(texts, common=1)
    out = []

    def add(kind: str, system: str, user: str, answer: str) -> None:
        messages: tuple[Turn, ...] = (("system", system), ("user", user))
        out.append(Dialogue(messages, answer, f"written_{kind}"))

    for question, sentence in data["questions"]:
        found = [int(number) for number in index.scores(question).argsort()[::-1][:limit]]
        context = "Context:\n" + "\n".join(f"[{place}] {texts[number]}" for place, number in enumerate(found, 1))
        place = next((place for place, number in enumerate(found, 1) if sentence and sentence in texts[number]), 0)
        kind, answer = ("quote", f"{sentence} [{place}]") if place else ("unanswerable", NOT_IN_DOCUMENTS)
        add(kind, f"{DOCUMENT_SYSTEM}\n\n{context}", question, answer)
    for statement, facts in data["statements"]:
        add("extract", EXTRACT, statement, json.dumps({"facts": facts}))
        if facts:
            add("acknowledge", PLAIN_SYSTEM, statement, ACKNOWLEDGED)
    for facts, question, answer in data["recall"]:
        add("fact", "What is known about the user:\n" + "\n".join(f"- {fact}" for fact in facts), question, answer)
    return out


def _cited(answer: str) -> str:
    found = re.findall(r"\[(\d+)\]$", answer)
    return found[0] if found else ""


def _faithful(answer: str, prompt: str) -> bool:
    """The answer, without its number, stands in the passage of that number."""
    number = _cited(answer)
    passages = re.split(r"(?:^|\n)\[(\d+)\] ", prompt)
    texts = dict(zip(passages[1::2], passages[2::2], strict=False))
    quoted = re.sub(r"\s*\[\d+\]$", "", answer)
    return bool(number) and " ".join(quoted.split()) in " ".join(texts.get(number, "").split())


def main() -> None:
    """Ask everything, greedily, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("chunks", type=Path)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--show", type=int, default=0, help="how many wrong answers of each kind to print")
    arguments = parser.parse_args()
    model = llama_cpp.Llama(str(arguments.model), n_ctx=1024, n_threads=1, n_threads_batch=1, verbose=False)
    total: Counter[str] = Counter()
    right: dict[str, Counter[str]] = defaultdict(Counter)
    for one in _generated(arguments.chunks, arguments.count) + _written():
        messages = [{"role": role, "content": content} for role, content in one.messages]
        reply = model.create_chat_completion(messages, temperature=0, max_tokens=120)
        answer = reply["choices"][0]["message"]["content"].strip()
        found = right[one.kind]
        total[one.kind] += 1
        found["exact"] += answer == one.answer
        if one.kind.endswith("quote"):
            found["cited"] += _cited(answer) == _cited(one.answer)
            found["faithful"] += _faithful(answer, "\n".join(text for _, text in one.messages))
        if answer != one.answer and total[one.kind] - found["exact"] <= arguments.show:
            print(f"{one.kind}\n  Q {one.messages[-1][1][-200:]!r}\n  A {one.answer!r}\n  M {answer!r}")
    shares: dict[str, dict[str, float]] = {}
    for kind, found in sorted(right.items()):
        shares[kind] = {name: round(count / total[kind], 3) for name, count in found.items()}
        shares[kind]["of"] = total[kind]
    print(json.dumps(shares))


if __name__ == "__main__":
    main()
