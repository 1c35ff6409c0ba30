"""An extractor for tests that decide themselves what is stored."""

from __future__ import annotations


class KeepWhole:
    """Extracts the message itself."""

    async def extract(self, text: str) -> list[str]:
        return [text]
