"""`freehold search`: what a question finds, and what each stage thought of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from freehold.cli.search import _condition
from freehold.errors import UserError
from tests.cli.running import Run, runner
from tests.conftest import QUESTION
from tests.inference.cross_encoder import write_cross_encoder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `freehold` in this process, in a folder of its own."""
    return runner(monkeypatch, capsys, tmp_path)


@pytest.fixture
def read(ingested: Path, tmp_path: Path) -> Path:
    """A workspace with documents at `FREEHOLD_HOME`."""
    return Path(shutil.copytree(ingested, tmp_path / "home"))


def test_the_table_shows_every_stage(run: Run, read: Path) -> None:
    """Place, scores with their ranks, what the threshold drops, where it stands and how it begins."""
    ended = run("search", QUESTION)
    assert ended.code == 0
    assert "boiler.md > Boiler > Pressure, characters" in ended.out
    assert "The boiler keeps its pressure gauge" in ended.out
    assert "#1" in ended.out
    assert "kept" in ended.out
    assert "dropped" in ended.out
    assert "passage_threshold" in ended.told
    assert "reranked" not in ended.out


def test_json_is_one_object(run: Run, read: Path) -> None:
    """A program gets the passages with rank and score by stage, best first, and as many as it asks for."""
    found = json.loads(run("search", QUESTION, "--json", "--limit", "2").out)
    assert found["question"] == QUESTION
    assert len(found["hits"]) == 2
    best = found["hits"][0]
    assert (best["dense_rank"], best["bm25_rank"], best["fused_rank"], best["rerank_score"]) == (1, 1, 1, None)
    assert best["kept"]
    assert best["passage"]["source"].endswith("boiler.md")
    assert best["passage"]["score"] == best["dense_score"]


def test_conditions_diversity_and_parents(run: Run, read: Path) -> None:
    """Conditions narrow the search together, and the other stages can be asked for."""
    sources = {
        Path(hit["passage"]["source"]).name
        for hit in json.loads(run("search", QUESTION, "--where", "heading=Network", "--json").out)["hits"]
    }
    assert sources == {"wifi.html"}
    both = ("--where", "heading=Network,Boiler > Service", "--where", "heading!=Network")
    headings = {
        hit["passage"]["heading"]
        for hit in json.loads(run("search", QUESTION, *both, "--diversity", "0.5", "--parents", "900", "--json").out)[
            "hits"
        ]
    }
    assert headings == {"Boiler > Service"}
    ended = run("search", QUESTION, "--where", "heading=Nowhere")
    assert (ended.code, ended.told) == (0, "Nothing was found.")


def test_a_reranker_has_a_column(run: Run, read: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the settings name a reranker, its scores are shown, and its threshold decides."""
    monkeypatch.setenv("FREEHOLD_RERANKER", str(write_cross_encoder(tmp_path / "cross.gguf")))
    ended = run("search", QUESTION)
    assert "reranked" in ended.out
    assert "rerank_threshold" in ended.told
    hits = json.loads(run("search", QUESTION, "--json").out)["hits"]
    assert [hit["rerank_rank"] for hit in hits] == list(range(1, len(hits) + 1))
    scores = [hit["rerank_score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_mistakes_and_empty_workspaces(run: Run, tmp_path: Path) -> None:
    """A condition that cannot be read ends with 2 and an example; an empty workspace says what to do."""
    assert "freehold ingest PATH" in run("search", "anything").told
    ended = run("search", "anything", "--where", "page")
    assert ended.code == 2
    assert "KEY=VALUE" in ended.told
    assert run("search", "anything", "--where", "page>=three").code == 2
    assert run("search", "anything", "--limit", "0").code == 2


def test_conditions_are_read_as_people_write_them() -> None:
    """Numbers, dates, lists, truth values, quoted text and values that hold signs themselves."""
    assert _condition("format=pdf") == {"format": "pdf"}
    assert _condition("page <= 3") == {"page": {"lte": 3}}
    assert _condition("modified>=2026-01-01") == {"modified": {"gte": "2026-01-01"}}
    assert _condition("format!=pdf,docx") == {"format": {"not": ["pdf", "docx"]}}
    assert _condition("draft=true") == {"draft": True}
    assert _condition('number="3"') == {"number": "3"}
    assert _condition("heading=Birds > Heron") == {"heading": "Birds > Heron"}
    assert _condition("source=a=b.md") == {"source": "a=b.md"}
    for text in ("page", "=3", ""):
        with pytest.raises(UserError, match="no condition"):
            _condition(text)
