"""The GGUF reader tells a good file from every kind of bad one, without loading it."""

from __future__ import annotations

import hashlib
import struct
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.errors import ModelFileError
from freehold.inference import read_header, sha256

DEMO = Path(str(files("freehold.models"))) / "freehold-demo.Q8_0.gguf"
MINILM = Path(str(files("freehold.models"))) / "all-minilm-l6-v2.Q8_0.gguf"


def test_language_model_header() -> None:
    """The facts that the engine decides by are read from the shipped language model."""
    header = read_header(DEMO)
    assert (header.architecture, header.context_length, header.causal) == ("llama", 1024, True)
    assert header.chat_template is not None
    assert "<|im_start|>" in header.chat_template
    assert header.file_size == DEMO.stat().st_size


def test_embedding_model_header() -> None:
    """An embedding model is known by its pooling and by not being causal."""
    header = read_header(str(MINILM))
    assert (header.pooling, header.causal, header.embedding_length) == ("mean", False, 384)
    assert header.chat_template is None


def test_missing_file(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(ModelFileError, match=r"no model file .*gone\.gguf"):
        read_header(tmp_path / "gone.gguf")


def test_folder(tmp_path: Path) -> None:
    """A folder in a file's place is a plain error."""
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_header(tmp_path)
    with pytest.raises(ModelFileError, match="cannot be read"):
        sha256(tmp_path)


@pytest.mark.parametrize("content", [b"x", b"PK\x03\x04 something else", b"GGU"])
def test_not_a_gguf(tmp_path: Path, content: bytes) -> None:
    """A file of another kind is said to be one."""
    path = tmp_path / "other.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="not a GGUF"):
        read_header(path)


def test_empty_file(tmp_path: Path) -> None:
    """An empty file is told from a wrong one."""
    path = tmp_path / "empty.gguf"
    path.touch()
    with pytest.raises(ModelFileError, match="is empty"):
        read_header(path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.99999])
def test_truncated(tmp_path: Path, share: float) -> None:
    """A download that broke off anywhere is refused with the byte counts."""
    data = DEMO.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelFileError, match=r"truncated: it (has|ends at) \d+"):
        read_header(path)


def test_whole_length_is_known(tmp_path: Path) -> None:
    """The length by the tensor table is the shipped file's length to the byte, so that one lost byte is seen."""
    data = DEMO.read_bytes()
    path = tmp_path / "short.gguf"
    path.write_bytes(data[:-1])
    with pytest.raises(ModelFileError, match=f"has {len(data) - 1} of {len(data)} bytes"):
        read_header(path)


@pytest.mark.parametrize("version", [1, 4, 0x03000000])
def test_unknown_version(tmp_path: Path, version: int) -> None:
    """A version from the past, the future or a big-endian machine is refused by number."""
    path = tmp_path / "version.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", version, 0, 0))
    with pytest.raises(ModelFileError, match=f"version {version}"):
        read_header(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rest=st.binary(max_size=400), magic=st.sampled_from([b"", b"GGUF\x03\0\0\0", b"GGUF\x02\0\0\0"]))
def test_random_bytes(tmp_path: Path, rest: bytes, magic: bytes) -> None:
    """Whatever the bytes, the reader raises ModelFileError and nothing else."""
    path = tmp_path / "random.gguf"
    path.write_bytes(magic + rest)
    with pytest.raises(ModelFileError):
        read_header(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(4, 4000), value=st.integers(0, 255))
def test_flipped_byte(tmp_path: Path, at: int, value: int) -> None:
    """A damaged byte in the header gives a header or ModelFileError."""
    data = bytearray(DEMO.read_bytes()[:400_000])
    data[at] = value
    path = tmp_path / "flipped.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelFileError):
        read_header(path)


def test_sha256_follows_the_file(tmp_path: Path) -> None:
    """A file that was replaced gets its new checksum, cache or not."""
    path = tmp_path / "data"
    path.write_bytes(b"one")
    assert sha256(path) == sha256(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"three")
    assert sha256(path) == hashlib.sha256(b"three").hexdigest()
