"""Lay the packages out under `.typing/freehold/` by links, so that mypy finds `freehold` in folders of other names."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def link() -> None:
    """Make one link per top-level folder of the package, and per file of `core/`."""
    package = ROOT / ".typing" / "freehold"
    package.mkdir(parents=True, exist_ok=True)
    for old in package.iterdir():
        old.unlink()
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    for source in (ROOT / "core").iterdir():
        if source.name != "__pycache__":
            (package / source.name).symlink_to(source)
    for name, folder in folders.items():
        if name.count(".") == 1 and not folder.startswith("core/"):
            (package / name.removeprefix("freehold.")).symlink_to(ROOT / folder)


if __name__ == "__main__":
    link()
