"""A user who is forgotten is in no file of the workspace any more, and the others miss nothing."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_sdk import get_sync_client

from benchmarks.redis_server import RedisServer
from freehold import Context, Workspace
from freehold.errors import StorageError
from freehold.forgetting import Forgotten
from freehold.graphs import create_assistant
from freehold.ownership import OwnerStamp
from freehold.portal import run_sync
from tests.conftest import ROOT
from tests.graphs.test_serve import FREEHOLD
from tests.graphs.test_serve import _server as serving

ADA, BOB = Context(user_id="ada"), Context(user_id="bob")
NOTHING = Forgotten()

# One word for each place, and for each user; none stands in the documents, in Freehold's own texts, or in another's.
FACT, CACHED, LONG, LOST = "fact", "cached", "long", "lost"
WORDS = {
    "ada": {FACT: "quokka", CACHED: "zeppelin", LONG: "ocarina", LOST: "bathyscaphe"},
    "bob": {FACT: "wombat", CACHED: "dirigible", LONG: "clavichord", LOST: "trimaran"},
}


def question(user: str) -> str:
    """A question whose answer is cached; it is answered from the documents."""
    return f"Where does the boiler keep its pressure gauge, {WORDS[user][CACHED]}?"


def paraphrase(user: str) -> str:
    """The same in other words."""
    return f"Where does the boiler keep the pressure gauge, {WORDS[user][CACHED]}?"


def tell(workspace: Workspace, user: str) -> None:
    """Several threads: a fact, a cached answer, one that is long enough to be kept as keys and values, a lost one."""
    assistant = create_assistant(workspace)

    def turn(thread: str, message: str) -> dict[str, Any]:
        config: Any = {"configurable": {"thread_id": f"{user} {thread}"}}
        return assistant.invoke({"messages": [("user", message)]}, config, context=Context(user_id=user))

    word = WORDS[user]
    assert turn("facts", f"My pet is a {word[FACT]}.")["decisions"][-1]["decision"] == "saved"
    assert "stored" in {decision["decision"] for decision in turn("questions", question(user))["decisions"]}
    turn("long", f"Tell me about the {word[LONG]}. " + "Is the gate locked at sunset? " * 40)
    # A run that dies in its first node: LangGraph has stored its input already, and no node has written anything.
    broken = StateGraph(MessagesState, Context)
    broken.add_node("fail", lambda state: 1 / 0)
    broken.add_edge(START, "fail")
    with pytest.raises(ZeroDivisionError):
        broken.compile(checkpointer=workspace.checkpointer).invoke(
            {"messages": [("user", f"I lost a {word[LOST]}.")]},
            {"configurable": {"thread_id": f"{user} lost"}},
            context=Context(user_id=user),
        )


@pytest.fixture(scope="module")
def told(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed workspace that both users have talked to; tests copy it."""
    home = tmp_path_factory.mktemp("told") / "home"
    shutil.copytree(ingested, home)
    with Workspace(home) as workspace:
        for user in WORDS:
            tell(workspace, user)
    return home


@pytest.fixture
def home(told: Path, tmp_path: Path) -> Path:
    """The same, for one test."""
    return Path(shutil.copytree(told, tmp_path / "home"))


