"""What the tests of the ingest graph share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.inference import LlamaEmbeddings
from freehold.memory import Documents, EdgeQdrantClient


@pytest.fixture
def store(client: EdgeQdrantClient, embedder: LlamaEmbeddings) -> Iterator[Documents]:
    """An empty store."""
    opened = Documents(client, embedder)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three documents and a broken one."""
    made = tmp_path / "library"
    (made / "deep").mkdir(parents=True)
    (made / "heron.md").write_text("# Heron\nThe heron eats fish.\n\n## Nest\nIt nests in trees.\n")
    (made / "owl.txt").write_text("The owl hunts mice at night.")
    (made / "deep" / "swift.html").write_text("<h1>Swift</h1><p>The swift sleeps in the air.</p>")
    (made / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    return made


def names(sources: list[str]) -> list[str]:
    """File names of the sources, sorted."""
    return sorted(Path(source).name for source in sources)
