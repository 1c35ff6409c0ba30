"""The words that examples are made of: question forms, names, greetings, from phrases.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["QUESTION", "TALK", "USER"]

_ALL: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("phrases.json").read_text(encoding="utf-8"))

QUESTION = _ALL["question"]
"""Forms of a question about a sentence, and the words that steer them."""

USER = _ALL["user"]
"""What people say about themselves and ask about it."""

TALK = _ALL["talk"]
"""System messages, greetings, questions that no document answers."""
