"""The catalog of models: what it takes in, what it refuses, and what it keeps when something goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.errors import FreeholdError, ModelFileError, StorageError, UserError
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path
from freehold.models.catalog import ModelCatalog


def a_model(path: Path, name: str = "tiny", architecture: str = "llama", **numbers: int) -> Path:
    """A GGUF file with a header and no weights; another name makes another file."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    texts = {"general.architecture": architecture, "general.name": name}
    pairs = [text(key) + struct.pack("<I", 8) + text(value) for key, value in texts.items()]
    pairs += [text(key.replace("__", ".")) + struct.pack("<II", 4, value) for key, value in numbers.items()]
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs))
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> ModelCatalog:
    """An empty catalog."""
    return ModelCatalog(tmp_path / "home" / "models")


def test_the_shipped_models_are_there(catalog: ModelCatalog) -> None:
    """Both can be called by name at once, with the checksums of the files as they are, and nothing is written."""
    found = {entry.name: entry for entry in catalog.list()}
    assert {name: (entry.task, entry.origin) for name, entry in found.items()} == {
        "all-minilm-l6-v2": ("embedding", "shipped"),
        "freehold-demo": ("chat", "shipped"),
    }
    assert found["freehold-demo"].path == model_path(DEMO_MODEL)
    assert found["all-minilm-l6-v2"].path == model_path(EMBEDDING_MODEL)
    assert [one.status for one in catalog.verify()] == ["ok", "ok"]
    assert not catalog.folder.exists()


def test_a_model_is_named_where_it_lies(catalog: ModelCatalog, tmp_path: Path) -> None:
    """A model added in place is found by its name, in any case, by whoever reads the folder; its file stays."""
    path = a_model(tmp_path / "My Model (v2).gguf", llama__context_length=4096)
    entry = catalog.add(path)
    assert (entry.name, entry.path, entry.origin, entry.context_length) == ("My-Model-v2", path, "in place", 4096)
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert ModelCatalog(catalog.folder).find("my-model-V2") == entry
    assert catalog.remove("my-model-v2") == entry
    assert path.exists()
    assert len(catalog.list()) == 2


def test_a_copy_belongs_to_the_catalog(catalog: ModelCatalog, tmp_path: Path) -> None:
    """A copied model outlives its source and moves with its folder; it goes with its name, unless it shall stay."""
    path = a_model(tmp_path / "source.gguf")
    seen: list[tuple[int, int]] = []
    entry = catalog.add(path, "mine", copy=True, progress=lambda done, total: seen.append((done, total)))
    size = path.stat().st_size
    assert seen[-1] == (size, size)
    path.unlink()
    moved = ModelCatalog(tmp_path / "moved")
    shutil.move(catalog.folder, moved.folder)
    assert moved.find("mine").path == moved.folder / "mine.gguf"
    assert moved.verify("mine")[0].status == "ok"
    moved.remove("mine", keep_file=True)
    assert (moved.folder / "mine.gguf").exists()
    with pytest.raises(UserError, match="does not name"):
        moved.add(a_model(path, "other"), "mine", copy=True)
    moved.add(moved.folder / "mine.gguf", "mine")
    moved.remove("mine")
    assert (moved.folder / "mine.gguf").exists(), "it was not copied in this time"
    assert entry.origin == "copied"
    moved.add(path, "again", copy=True)
    moved.remove("again")
    assert not (moved.folder / "again.gguf").exists()


@pytest.mark.parametrize(
    ("numbers", "task"),
    [
        ({}, "chat"),
        ({"llama__pooling_type": 3}, "embedding"),
        ({"llama__pooling_type": 4}, "rerank"),
        ({"llama__pooling_type": 0}, "chat"),
    ],
)
def test_the_task_is_told_from_the_file(
    catalog: ModelCatalog, tmp_path: Path, numbers: dict[str, int], task: str
) -> None:
    """What a model is for is read from how it pools."""
    assert catalog.add(a_model(tmp_path / "m.gguf", **numbers)).task == task