class Needles:
    """What may stand in a file of a user: words in several encodings, as tokens, and as vectors."""

    def __init__(self, user: str, workspace: Workspace) -> None:
        self.of: dict[str, set[bytes]] = {}
        for kind, word in WORDS[user].items():
            tokens = np.array(workspace.engine.tokenize(f" {word}"), dtype="<i4")
            forms = {word, word.capitalize(), word.upper()}
            texts = {form.encode(code) for form in forms for code in ("utf-8", "utf-16-le", "utf-16-be")}
            self.of[kind] = {*texts, tokens.tobytes()}
        known = run_sync(workspace.memory.list(Context(user_id=user)))
        remembered = [memory["text"] for memory in known]
        assert any(WORDS[user][FACT] in text for text in remembered)
        vectors = run_sync(workspace.embeddings.embed([*remembered, question(user)]))
        self.of["vectors"] = {vector.astype("<f4").tobytes()[64:256] for vector in vectors}
        self.of["name"] = {f"default/{user}".encode(), f"{user} facts".encode()}

    def found(self, home: Path) -> set[tuple[str, str]]:
        """Which needles stand in which part of the workspace."""
        places = set()
        for path in home.rglob("*"):
            if not path.is_file():
                continue
            # Qdrant makes its logs large at once, and the zeros at their end would only take time.
            for data in unpacked(path.read_bytes().rstrip(b"\0")):
                place = "/".join(path.relative_to(home).parts[: 2 if path.is_relative_to(home / "qdrant") else 1])
                places |= {(kind, place) for kind, forms in self.of.items() if any(form in data for form in forms)}
        return places


def unpacked(data: bytes) -> list[bytes]:
    """A file's bytes, and what is in them where all of it is compressed."""
    found = [data]
    for unpack in (gzip.decompress, zlib.decompress):
        try:
            found.append(unpack(data))
        except (OSError, EOFError, zlib.error):
            continue
    return found


EVERYWHERE = {
    (kind, place)
    for kind, places in {
        FACT: ["checkpoints.sqlite", "memory", "qdrant/memories"],
        CACHED: ["checkpoints.sqlite", "cache.sqlite", "qdrant/cache"],
        LONG: ["checkpoints.sqlite", "sequences"],
        LOST: ["checkpoints.sqlite"],
        "vectors": ["qdrant/cache", "qdrant/memories"],
        "name": ["checkpoints.sqlite", "memory", "qdrant/memories"],
    }.items()
    for place in places
}
"""Where what a user said lies before it is forgotten: without these the search would prove nothing."""


def needles(home: Path) -> dict[str, Needles]:
    """For both users; the workspace is closed again."""
    with Workspace(home) as workspace:
        return {user: Needles(user, workspace) for user in WORDS}


def has_everything(workspace: Workspace, user: str) -> bool:
    """Whether threads, cached answers of both tiers, memories and kept conversations of a user are whole."""
    context, word = Context(user_id=user), WORDS[user]
    assistant = create_assistant(workspace)
    threads = workspace.checkpointer.threads_of(f"default/{user}")
    said = [
        message.text
        for thread in threads
        for message in assistant.get_state({"configurable": {"thread_id": thread}}).values.get("messages", [])
    ]
    config: Any = {"configurable": {"thread_id": f"{user} again"}}
    found = []
    for asked in (question(user), paraphrase(user)):
        found.append(assistant.invoke({"messages": [("user", asked)]}, config, context=context)["cache"])
        workspace.checkpointer.delete_thread(f"{user} again")
    exact, near = found
    memories = run_sync(workspace.memory.search("Which pet do I have?", context))
    return (
        threads == [f"{user} {name}" for name in ("facts", "long", "lost", "questions")]
        and all(any(word[kind] in text for text in said) for kind in (FACT, CACHED, LONG))
        and exact["tier"] in ("memory", "exact")
        and near["evidence"]["question"] == question(user)  # whether it is served is up to the bound on wrong answers
        and any(word[FACT] in memory["text"] for memory in memories)
    )


@pytest.mark.slow
def test_nothing_of_a_forgotten_user_is_in_any_file(home: Path) -> None:
    """A grep for what the user said finds it in every place before, and nowhere after; another user has everything."""
    search = needles(home)
    assert search["ada"].found(home) >= EVERYWHERE
    with Workspace(home) as workspace:
        forgotten = workspace.forget(ADA)
    assert search["ada"].found(home) == set()
    assert forgotten.threads == 4
    assert forgotten.answers >= 1
    assert forgotten.memories >= 1
    # The vectors of others were normalised once more, which changes their last bits.
    assert search["bob"].found(home) >= {place for place in EVERYWHERE if place[0] != "vectors"}
    with Workspace(home) as workspace:
        assert has_everything(workspace, "bob")
        assert workspace.forget(ADA) == NOTHING
        assert workspace.forget(BOB).threads == 4
    assert search["bob"].found(home) == set()


