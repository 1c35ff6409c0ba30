"""Models by name: in settings, and in a workspace beside its own model."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold import Settings, Workspace
from freehold.errors import MemoryBudgetError, ModelFileError, SettingsError, StorageError
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path
from freehold.models.catalog import ModelCatalog


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A workspace folder whose catalog names a model `mine`; its file differs from the shipped one in its last byte."""
    data = model_path(DEMO_MODEL).read_bytes()
    (tmp_path / "model.gguf").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    ModelCatalog(tmp_path / "home" / "models").add(tmp_path / "model.gguf", "mine")
    return tmp_path / "home"


def test_a_setting_may_be_a_name(named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an argument, the environment or a file, a name becomes the file that the catalog names."""
    path = named.parent / "model.gguf"
    assert Settings.load(home=named, model="mine").model == path
    (named / "freehold.toml").write_text('model = "MINE"\nembedding_model = "all-minilm-l6-v2"\n')
    found = Settings.load(home=named)
    assert (found.model, found.embedding_model) == (path, model_path(EMBEDDING_MODEL))
    monkeypatch.setenv("FREEHOLD_MODEL", "freehold-demo")
    assert Settings.load(home=named).model == model_path(DEMO_MODEL)
    Path("mine").write_bytes(b"")
    assert Settings.load(home=named, model="mine").model == Path("mine")


def test_an_unknown_name_is_told_when_it_is_used(named: Path) -> None:
    """A name that nobody added is an error that lists the names; commands that need no model go on."""
    for settings in ({"model": "quen"}, {"embedding_model": "quen"}):
        with Workspace(named, **settings) as workspace:
            with pytest.raises(ModelFileError, match=r"no model file quen.*all-minilm-l6-v2, freehold-demo, mine"):
                _ = workspace.engine if "model" in settings else workspace.embeddings
            assert workspace.models.find("mine")


def test_a_damaged_catalog_is_told(named: Path) -> None:
    """A setting that is a name needs the catalog; the message names its file."""
    (named / "models" / "catalog.json").write_text("{")
    with pytest.raises(StorageError, match=r"catalog\.json is damaged"):
        Settings.load(home=named, model="mine")


@pytest.mark.parametrize(
    ("name", "value"),
    [("model_memory", "lots"), ("model_memory", "0"), ("slots", 0), ("slots", 65), ("cache_tokens", 1),
     ("kv_folder_bytes", "-1"), ("flash_attention", "perhaps")],
)  # fmt: skip
def test_a_setting_out_of_its_range_is_named(name: str, value: object) -> None:
    """The message says which setting, and which value."""
    with pytest.raises(SettingsError, match=f"{name}='?{value}"):
        Settings.load(**{name: value})


def test_sizes_are_written_as_people_write_them() -> None:
    """`GB` is a thousand million bytes and `GiB` is 2 to the 30th; six of these are the default."""
    assert Settings.load().model_memory == 6 * 2**30
    assert Settings.load(model_memory="6GB").model_memory == 6 * 10**9
    assert Settings.load(model_memory="500 MiB", kv_folder_bytes="0").model_memory == 500 * 2**20


def test_the_demonstration_model_by_its_name_is_it(named: Path) -> None:
    """What only quotes is said to, however it was asked for."""
    with Workspace(named, model="freehold-demo") as workspace:
        assert workspace.is_demonstration
    with Workspace(named, model="mine") as workspace:
        assert not workspace.is_demonstration


async def test_a_second_model_answers_beside_the_first(named: Path) -> None:
    """A model is loaded by its name, once; the workspace's own stays, and the settings count for both."""
    with Workspace(named, slots=2, max_tokens=5) as workspace:
        second = workspace.load_model("mine")
        assert second.engine is workspace.load_model("mine").engine
        assert second.engine is not workspace.engine
        assert workspace.load_model("freehold-demo").engine is workspace.engine
        assert workspace.load_model("mine", context_length=512).engine.context_length == 512
        assert second.max_tokens == 5
        first, other = await workspace.chat_model.ainvoke("Hello"), await second.ainvoke("Hello")
        assert first.text == other.text
        assert sum(workspace.pool.loaded().values()) <= workspace.pool.budget
        with pytest.raises(ModelFileError, match="no model file other"):
            workspace.load_model("other")


async def test_the_budget_of_a_workspace_is_kept(named: Path) -> None:
    """With room for one model the two take turns; with room for none the first question is refused."""
    with Workspace(named, model_memory="45MiB") as workspace:
        second = workspace.load_model("mine")
        for model in (workspace.chat_model, second, workspace.chat_model):
            assert (await model.ainvoke("Hello")).text
            assert sum(workspace.pool.loaded().values()) <= 45 * 2**20
    with (
        Workspace(named, model_memory="10MiB") as small,
        pytest.raises(MemoryBudgetError, match="FREEHOLD_MODEL_MEMORY"),
    ):
        await small.chat_model.ainvoke("Hello")
