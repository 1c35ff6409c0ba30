"""The package as it is shipped: what it lists, what it loads, what a wheel holds."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["setuptools"]["packages"]


def test_every_folder_with_code_is_a_listed_package() -> None:
    """A package that is not listed imports when editable and is missing from the wheel."""
    folders = PROJECT["tool"]["setuptools"]["package-dir"]
    tops = {ROOT / name for name in ("core", "graphs", "nodes", "memory", "guardrails")}
    with_code = {
        folder.relative_to(ROOT)
        for top in tops
        for folder in [top, *top.rglob("*")]
        if folder.is_dir() and any(folder.glob("*.py"))
    }
    assert {Path(folder) for folder in folders.values()} == with_code
    assert set(folders) == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_are_few_and_exist(name: str) -> None:
    """At most fifteen public names per package, and each of them can be imported."""
    module = importlib.import_module(name)
    public = getattr(module, "__all__", [])
    assert len(public) <= 15
    for public_name in public:
        assert getattr(module, public_name) is not None


def test_import_is_light() -> None:
    """`import freehold` loads none of the heavy libraries, so that it takes a fraction of a second."""
    heavy = "langgraph langchain_core llama_cpp qdrant_client qdrant_edge mem0 nemoguardrails redis numpy pydantic"
    code = f"import sys, freehold; print(sorted(set({heavy.split()!r}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_import_switches_telemetry_off() -> None:
    """The switches are set before any dependency loads, also over a value that the environment holds."""
    code = "import freehold, os; print(os.environ['MEM0_TELEMETRY'], os.environ['LANGSMITH_TRACING'])"
    environment = {**os.environ, "MEM0_TELEMETRY": "True", "LANGSMITH_TRACING": "true"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.split() == ["False", "false"]


@pytest.mark.slow
def test_wheel_imports_in_an_empty_environment(tmp_path: Path) -> None:
    """A wheel holds every package, both models and the rails, and imports outside of the checkout."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, capture_output=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    # The dependencies are lent by this environment; the package itself must come from the wheel.
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    code = (
        "import importlib, freehold, pathlib\n"
        f"for name in {PACKAGES!r}:\n"
        "    module = importlib.import_module(name)\n"
        "    [getattr(module, public) for public in getattr(module, '__all__', [])]\n"
        "from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path\n"
        "assert model_path(DEMO_MODEL).is_file() and model_path(EMBEDDING_MODEL).is_file()\n"
        "assert (pathlib.Path(freehold.__file__).parent / 'guardrails' / 'config').is_dir()\n"
        "print(freehold.__file__)\n"
    )
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert str(site) in found.stdout


def test_every_import_is_a_declared_dependency() -> None:
    """What the code imports stands in pyproject.toml: a library that only comes along with another can go with it."""
    declared = {_normal(line) for line in PROJECT["project"]["dependencies"]}
    declared.add("pydantic-core")  # half of pydantic
    server = {"langgraph-api", "langgraph-cli", "starlette", "uvicorn", "langgraph-runtime-inmem"}
    homes = importlib.metadata.packages_distributions()
    for top in ("core", "graphs", "nodes", "memory", "guardrails"):
        for file in (ROOT / top).rglob("*.py"):
            for name in _imported(ast.parse(file.read_text(encoding="utf-8"))):
                if name in sys.stdlib_module_names or name == "freehold":
                    continue
                owners = {_normal(owner) for owner in homes.get(name, [name])}
                assert owners & (declared | server), f"{file.relative_to(ROOT)} imports {name} ({owners})"


def test_what_reads_locked_pdfs_is_declared() -> None:
    """For AES, pypdf needs cryptography and does not bring it by itself; here another package may have."""
    wanted = Requirement(next(line for line in PROJECT["project"]["dependencies"] if _normal(line) == "pypdf"))
    brought = [Requirement(line) for line in importlib.metadata.requires("pypdf") or ()]
    extras = [{"extra": extra} for extra in wanted.extras]
    assert any(one.name == "cryptography" and one.marker and any(map(one.marker.evaluate, extras)) for one in brought)


def _normal(requirement: str) -> str:
    return re.split(r"[\s<>=!\[;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def _imported(tree: ast.Module) -> set[str]:
    """Top-level names of the packages that a module imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_qdrant_loads_without_onnxruntime() -> None:
    """qdrant-client would load fastembed, and onnxruntime with it; everybody else still can."""
    code = (
        "import sys, freehold, qdrant_client; assert 'onnxruntime' not in sys.modules; "
        "import fastembed; assert 'onnxruntime' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