@pytest.mark.slow
def test_what_is_open_does_not_write_it_again(home: Path) -> None:
    """Forgotten between two turns of a running process: neither its models nor its stores bring anything back."""
    search = needles(home)
    with Workspace(home) as workspace:
        workspace.forget(ADA)
        tell(workspace, "ada")
        assert has_everything(workspace, "ada")
        workspace.forget(ADA)
        assert has_everything(workspace, "bob")
    assert search["ada"].found(home) == set()


@pytest.mark.slow
def test_a_user_of_another_tenant_is_another(home: Path) -> None:
    """Names are told apart by tenant, and agents and sessions do not make another user."""
    with Workspace(home) as workspace:
        assert workspace.forget(Context(user_id="ada", tenant="other")) == NOTHING
        assert workspace.forget(Context(user_id="ada", agent_id="a", session_id="s")).threads == 4


@pytest.mark.slow
def test_conversations_that_no_thread_owns_go(home: Path) -> None:
    """A run without a checkpointer leaves keys and values, and nobody could tell whose: the next call erases them."""
    with Workspace(home) as workspace:
        config: Any = {"metadata": {"thread_id": "stray"}}
        workspace.chat_model.invoke("The umbrella is green. " * 80, config)
    kept = len(list((home / "sequences").iterdir()))
    with Workspace(home) as workspace:
        workspace.forget(Context(user_id="nobody"))
    assert len(list((home / "sequences").iterdir())) == kept - 1 == len(WORDS)


@pytest.mark.slow
def test_answers_in_redis_go_too(ingested: Path, tmp_path: Path) -> None:
    """What a shared Redis holds of the user is gone; what it holds of others stays."""
    home = Path(shutil.copytree(ingested, tmp_path / "home"))

    def held(word: str) -> bool:
        with redis.Redis.from_url(server.url) as client:
            read = {
                b"string": client.get,
                b"hash": client.hgetall,
                b"zset": lambda key: client.zrange(key, 0, -1),
                b"stream": client.xrange,
            }
            return any(word in str(read[client.type(key)](key)) for key in client.scan_iter())

    with RedisServer(tmp_path) as server, Workspace(home, redis_url=server.url) as workspace:
        for user in WORDS:
            tell(workspace, user)
        assert held(WORDS["ada"][CACHED])
        assert workspace.forget(ADA).answers >= 1
        assert not held(WORDS["ada"][CACHED])
        assert held(WORDS["bob"][CACHED])
        assert has_everything(workspace, "bob")


@pytest.mark.slow
def test_a_part_that_is_down_does_not_save_the_others(home: Path, tmp_path: Path) -> None:
    """Where Redis does not answer, the owner hears of it, and all else is erased, also what SQLite held before."""
    search = needles(home)
    with (
        Workspace(home, redis_url=f"unix://{tmp_path / 'nothing.sock'}") as workspace,
        pytest.raises(StorageError, match="Redis"),
    ):
        workspace.forget(ADA)
    assert search["ada"].found(home) == set()
    with Workspace(home) as workspace:
        assert workspace.forget(ADA) == NOTHING
        assert has_everything(workspace, "bob")


class Stamped(OwnerStamp, InMemorySaver):
    """A checkpointer of somebody else."""


