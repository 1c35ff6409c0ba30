"""What a GGUF file says about itself, read without loading the model."""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from freehold.errors import ModelFileError

__all__ = ["ModelHeader", "read_header", "sha256"]

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_KEPT = 1024
"""Numbers of an array that are kept: values per layer are, token scores and types are not."""
_POOLING = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}
_BLOCKS = {  # ggml tensor type: values in a block, bytes in a block
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


@dataclass(frozen=True)
class ModelHeader:
    """The facts of a GGUF file that Freehold decides by.

    Example:
        >>> from freehold.models import demo_model  # doctest: +SKIP
        >>> read_header(demo_model()).context_length  # doctest: +SKIP
        1024
    """

    path: Path
    architecture: str
    name: str
    """The model's own name, or the file's stem where it has none."""
    context_length: int
    """Tokens that the model was trained for; 0 where the file does not say."""
    embedding_length: int
    """Width of the model, and of its embeddings."""
    chat_template: str | None
    """Jinja template of the chat form, or None."""
    pooling: str | None
    """`none`, `mean`, `cls`, `last` or `rank` for an embedding model; None where the file does not say."""
    causal: bool
    """False for an encoder, which cannot generate."""
    file_size: int
    """Bytes."""
    vocabulary_size: int
    """Tokens that the model knows; 0 where the file does not say."""
    metadata: Mapping[str, Any]
    """Every scalar and string in the file, and short arrays of numbers as tuples; other arrays are left out."""


class _Reader:
    """Little-endian values one after another, never behind the end of the file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.size, self.at = path, data, len(data), 0

    def skip(self, count: int) -> int:
        """Move behind `count` bytes and return where they begin."""
        start = self.at
        if count > self.size - start:
            raise ModelFileError(
                f"{self.path} is truncated: it ends at {self.size} bytes, inside its header, which goes on to at least "
                f"{start + count}. Copy or download it again."
            )
        self.at = start + count
        return start

    def scalar(self, form: str) -> Any:
        return struct.unpack_from(form, self.data, self.skip(struct.calcsize(form)))[0]

    def string(self) -> str:
        start = self.skip(self.scalar("<Q"))
        return self.data[start : self.at].decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        """One metadata value; None for an array that is only stepped over."""
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY and depth < 4:
            item, count = self.scalar("<I"), self.scalar("<Q")
            if item in _SCALARS:
                start = self.skip(count * struct.calcsize(_SCALARS[item]))
                if count <= _KEPT:
                    return struct.unpack_from(f"<{count}{_SCALARS[item][1]}", self.data, start)
            elif item == _STRING:
                for _ in range(count):
                    self.skip(self.scalar("<Q"))
            else:
                for _ in range(count):
                    self.value(item, depth + 1)
            return None
        raise ModelFileError(f"{self.path} is damaged: a metadata value has the unknown type {kind}.")


def _read_tensor_table(reader: _Reader, count: int, alignment: int) -> int:
    """Step over the tensor table and return how many bytes the file must have."""
    ends = [0]
    for _ in range(count):
        reader.skip(reader.scalar("<Q"))
        values = 1
        for _ in range(min(reader.scalar("<I"), 8)):
            values *= reader.scalar("<Q")
        kind, offset = reader.scalar("<I"), reader.scalar("<Q")
        per_block, size = _BLOCKS.get(kind, (1, 0))  # a type from a newer llama.cpp counts as nothing
        ends.append(offset + values // per_block * size)
    start = -(-reader.at // alignment) * alignment
    return start + max(ends) if count else reader.at


def _read(path: Path, data: mmap.mmap) -> ModelHeader:
    if data[:4] != b"GGUF":
        raise ModelFileError(f"{path} is not a GGUF file: it begins with {bytes(data[:4])!r}, not b'GGUF'.")
    reader = _Reader(path, data)
    reader.skip(4)
    version = reader.scalar("<I")
    if version not in (2, 3):
        raise ModelFileError(f"{path} has GGUF version {version}; versions 2 and 3 (little-endian) can be read.")
    tensors, pairs = reader.scalar("<Q"), reader.scalar("<Q")
    metadata: dict[str, Any] = {}
    vocabulary = 0
    for _ in range(pairs):
        key = reader.string()
        kind, start = reader.scalar("<I"), reader.at
        value = reader.value(kind)
        if key == "tokenizer.ggml.tokens" and kind == _ARRAY:
            vocabulary = struct.unpack_from("<Q", data, start + 4)[0]
        if value is not None:
            metadata[key] = value
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise ModelFileError(f"{path} is damaged: its alignment is {alignment!r}.")
    needed = _read_tensor_table(reader, tensors, alignment)
    if needed > reader.size:
        raise ModelFileError(f"{path} is truncated: it has {reader.size} of {needed} bytes. Copy or download it again.")

    architecture = str(metadata.get("general.architecture", ""))
    if not architecture:
        raise ModelFileError(f"{path} names no architecture (general.architecture): it is not a language model.")

    def number(key: str) -> int:
        value = metadata.get(f"{architecture}.{key}", 0)
        return value if isinstance(value, int) else 0

    pooling = metadata.get(f"{architecture}.pooling_type")
    template = metadata.get("tokenizer.chat_template")
    return ModelHeader(
        path=path,
        architecture=architecture,
        name=str(metadata.get("general.name") or path.stem),
        context_length=number("context_length"),
        embedding_length=number("embedding_length"),
        chat_template=template if isinstance(template, str) else None,
        pooling=None if pooling is None else _POOLING.get(pooling, str(pooling)),
        causal=bool(metadata.get(f"{architecture}.attention.causal", True)),
        file_size=reader.size,
        vocabulary_size=vocabulary or number("vocab_size"),
        metadata=MappingProxyType(metadata),
    )


def read_header(path: str | Path) -> ModelHeader:
    """Read a GGUF file's header and check that the file is as long as its tensor table says.

    Raises:
        ModelFileError: The file is missing, unreadable, not a GGUF, damaged, or truncated; the message says which.

    Source: the GGUF specification in ggml's documentation (`docs/gguf.md`), versions 2 and 3.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise ModelFileError(f"{path} is empty. Copy or download it again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _read(path, data)
    except FileNotFoundError:
        raise ModelFileError(f"There is no model file {path}. Check the path, or FREEHOLD_MODEL.") from None
    except OSError as error:
        raise ModelFileError(f"The model file {path} cannot be read: {error.strerror or error}.") from error


@lru_cache(maxsize=32)
def _sha256(path: Path, size: int, modified: int) -> str:  # noqa: ARG001 - size and time are part of the cache's key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal, computed once per path, size and time of change.

    Raises:
        ModelFileError: The file is missing or cannot be read.
    """
    path = Path(path).expanduser()
    try:
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ModelFileError(f"The model file {path} cannot be read: {error.strerror or error}.") from error
