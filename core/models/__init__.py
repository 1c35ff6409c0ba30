"""The models that ship in the package, so that everything runs at once and offline.

Where they come from, and under which licences, is in README.md beside this file.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from freehold.errors import ModelFileError

__all__ = ["DEMO_MODEL", "EMBEDDING_MODEL", "VERIFIER_MODEL", "model_path"]

DEMO_MODEL = "freehold-demo.Q8_0.gguf"
"""A small language model that only quotes its context."""

EMBEDDING_MODEL = "all-minilm-l6-v2.Q8_0.gguf"
"""all-MiniLM-L6-v2: 384 dimensions, mean pooling."""


VERIFIER_MODEL = "question-verifier.Q8_0.gguf"
"""A cross-encoder that says whether two questions ask the same."""


def model_path(name: str) -> Path:
    """Path of a model file that ships in the package.

    Args:
        name: `DEMO_MODEL`, `EMBEDDING_MODEL` or `VERIFIER_MODEL`.

    Raises:
        ModelFileError: No file of that name ships, or the package lies in an archive, from which llama.cpp cannot read.

    Example:
        >>> model_path(DEMO_MODEL).name
        'freehold-demo.Q8_0.gguf'
    """
    shipped = (DEMO_MODEL, EMBEDDING_MODEL, VERIFIER_MODEL)
    if name not in shipped:
        raise ModelFileError(f"No model named {name!r} ships with Freehold; there are {', '.join(shipped)}.")
    path = Path(str(files(__name__) / name))
    if not path.is_file():
        raise ModelFileError(
            f"The model {path} is missing: install Freehold again, as a folder and not from an archive."
        )
    return path