class SyncOnly(Stamped):
    """One whose asynchronous half is missing, as `PostgresSaver`'s is."""

    def alist(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def adelete_thread(self, thread_id: str) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("saver", [Stamped(), SyncOnly()])
def test_threads_in_another_checkpointer(home: Path, saver: InMemorySaver) -> None:
    """With `OwnerStamp`, threads in any checkpointer are found, and their conversations erased with them."""
    with Workspace(home) as workspace:
        graph = StateGraph(MessagesState, Context)
        graph.add_node("answer", lambda state: {"messages": [AIMessage("yes")]})
        graph.add_edge(START, "answer")
        assistant = graph.compile(checkpointer=saver)
        for user in ("ada", "ada", "bob"):
            config: Any = {"configurable": {"thread_id": f"{user} elsewhere"}}
            assistant.invoke({"messages": [("user", "hello")]}, config, context=Context(user_id=user))
        assert workspace.forget(ADA, checkpointers=[saver]).threads == 5
        assert {item.config["configurable"]["thread_id"] for item in saver.list(None)} == {"bob elsewhere"}


KILLED = """
import os, signal, sys
from freehold import Context, Workspace
from freehold.portal import run_sync

home, last = sys.argv[1], int(sys.argv[2])
seen = 0

def count(event, arguments):
    global seen
    if event in ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "sqlite3.connect"):
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

with Workspace(home) as workspace:
    workspace.memory, workspace.cache, workspace.checkpointer
    run_sync(workspace.memory.list(Context(user_id="nobody")))
    sys.addaudithook(count)
    workspace.forget(Context(user_id="ada"))
    print(seen)
"""


def killed_at(home: Path, operation: int) -> subprocess.CompletedProcess[str]:
    """Forget Ada in a process that is killed at its nth operation on a file; 0 is never."""
    command = [sys.executable, "-c", KILLED, str(home), str(operation)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def operations(told: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many operations on files it takes to forget Ada."""
    home = shutil.copytree(told, tmp_path_factory.mktemp("counted") / "home")
    return int(killed_at(home, 0).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.15, 0.3, 0.4, 0.5, 0.65, 0.8, 0.95])
def test_killed_at_any_moment(home: Path, operations: int, share: float) -> None:
    """`kill -9` while a user is forgotten costs nobody else anything, and the next call completes it."""
    search = needles(home)
    ended = killed_at(home, max(1, int(share * operations)))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert search["ada"].found(home)
    with Workspace(home) as workspace:
        assert has_everything(workspace, "bob")
        workspace.forget(ADA)
        assert has_everything(workspace, "bob")
    assert search["ada"].found(home) == set()


@pytest.mark.slow
def test_forgetting_twice_at_once(home: Path) -> None:
    """Two callers that forget the same user, and one that asks meanwhile, do not disturb each other."""

    async def run(workspace: Workspace, ask: Callable[..., Any]) -> list[Forgotten]:
        asked = asyncio.create_task(
            ask({"messages": [("user", "hello")]}, {"configurable": {"thread_id": "bob new"}}, context=BOB)
        )
        found = await asyncio.gather(workspace.aforget(ADA), workspace.aforget(ADA))
        await asked
        return list(found)

    search = needles(home)
    with Workspace(home) as workspace:
        first, second = asyncio.run(run(workspace, create_assistant(workspace).ainvoke))
        assert first.threads + second.threads >= 4
        assert first.memories + second.memories >= 1
    assert search["ada"].found(home) == set()


@pytest.mark.slow
def test_threads_on_a_server(ingested: Path, tmp_path: Path) -> None:
    """A run through the LangGraph server belongs to the user of its context, and so does a copy of its thread."""
    home = Path(shutil.copytree(ingested, tmp_path / "home"))
    said: Any = {"messages": [{"role": "user", "content": "Where do quokkas live?"}]}
    with serving(FREEHOLD, home, tmp_path / "run") as url, get_sync_client(url=url) as client:
        threads = [client.threads.create()["thread_id"] for _ in range(2)]
        client.runs.wait(threads[0], "assistant", input=said, context={"user_id": "ada"})
        client.runs.wait(threads[1], "assistant", input=said)
        copied: Any = client.threads.copy(threads[0])
    with Workspace(home) as workspace:
        assert workspace.checkpointer.threads_of("default/ada") == sorted([threads[0], copied["thread_id"]])
        assert workspace.forget(ADA).threads == 2
        assert workspace.checkpointer.threads() == [threads[1]]
        assert workspace.forget(Context()).threads == 1
    assert not [path for path in home.rglob("*") if path.is_file() and b"quokka" in path.read_bytes()]
