"""A dialogue: messages, and the answer that should follow."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Dialogue", "Turn", "render"]

Turn = tuple[str, str]
"""Role and content of one message."""


@dataclass(frozen=True)
class Dialogue:
    """Messages, the answer that should follow, and what it teaches."""

    messages: tuple[Turn, ...]
    answer: str
    kind: str
    """`quote`, `unanswerable`, `fact`, `unknown_fact`, `extract`, `acknowledge` or `chat`."""


def render(messages: tuple[Turn, ...]) -> str:
    """ChatML, up to where the answer begins; the same text as the GGUF's own template gives."""
    turns = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages)
    return turns + "<|im_start|>assistant\n"
