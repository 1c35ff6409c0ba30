"""Text as bytes, for keys and sources."""

from __future__ import annotations

import hashlib

__all__ = ["decode", "digest", "encode"]


def encode(text: str) -> bytes:
    r"""Any text as bytes, half of a surrogate pair too, as file names that are not UTF-8 have them.

    Example:
        >>> decode(encode("caf\u00e9 \ud800")) == "caf\u00e9 \ud800"
        True
    """
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> str:
    """The text that `encode` was given."""
    return data.decode("utf-8", "surrogatepass")


def digest(text: str) -> bytes:
    """16 bytes that stand for a text: names of sources may be private, and paths are long."""
    return hashlib.sha256(encode(text)).digest()[:16]
