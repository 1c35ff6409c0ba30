"""What several tests share: workspaces, and documents to ask about."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from freehold import Context, Workspace
from freehold.inference import ChatLlama, Engine, LlamaEmbeddings
from freehold.memory import EdgeQdrantClient
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path

# A busy machine is no bug: an example may take as long as it takes, and a run of CI tries the same examples each time.
settings.register_profile("freehold", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("freehold")

ROOT = Path(__file__).resolve().parent.parent

QUESTION = "Where does the boiler keep its pressure gauge?"
PARAPHRASE = "Where does the boiler keep the pressure gauge?"

DOCUMENTS = {
    "boiler.md": (
        "# Boiler\n\n## Pressure\n\nThe boiler keeps its pressure gauge behind the lower front panel. "
        "Refill the system when the gauge shows less than one bar.\n\n## Service\n\n"
        "A technician services the boiler every October and cleans the burner.\n"
    ),
    "garden.txt": (
        "The garden gate is locked at sunset.\n\nTomatoes are watered every morning with rain water from the barrel.\n"
    ),
    "wifi.html": (
        "<html><body><h1>Network</h1><p>The router stands in the attic, next to the water tank.</p>"
        "<p>Guests use the network called Meadow.</p></body></html>"
    ),
}


def pytest_unconfigure() -> None:
    """Close the two handles on /dev/null that llama_cpp opens when it is imported and leaves open."""
    llama = sys.modules.get("llama_cpp._utils")
    for name in ("outnull_file", "errnull_file"):
        if llama is not None:
            getattr(llama, name).close()


@pytest.fixture(scope="session")
def embedder() -> Iterator[LlamaEmbeddings]:
    """The shipped embedding model, one for the whole session."""
    opened = LlamaEmbeddings(model_path(EMBEDDING_MODEL))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def demonstration() -> Iterator[ChatLlama]:
    """The shipped demonstration model, which a grammar can hold to a form."""
    engine = Engine(model_path(DEMO_MODEL))
    yield ChatLlama(engine=engine, max_tokens=32)
    engine.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[EdgeQdrantClient]:
    """An empty embedded Qdrant."""
    opened = EdgeQdrantClient(tmp_path / "qdrant")
    yield opened
    opened.close()


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A folder with a few small documents."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed workspace folder into which the documents were read once; tests copy it."""
    from freehold.graphs import create_ingest

    base = tmp_path_factory.mktemp("ingested")
    folder = base / "documents"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    with Workspace(base / "home") as workspace:
        result = create_ingest(workspace.documents).invoke({"paths": [str(folder)]})
        assert len(result["ingested"]) == len(DOCUMENTS)
    return base / "home"


@pytest.fixture
def workspace(ingested: Path, tmp_path: Path) -> Iterator[Workspace]:
    """An open workspace with the documents in it."""
    shutil.copytree(ingested, tmp_path / "home")
    with Workspace(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def ask(workspace: Workspace) -> Callable[..., dict[str, Any]]:
    """One turn of the assistant on that workspace."""
    from freehold.graphs import create_assistant

    assistant = create_assistant(workspace)

    def turn(message: str, *, user: str = "ada", thread: str = "t1") -> dict[str, Any]:
        return assistant.invoke(
            {"messages": [{"role": "user", "content": message}]},
            {"configurable": {"thread_id": thread}},
            context=Context(user_id=user),
        )

    return turn
