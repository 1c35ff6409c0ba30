"""Evidence recall: how many of the turns that answer a question `RecallMemory` finds, beside BM25 over the same texts.

The data are conversations of LoCoMo (Maharana et al., ACL 2024): `turns.jsonl` and `questions.jsonl`. Each turn is one
memory, `speaker: text`, stored as it stands; each conversation is a user of their own, all in one store. A question's
recall is the share of the turns that hold its evidence among the first ten. The mean is over all questions that have
evidence, of every category; the adversarial ones, which ask of one speaker what the other said, have theirs too.
"""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Bm25", "Conversation", "evidence_recall", "read_conversations"]

LIMIT = 10


@dataclass(frozen=True)
class Conversation:
    """Turns in their order, and questions with the texts that hold their evidence."""

    name: str
    turns: list[dict[str, Any]]
    """As in the file, with `memory`, the text that is stored."""
    questions: list[tuple[str, str, frozenset[str]]]
    """Question, category, evidence."""

    def entries(self) -> list[dict[str, Any]]:
        """The turns for `LongTermMemory.restore`, as if the last session had ended yesterday."""
        dates = [datetime.strptime(turn["date"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC) for turn in self.turns]
        shift = datetime.now(UTC) - timedelta(days=1) - max(dates)
        return [
            {
                "text": turn["memory"],
                "created_at": (date + shift + timedelta(seconds=number)).isoformat(),
                "session_id": f"session-{turn['session']}",
            }
            for number, (turn, date) in enumerate(zip(self.turns, dates, strict=True))
        ]


def read_conversations(folder: Path) -> list[Conversation]:
    """The conversations of a folder, or of its folder `memory`."""
    folder = folder if (folder / "turns.jsonl").exists() else folder / "memory"
    turns: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in (folder / "turns.jsonl").read_text("utf-8").splitlines():
        turn = json.loads(line)
        turns[turn["conv"]].append({**turn, "memory": " ".join(f"{turn['speaker']}: {turn['text']}".split())})
    questions: dict[str, list[tuple[str, str, frozenset[str]]]] = defaultdict(list)
    for line in (folder / "questions.jsonl").read_text("utf-8").splitlines():
        asked = json.loads(line)
        texts = {turn["id"]: turn["memory"] for turn in turns[asked["conv"]]}
        evidence = frozenset(texts[one] for one in asked["evidence"] if one in texts)
        if evidence:
            questions[asked["conv"]].append((asked["question"], asked["category_name"], evidence))
    return [Conversation(name, turns[name], questions[name]) for name in turns]


class Bm25:
    """BM25 over texts (Robertson and Zaragoza, 2009), k1 = 1.5 and b = 0.75, with stop words and Snowball's stemmer.

    Stop words and stems are those of the engine that the memory uses, so that the rankings alone differ.
    """

    def __init__(self, texts: Sequence[str], k1: float = 1.5, b: float = 0.75) -> None:
        from qdrant_edge import Bm25 as Tokens

        self._tokens = Tokens()
        counts = [Counter(self._split(text)) for text in texts]
        lengths = np.array([count.total() for count in counts])
        norm = k1 * (1 - b + b * lengths / lengths.mean())
        frequencies = Counter(word for count in counts for word in count)
        self._weights: dict[int, Any] = {}
        for word, frequency in frequencies.items():
            idf = math.log(1 + (len(texts) - frequency + 0.5) / (frequency + 0.5))
            times = np.array([count[word] for count in counts])
            self._weights[word] = idf * times * (k1 + 1) / (times + norm)
        self._size = len(texts)

    def _split(self, text: str) -> list[int]:
        return [number for word in text.split() for number in self._tokens.embed_query(word).indices]

    def best(self, query: str, limit: int) -> list[int]:
        """Places of the best texts."""
        scores = np.zeros(self._size)
        for word in self._split(query):
            scores += self._weights.get(word, 0.0)
        return np.argsort(-scores, kind="stable")[:limit].tolist()


def evidence_recall(folder: str, quick: bool) -> dict[str, float]:
    """Mean evidence recall@10: `freehold`, `bm25`, and each by category and conversation."""
    conversations = read_conversations(Path(folder))
    if quick:
        first = conversations[0]
        conversations = [Conversation(first.name, first.turns, first.questions[::2])]
    return asyncio.run(_measure(conversations))


async def _measure(conversations: Sequence[Conversation]) -> dict[str, float]:
    from langgraph.runtime import Runtime

    from freehold import Context, Workspace
    from freehold.nodes import RecallMemory

    found: dict[str, list[float]] = defaultdict(list)

    def count(ranking: str, conversation: str, category: str, share: float) -> None:
        for key in (ranking, f"{ranking} {category}", f"{ranking} conversation {conversation}"):
            found[key].append(share)

    with tempfile.TemporaryDirectory() as home, Workspace(home) as workspace:
        node = RecallMemory(workspace.memory, limit=LIMIT)
        for one in conversations:
            await workspace.memory.restore(one.entries(), Context(user_id=f"user-{one.name}"))
        for one in conversations:
            texts = [turn["memory"] for turn in one.turns]
            bm25 = Bm25(texts)
            runtime = Runtime(context=Context(user_id=f"user-{one.name}"))
            for question, category, evidence in one.questions:
                update = await node.acall({"messages": [("user", question)]}, runtime)
                recalled = {memory["text"] for memory in update["memories"]}
                count("freehold", one.name, category, len(evidence & recalled) / len(evidence))
                best = {texts[place] for place in bm25.best(question, LIMIT)}
                count("bm25", one.name, category, len(evidence & best) / len(evidence))
    return {key: float(np.mean(shares)) for key, shares in sorted(found.items())}