@pytest.mark.parametrize("name", ["", " ", "a/b", "../up", ".hidden", "-x", "ä", "x" * 65, "a\n", "a b"])
def test_a_name_that_is_no_name_is_refused(catalog: ModelCatalog, tmp_path: Path, name: str) -> None:
    """A name can neither leave the folder nor be mistaken for an option; nothing is copied."""
    with pytest.raises(UserError, match="cannot be used"):
        catalog.add(a_model(tmp_path / "m.gguf"), name, copy=True)
    assert not list(catalog.folder.glob("*"))


def test_what_is_there_is_not_added_again(catalog: ModelCatalog, tmp_path: Path) -> None:
    """Neither a name, nor a file, nor the same content twice, and the shipped ones count; no copy is left."""
    path = catalog.add(a_model(tmp_path / "one.gguf")).path
    other, same = a_model(tmp_path / "two.gguf", "another"), shutil.copy(path, tmp_path / "three.gguf")
    for file, name, said in (
        (other, "ONE", "The name one is taken"),
        (other, "freehold-demo", "is taken"),
        (path, "x", "already, by the name one"),
        (same, "x", "already, by the name one"),
        (model_path(DEMO_MODEL), "x", "already, by the name freehold-demo"),
    ):
        for copy in (False, True):
            with pytest.raises(UserError, match=said):
                catalog.add(file, name, copy=copy)
    assert sorted(file.name for file in catalog.folder.iterdir()) == [".lock", "catalog.json"]


@pytest.mark.parametrize(
    ("numbers", "architecture", "said"),
    [({"split__count": 3}, "llama", "one of 3 parts"), ({}, "clip", "no model but an addition")],
)
def test_a_part_of_a_model_is_refused(
    catalog: ModelCatalog, tmp_path: Path, numbers: dict[str, int], architecture: str, said: str
) -> None:
    """What cannot be loaded alone is not named."""
    with pytest.raises(ModelFileError, match=said):
        catalog.add(a_model(tmp_path / "m.gguf", architecture=architecture, **numbers))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model", None])
def test_what_is_no_model_is_refused(catalog: ModelCatalog, tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty, truncated or something else: the message names the file."""
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"m\.gguf"):
        catalog.add(path)


@pytest.mark.parametrize("copy", [False, True])
def test_another_file_than_the_publishers_is_refused(catalog: ModelCatalog, tmp_path: Path, *, copy: bool) -> None:
    """A checksum is compared before the model is named; what is no checksum is told; no copy is left."""
    path = a_model(tmp_path / "m.gguf")
    with pytest.raises(ModelFileError, match=f"not {'0' * 64}"):
        catalog.add(path, copy=copy, sha256="0" * 64)
    with pytest.raises(UserError, match="64 digits"):
        catalog.add(path, copy=copy, sha256="beef")
    assert [file.name for file in catalog.folder.iterdir()] == [".lock"]
    assert catalog.add(path, copy=copy, sha256=hashlib.sha256(path.read_bytes()).hexdigest().upper()).name == "m"


def test_a_file_that_became_another_is_found_out(catalog: ModelCatalog, tmp_path: Path) -> None:
    """One byte changed with the same size and time is seen, and so is a file that is gone."""
    path = a_model(tmp_path / "m.gguf")
    catalog.add(path)
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (found,) = catalog.verify("m")
    assert (found.status, found.sha256) == ("changed", hashlib.sha256(data).hexdigest())
    path.unlink()
    assert [one.status for one in catalog.verify()] == ["ok", "ok", "missing"]


def test_shipped_models_stay(catalog: ModelCatalog) -> None:
    """What belongs to the package cannot be removed, nor can what is not there."""
    with pytest.raises(UserError, match="cannot be removed"):
        catalog.remove("freehold-demo")
    with pytest.raises(ModelFileError, match="there are all-minilm-l6-v2, freehold-demo"):
        catalog.remove("other")


def test_a_path_wins_over_a_name(catalog: ModelCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that leads to a file is that file; else it is a name; else the names are told."""
    monkeypatch.chdir(tmp_path)
    entry = catalog.add(a_model(tmp_path / "m.gguf"), "qwen")
    assert catalog.locate(Path("qwen")) == entry.path
    (tmp_path / "qwen").write_bytes(b"")
    assert catalog.locate(Path("qwen")) == Path("qwen")
    for unknown in ("quen", "folder/qwen"):
        with pytest.raises(ModelFileError, match=f"no model file {unknown}.*freehold-demo, qwen"):
            catalog.locate(Path(unknown))


ROW = {"name": "m", "path": "m.gguf", "sha256": "0", "context_length": 1, "task": "chat", "size": 1, "memory": 1}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=3),
            lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from([*ROW, "models", "x"]), part),
        ).map(lambda value: json.dumps({"models": value}).encode()),
        st.fixed_dictionaries({key: st.none() | st.integers() | st.just(ROW[key]) for key in ROW}).map(
            lambda row: json.dumps({"models": [row]}).encode()
        ),
    )
)
def test_a_damaged_catalog_is_one_plain_error(catalog: ModelCatalog, content: bytes) -> None:
    """Whatever stands in the file, it is a catalog or a StorageError that names it."""
    catalog.folder.mkdir(parents=True, exist_ok=True)
    (catalog.folder / "catalog.json").write_bytes(content)
    try:
        found = catalog.list()
    except StorageError as error:
        told = str(error)
    else:
        told = "catalog.json" if all(isinstance(entry.path, Path) for entry in found) else ""
    assert "catalog.json" in told


