"""What the rag graph keeps of personal data: nothing, in no key of its state."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from freehold import Workspace
from freehold.graphs import create_rag


def test_personal_data_stays_off_the_disk(ingested: Path, tmp_path: Path) -> None:
    """No file holds it, though questions and their rewritings are state: neither of the turn, nor of those before."""
    shutil.copytree(ingested, tmp_path / "home")
    card, wide = "4111\u00a01111\u00a01111\u00a01111", "second\uff20example.org"  # as pasted from pages and keyboards
    with Workspace(tmp_path / "home") as workspace:
        graph, config = create_rag(workspace), {"configurable": {"thread_id": "t1"}}
        brought: list[Any] = [("user", f"I am {wide}."), ("assistant", "Hello!")]
        mine: list[Any] = [
            ("user", [{"type": "text", "text": f"Does ada.lovelace@example.org or {card} win the cup?"}])
        ]
        first = graph.invoke({"messages": [*brought, *mine]}, config)
        assert first["decisions"][2]["details"] == {"question": "Does <EMAIL_ADDRESS> or <CREDIT_CARD> win the cup?"}
        assert len(first["messages"]) == 4
        graph.invoke({"messages": [("user", "And third@example.org?")]}, config)
    secrets = ("ada.lovelace", card, card.replace("\u00a0", " "), wide, "second@", "third@")
    for path in (tmp_path / "home").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert [secret for secret in secrets if secret.encode() in content] == [], path
