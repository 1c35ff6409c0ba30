"""Encryption with a key of the owner's, for what lies where others can read it."""

from __future__ import annotations

import base64
import hashlib
import os

from freehold.coordination.text import encode
from freehold.errors import SettingsError

__all__ = ["Seal"]

_VERSION = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Seal:
    """AES-256-GCM (NIST SP 800-38D) under one key.

    What is sealed is a version byte, a random nonce of 96 bits, and the ciphertext with its tag. The version and a name
    are authenticated with it: bytes that were changed, or moved under another name, do not open. One key is good for
    some four billion values.

    Args:
        key: 32 bytes, or these as base64 text, with `+/` or `-_`.

    Raises:
        SettingsError: The key cannot be used.

    Example:
        >>> seal = Seal(os.urandom(32))
        >>> sealed = seal.close(b"value", "name")
        >>> seal.open(sealed, "name"), seal.open(sealed, "other")
        (b'value', None)
    """

    def __init__(self, key: bytes | str) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        secret = _key(key)
        self._cipher = AESGCM(secret)
        self.name = hashlib.sha256(b"freehold seal " + secret).hexdigest()[:16]
        """Tells keys apart, and nothing more about them."""

    def close(self, value: bytes, name: str) -> bytes:
        """Encrypt a value that belongs under this name."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, value, _VERSION + encode(name))

    def open(self, sealed: bytes, name: str) -> bytes | None:
        """The value; None where it cannot be read: another key, name or version, or damaged."""
        from cryptography.exceptions import InvalidTag

        if not sealed.startswith(_VERSION):
            return None
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, _VERSION + encode(name))
        except (InvalidTag, ValueError):  # ValueError: it is too short to hold a nonce
            return None


def _key(key: bytes | str) -> bytes:
    given = key
    if isinstance(key, str):
        try:
            given = base64.b64decode(key.strip().translate(str.maketrans("-_", "+/")), validate=True)
        except ValueError:
            given = b""
    if not isinstance(given, bytes) or len(given) != _KEY_BYTES:
        raise SettingsError(
            "The encryption key cannot be used: give 32 random bytes, or these as base64 text. "
            "`head -c 32 /dev/urandom | base64` makes one."
        )
    return given
