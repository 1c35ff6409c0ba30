"""What the documentation shows is run: snippets, docstring examples, links, the picture of the graph."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import freehold
from freehold import Workspace
from tests.conftest import ROOT

PAGES = sorted(
    {ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("core/*/README.md")}
)
SNIPPETS = [
    pytest.param(
        page,
        number,
        code,
        id=f"{page.relative_to(ROOT)}-{number}",
        marks=[pytest.mark.slow] if '"docs"' in code else [],  # it reads all documentation
    )
    for page in PAGES
    if page.name != "serving.md"  # its snippets talk to a server: tests/graphs/test_serve.py runs them
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL), 1)
]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
"""Each is a folder of its own in the checkout, which a walk from the top one does not find."""
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize(("page", "number", "code"), SNIPPETS)
def test_snippets_run_as_printed(
    page: Path, number: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who copies a snippet into a file at the project's root gets what the page says."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    exec(compile(code, f"{page.name}-{number}", "exec"), {"__name__": "snippet"})
    assert "import" in code


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_hold(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Every example in a docstring gives what it says."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    source = inspect.getsource(module)
    given: dict[str, Any] = {"tmp_path": tmp_path}
    if ">>> index = SemanticIndex(client, embedder)" in source:
        given |= {fixture: request.getfixturevalue(fixture) for fixture in ("client", "embedder")}
    result = doctest.testmod(module, extraglobs=given, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the project leads to a file of the project."""
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_picture_in_the_readme_is_the_graph(tmp_path: Path) -> None:
    """The README draws the assistant as it is compiled, not as it once was."""
    from freehold.graphs import create_assistant

    with Workspace(tmp_path) as workspace:
        drawn = create_assistant(workspace).get_graph().draw_mermaid()
    printed = re.search(r"```mermaid\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert printed is not None
    assert printed[1].strip() == drawn.strip()


def test_every_setting_is_documented() -> None:
    """A setting that no page names cannot be found."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [name for name in freehold.Settings.model_fields if f"`{name}`" not in page]
    assert not missing
