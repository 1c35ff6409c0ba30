"""`freehold cache`, as the owner of a workspace or a program runs it."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from freehold.cache import CachedAnswer, ResponseCache, Situation
from freehold.coordination import EncryptedStore, SQLiteLedger, SQLiteStore
from freehold.portal import run_sync
from tests.cli.running import Ended, Run, runner
from tests.conftest import QUESTION

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `freehold` in this process, in a folder of its own."""
    return runner(monkeypatch, capsys, tmp_path)


@pytest.fixture
def kept(run: Run, tmp_path: Path) -> Run:
    """A workspace with three answers in its cache, the last one used twice."""
    answers = {
        "What is first?": "One.",
        "What is second?": "Two [bold]quokkas[/] :tea:",
        "What is third?": "Three. " * 30,
    }
    cache = ResponseCache(
        SQLiteStore(tmp_path / "home" / "cache.sqlite"),
        None,
        ledger=SQLiteLedger(tmp_path / "home" / "cache.sqlite"),
        recheck_seconds=-1,
    )
    here = Situation(model="m", user_id="ada")
    for question, answer in answers.items():
        whole = CachedAnswer(question, answer, model="demo", route="documents", sources={"a.md": "1"}, tokens=70)
        assert run_sync(cache.store(question, here, whole))
    for _ in range(2):
        assert run_sync(cache.lookup("What is third?", here)).outcome == "hit"
    cache.close()
    return run


def parsed(ended: Ended) -> Any:
    """The one JSON object that a command printed, by the letter of the standard."""

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    assert ended.code == 0
    assert ended.out.count("\n") == 1
    return json.loads(ended.out, parse_constant=refuse)


def ids(run: Run, *options: str) -> dict[str, str]:
    """Ids by question, the most recently used first."""
    return {entry["question"]: entry["id"] for entry in parsed(run("cache", "list", "--json", *options))["entries"]}


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Somebody sits at the terminal and types this."""
    typed = io.StringIO(answer)
    typed.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", typed)


def mistake(ended: Ended) -> str:
    """The one plain message on standard error of a command that the user can mend."""
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("freehold: ")
    assert ended.err.count("\n") == 1
    return ended.err.strip()


# --- from a question to a report --------------------------------------------------------------------------------------


def test_a_wrong_answer_is_found_and_taken_out_of_service(run: Run, ingested: Path, tmp_path: Path) -> None:
    """Protects the owner's whole way: ask, ask again, look, mark as wrong, ask, mark as right, ask, report, clear."""
    shutil.copytree(ingested, tmp_path / "home")

    def ask() -> dict[str, Any]:
        cache: dict[str, Any] = parsed(run("ask", QUESTION, "--json", "--user", "ada"))["cache"]
        return cache

    assert ask()["outcome"] == "miss"
    assert ask()["tier"] == "exact"
    ((question, name),) = ids(run).items()
    assert question == QUESTION
    shown = parsed(run("cache", "inspect", name[:6], "--json"))
    assert (shown["id"], shown["wrong"], shown["uses"], shown["model"]) == (name, False, 1, "freehold-demo")
    assert [Path(source).name for source in shown["sources"]] == ["boiler.md"]
    assert shown["tokens"] > 20

    told = run("cache", "mark", name, "--wrong")
    assert (told.code, told.told) == (0, f"The answer to {QUESTION!r} is served to nobody any more.")
    assert ask()["outcome"] == "miss"
    assert ids(run, "--wrong") == {QUESTION: name}  # the model says the same again, which is not kept
    assert parsed(run("cache", "mark", name[:8], "--right", "--json")) == {"id": name, "wrong": False}
    assert (ask()["tier"], ids(run, "--wrong")) == ("exact", {})

    stats = parsed(run("cache", "stats", "--json"))
    assert (stats["requests"], stats["hits"]["exact"], stats["hit_rate"]) == (4, 2, 0.5)
    report = parsed(run("cache", "report", "--json"))
    assert (report["requests"], report["misses"], report["reported_wrong"]) == (4, 2, 1)
    assert report["tokens_saved"] == 2 * shown["tokens"]
    assert report["seconds_saved"] > 0
    assert parsed(run("cache", "clear", "--yes", "--json"))["erased"] == 1
    assert parsed(run("cache", "stats", "--json"))["requests"] == 0
    assert ids(run) == {}


# --- looking ----------------------------------------------------------------------------------------------------------