def test_a_full_disk_leaves_nothing(catalog: ModelCatalog, tmp_path: Path) -> None:
    """A copy that cannot be finished is an error and leaves no file; the catalog stays as it was."""
    path = a_model(tmp_path / "m.gguf")
    with path.open("ab") as file:
        file.truncate(2_000_000)
    catalog.add(a_model(tmp_path / "n.gguf", "another"))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, writing fails in the middle
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        with pytest.raises(StorageError, match="cannot be copied"):
            catalog.add(path, copy=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(StorageError, match=r"catalog\.json cannot be written"):
            catalog.add(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(file.name for file in catalog.folder.iterdir()) == [".lock", "catalog.json"]
    assert [entry.name for entry in catalog.list()] == ["all-minilm-l6-v2", "freehold-demo", "n"]


def test_a_killed_copy_is_swept_away(catalog: ModelCatalog, tmp_path: Path) -> None:
    """A process that dies while it copies leaves the catalog readable and free; the next change removes its rest."""
    path = a_model(tmp_path / "m.gguf")
    with path.open("ab") as file:
        file.truncate(20_000_000)
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom freehold.models.catalog import ModelCatalog\n"
        "ModelCatalog(Path(sys.argv[1])).add(sys.argv[2], copy=True, progress=lambda *_: os.kill(os.getpid(), 9))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(catalog.folder), str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(catalog.folder.glob(".adding-*"))) == 1
    assert len(catalog.list()) == 2
    assert catalog.add(path, copy=True).name == "m"
    assert not list(catalog.folder.glob(".adding-*"))


def test_many_add_at_once(catalog: ModelCatalog, tmp_path: Path) -> None:
    """No change of one thread or process is lost to another's."""
    paths = [a_model(tmp_path / f"m{number}.gguf", f"m{number}") for number in range(8)]
    code = (
        "import sys\nfrom pathlib import Path\nfrom freehold.models.catalog import ModelCatalog\n"
        "for path in sys.argv[2:]: ModelCatalog(Path(sys.argv[1])).add(path, copy=True)\n"
    )
    failed: list[FreeholdError] = []

    def add(path: Path) -> None:
        try:
            catalog.add(path)
        except FreeholdError as error:
            failed.append(error)

    with subprocess.Popen([sys.executable, "-c", code, str(catalog.folder), *map(str, paths[4:])]) as other:
        threads = [threading.Thread(target=add, args=(path,)) for path in paths[:4]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert other.returncode == 0
    assert not failed
    assert {entry.name for entry in catalog.list()} >= {f"m{number}" for number in range(8)}
