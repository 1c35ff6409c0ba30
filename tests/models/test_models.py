"""The models that ship in the package."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.errors import ModelFileError
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, VERIFIER_MODEL, model_path


@pytest.mark.parametrize("name", [DEMO_MODEL, EMBEDDING_MODEL, VERIFIER_MODEL])
def test_readme_tells_the_size_and_checksum(name: str) -> None:
    """A model that was exchanged without its provenance being updated is noticed."""
    readme = (model_path(name).parent / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{re.escape(name)}` \|.*\| (\d+) \| `([0-9a-f]{{64}})` \|$", readme, re.MULTILINE)
    assert row, f"README.md has no row for {name}"
    data = model_path(name).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (int(row[1]), row[2])


def test_every_model_file_is_named() -> None:
    """No file ships that the package cannot name."""
    folder = model_path(DEMO_MODEL).parent
    assert {path.name for path in folder.glob("*.gguf")} == {DEMO_MODEL, EMBEDDING_MODEL, VERIFIER_MODEL}


@pytest.mark.parametrize("name", ["other.gguf", "../README.md", ""])
def test_unknown_name_is_refused(name: str) -> None:
    """A name from a setting cannot reach a file beside the models."""
    with pytest.raises(ModelFileError, match="ships with Freehold"):
        model_path(name)


def test_import_is_light() -> None:
    """Asking for a path loads no inference library."""
    code = (
        "import sys, freehold.models; print([m for m in ('llama_cpp', 'numpy', 'qdrant_client') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout


def test_path_is_absolute() -> None:
    """A change of the working folder does not lose the model."""
    assert Path(model_path(EMBEDDING_MODEL)).is_absolute()