def test_stats_tell_what_is_kept_and_how(kept: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the first look: how many answers, where, served by which rule, and how often."""
    assert parsed(kept("cache", "stats", "--json")) == {
        "entries": 3,
        "most_entries": 10_000,
        "store": "sqlite",
        "encrypted": False,
        "strategy": "verified",
        "max_error": 0.02,
        "scope": "user",
        "requests": 2,
        "hits": {"memory": 0, "exact": 2, "semantic": 0, "flight": 0},
        "hit_rate": 1.0,
    }
    told = kept("cache", "stats").told
    assert "3 entries of at most 10,000, in sqlite; strategy verified, at most 2.0% wrong; scope user." in told
    assert "2 requests, 100.0% answered from the cache (0 memory, 2 exact, 0 semantic, 0 flight)." in told
    monkeypatch.setenv("FREEHOLD_CACHE_STRATEGY", "exact")
    assert "strategy exact; scope user." in kept("cache", "stats").told
    assert parsed(kept("cache", "report", "--json"))["max_error"] is None


def test_the_list_shows_what_was_used_last_first(kept: Run) -> None:
    """Protects finding an answer: id, uses, times, question and the beginning of the answer, as they were written."""
    assert [*ids(kept)] == ["What is third?", "What is second?", "What is first?"]
    assert [*ids(kept, "--limit", "1")] == ["What is third?"]
    entries = parsed(kept("cache", "list", "--json"))["entries"]
    assert {*entries[0]} == {"id", "question", "answer", "wrong", "uses", "used_at", "expires_at"}
    assert [entry["uses"] for entry in entries] == [2, 0, 0]
    assert entries[0]["used_at"] < entries[0]["expires_at"]
    assert entries[0]["answer"] == "Three. " * 30
    told = kept("cache", "list").told
    assert "id used last expires question answer" in told
    assert "What is second? Two [bold]quokkas[/] :tea:" in told
    assert "What is third? Three. Three." in told
    assert "..." in told
    assert kept("cache", "list", "--wrong").told == "The cache holds no such answer."


def test_an_answer_is_shown_whole(kept: Run) -> None:
    """Protects judging an answer: all of it, where it comes from, what it cost and how it was used."""
    names = ids(kept)
    told = kept("cache", "inspect", names["What is second?"][:5]).told
    for part in (
        names["What is second?"],
        "question What is second?",
        "answer Two [bold]quokkas[/] :tea:",
        "state served",
        "model demo",
        "route documents",
        "used 0 times",
        "expires in 7 d",
        "documents a.md",
        "compared 0 times with answers to other questions, 0 the same",
        "took 0.00 s, 70 tokens",
    ):
        assert part in told
    shown = parsed(kept("cache", "inspect", names["What is third?"], "--json"))
    assert shown["answer"] == "Three. " * 30
    assert (shown["uses"], shown["compared"], shown["same"], shown["sources"]) == (2, 0, 0, {"a.md": "1"})
    assert parsed(kept("cache", "inspect", shown["key"], "--json"))["id"] == shown["id"]


def test_the_report_of_an_empty_cache(run: Run) -> None:
    """Protects the first look of a newcomer: nothing was asked, and every figure is there and is none."""
    report = parsed(run("cache", "report", "--json"))
    assert (report["requests"], report["hit_rate"], report["max_error"]) == (0, 0.0, 0.02)
    assert report["lookup_seconds"] == {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    told = run("cache", "report").told
    assert "requests 0 answered from the cache 0.0%" in told
    assert "no semantic hit was checked yet" in told
    assert run("cache", "list").told == "The cache holds no answers."
    assert "0 entries of at most 10,000" in run("cache", "stats").told


def test_the_report_tells_shares_with_their_doubt(run: Run, tmp_path: Path) -> None:
    """Protects the figure that matters: how many answers were wrong, how sure that is, and what the bound is.

    Lookups above the largest bucket are told as such, and JSON has no number for them.
    """
    ledger = SQLiteLedger(tmp_path / "home" / "cache.sqlite")
    counts = {"lookup.hit.semantic": 50, "lookup.miss": 50, "checked": 20, "checked.wrong": 1, "explored": 4}
    run_sync(ledger.add({**counts, "explored.wrong": 3, "latency.inf": 60, "latency.0.001": 40, "bound.risked": 1.25}))
    run_sync(ledger.close())
    report = parsed(run("cache", "report", "--json"))
    wrong = report["wrong_of_all_requests"]
    assert (wrong["value"], wrong["wrong"], wrong["of"]) == (pytest.approx(0.025), 1, 20)
    assert wrong["low_95"] < 0.025 < wrong["high_95"] < 0.5
    assert report["wrong_of_checked_hits"]["value"] == pytest.approx(0.05)
    assert report["wrong_of_explored"] | {"low_95": 0, "high_95": 0} == {
        "value": 0.75, "low_95": 0, "high_95": 0, "wrong": 3, "of": 4,
    }  # fmt: skip
    assert report["lookup_seconds"] == {"p50": None, "p95": None, "p99": None}
    told = run("cache", "report").told
    assert "2.50% of all requests; with a confidence of 95 %" in told
    assert "1 of 20 checked hits were wrong; the bound is 2.0%" in told
    assert "75% of them would have been wrong" in told
    assert "expected when served 1.2 answers" in told


# --- changing ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_marked_and_only_that(kept: Run) -> None:
    """Protects the other answers, and a second thought; marking twice is marking once."""
    names = ids(kept)
    for _ in range(2):
        assert parsed(kept("cache", "mark", names["What is first?"], "--wrong", "--json"))["wrong"] is True
    assert [*ids(kept, "--wrong")] == ["What is first?"]
    assert "(reported wrong)" in kept("cache", "list").told
    assert "One." not in kept("cache", "list").told
    assert "state reported wrong, served to nobody" in kept("cache", "inspect", names["What is first?"]).told
    assert kept("cache", "mark", names["What is first?"], "--right").told.endswith("is served again.")
    assert ids(kept, "--wrong") == {}
    assert len(ids(kept)) == 3


def test_clearing_asks_first(kept: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a cache from a slip: no, or nobody to ask, erases nothing; yes says how many went."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert "nobody is there to be asked. Give --yes." in mistake(kept("cache", "clear"))
    answering(monkeypatch, "n\n")
    refused = kept("cache", "clear")
    assert (refused.code, "Erase 3 cached answers for good?" in refused.err) == (1, True)
    assert len(ids(kept)) == 3
    answering(monkeypatch, "y\n")
    ended = kept("cache", "clear")
    assert (ended.code, ended.out.strip()) == (0, "3 cached answers erased.")
    assert (ids(kept), parsed(kept("cache", "stats", "--json"))["requests"]) == ({}, 0)
    assert kept("cache", "clear", "--yes").told == "0 cached answers erased."


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("inspect",), ("inspect", "--json"), ("mark", "--wrong")])
def test_a_name_that_fits_no_answer_is_told(kept: Run, command: tuple[str, ...]) -> None:
    """Protects from a silent miss: what is not there, and what is nothing, is one message that says where to look."""
    for name in ("zzz", "", "0.zzz"):
        told = mistake(kept("cache", *command, name))
        assert f"The cache holds no answer {name!r}; `freehold cache list` shows those there are." in told


def test_a_name_that_fits_several_is_told(run: Run, tmp_path: Path) -> None:
    """Protects from marking another answer: a beginning that several ids share is none of them."""
    cache = ResponseCache(SQLiteStore(tmp_path / "home" / "cache.sqlite"), None)
    for number in range(40):
        run_sync(cache.store(f"Which is {number}?", Situation(model="m"), CachedAnswer(f"Which is {number}?", "One.")))
    cache.close()
    names = [*ids(run, "--limit", "100").values()]
    shared = next(name[0] for name in names if sum(other[0] == name[0] for other in names) > 1)
    fitting = sum(name[0] == shared for name in names)
    told = mistake(run("cache", "mark", shared, "--wrong"))
    assert f"{fitting} answers have ids that begin with {shared!r}; `freehold cache list` shows those" in told
    assert ids(run, "--wrong") == {}


def test_missing_options_are_told(kept: Run) -> None:
    """Protects from guessing: which way to mark, which entry, and how many are the user's to say."""
    name = next(iter(ids(kept).values()))
    assert mistake(kept("cache", "mark", name)) == "freehold: Say which: --wrong or --right."
    for arguments in (("mark", "--wrong"), ("inspect",), ("list", "--limit", "0"), ("nothing",)):
        ended = kept("cache", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert "Traceback" not in ended.err
    assert ids(kept, "--wrong") == {}


def test_a_store_that_does_not_answer_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the owner from an empty list where nothing could be read: one message, and another exit code."""
    monkeypatch.setenv("FREEHOLD_REDIS_URL", "redis://127.0.0.1:9")
    for command in ("stats", "list", "report", "clear"):
        ended = run("cache", command, *["--yes"] * (command == "clear"))
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("freehold: StorageError: ")
        assert "Traceback" not in ended.err


def test_encrypted_answers_are_shown_to_who_has_the_key(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects who encrypts: the owner with the key sees the answers, and without it there are none."""
    store = EncryptedStore(SQLiteStore(tmp_path / "home" / "cache.sqlite"), KEY)
    cache = ResponseCache(store, None)
    run_sync(cache.store(QUESTION, Situation(model="m"), CachedAnswer(QUESTION, "Behind the panel.")))
    cache.close()
    assert ids(run) == {}
    monkeypatch.setenv("FREEHOLD_CACHE_ENCRYPTION_KEY", KEY)
    assert [*ids(run)] == [QUESTION]
    assert ", encrypted;" in run("cache", "stats").told


def test_odd_text_is_shown(run: Run, tmp_path: Path) -> None:
    """Protects the list from one odd question: half of a surrogate pair, as arguments that are no UTF-8 bring it."""
    cache = ResponseCache(SQLiteStore(tmp_path / "home" / "cache.sqlite"), None)
    question = "Where is caf\udce9 \U0001f375?"
    run_sync(
        cache.store(question, Situation(model="m"), CachedAnswer(question, "Here \ud800.", sources={"\udcff": ""}))
    )
    cache.close()
    for options in ((), ("--json",)):
        assert run("cache", "list", *options).code == 0
        (name,) = ids(run).values()
        assert run("cache", "inspect", name, *options).code == 0
        assert run("cache", "mark", name, "--wrong", *options).code == 0
