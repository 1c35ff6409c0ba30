"""Which models there are: names for GGUF files, with the checksums that they were added with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from freehold.errors import ModelFileError, StorageError, UserError
from freehold.inference.gguf import ModelHeader, read_header
from freehold.inference.memory_estimate import loaded_memory
from freehold.models import DEMO_MODEL, EMBEDDING_MODEL, model_path
from freehold.models.file_copy import LEFTOVERS, Progress, copy_file, digest, told_mismatch, write_atomically

__all__ = ["CatalogEntry", "ModelCatalog", "Task", "Verified"]

Task = Literal["chat", "embedding", "rerank"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class CatalogEntry:
    """A model that the catalog names."""

    name: str
    path: Path
    """The GGUF file."""
    sha256: str
    """Of the file when it was added."""
    context_length: int
    """Tokens that the model was trained for; 0 where the file does not say."""
    task: Task
    size: int
    """Bytes of the file."""
    memory: int
    """Bytes that the model is estimated to take with the default settings."""
    origin: Literal["shipped", "copied", "in place"] = "in place"
    """Where the file lies: in the package, in the catalog's folder, or where its owner keeps it."""


@dataclass(frozen=True)
class Verified:
    """What became of a model's file since it was added."""

    entry: CatalogEntry
    status: Literal["ok", "changed", "missing", "unreadable"]
    sha256: str | None
    """Of the file as it is now; None where there is none that can be read."""


class ModelCatalog:
    """The models of a workspace: the two that ship with Freehold, and those that were added.

    Every call reads `catalog.json` anew and every change replaces it as a whole, behind a lock across processes: any
    number of threads and processes may use one folder.

    Args:
        folder: Made when the first model is added.

    Example:
        >>> [entry.name for entry in ModelCatalog(tmp_path / "models").list()]
        ['all-minilm-l6-v2', 'freehold-demo']
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> tuple[CatalogEntry, ...]:
        """Every model, by name.

        Raises:
            StorageError: `catalog.json` is damaged or cannot be read.
        """
        return tuple(sorted((*_shipped(), *self._read()), key=lambda entry: entry.name.casefold()))

    def find(self, name: str) -> CatalogEntry:
        """The model of this name.

        Raises:
            ModelFileError: There is none; the message lists the names that there are.
        """
        for entry in self.list():
            if entry.name.casefold() == name.casefold():
                return entry
        raise ModelFileError(
            f"No model is named {name!r}; there are {self._names()}. Add one: freehold models add FILE."
        )

    def locate(self, model: Path) -> Path:
        """The file that a setting means: a path, or where there is no such file, a name.

        Raises:
            ModelFileError: It is neither; the message lists the names that there are.
        """
        found = self.resolve(model)
        if not found.is_file():
            raise ModelFileError(
                f"There is no model file {model}, and no model of that name; there are {self._names()}. "
                "Check the path, or add the model: freehold models add FILE."
            )
        return found

    def resolve(self, model: Path) -> Path:
        """The file of the model of this name; the path itself where it leads to a file, or is no name that is known."""
        if not model.is_file() and len(model.parts) == 1:
            for entry in self.list():
                if entry.name.casefold() == model.name.casefold():
                    return entry.path
        return model

    def add(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        copy: bool = False,
        sha256: str | None = None,
        progress: Progress | None = None,
    ) -> CatalogEntry:
        """Take a GGUF file into the catalog, where it lies or as a copy in the catalog's folder.

        Args:
            path: The file.
            name: 1 to 64 letters, digits, dots, dashes and underscores; by default made from the file's name.
            copy: Copy the file into the catalog's folder.
            sha256: What the publisher says; another file is refused.
            progress: Called while the file is read.

        Raises:
            ModelFileError: The file is missing, damaged, no model of one file, not the one that was meant, or there
                already.
            UserError: The name or the SHA-256 cannot be used, or the name is taken.
            StorageError: The disk is full, or the folder cannot be written to.
        """
        header = read_header(Path(path).expanduser().absolute())
        task = _task(header)
        name = name if name is not None else _name_from(header.path)
        if not _NAME.fullmatch(name):
            raise UserError(
                f"The name {name!r} cannot be used: take 1 to 64 letters, digits, dots, dashes and underscores, and "
                "begin with a letter or digit."
            )
        wanted = sha256.strip().lower() if sha256 is not None else None
        if wanted is not None and not _SHA256.fullmatch(wanted):
            raise UserError(f"{sha256!r} is not a SHA-256: it has 64 digits, 0 to 9 and a to f.")
        with self._locked():
            self._check_new(name, header.path)
            file = self.folder / f"{name}.gguf" if copy else header.path
            if copy and file.exists():
                raise UserError(
                    f"There is a file {file} already that the catalog does not name. Add it where it lies, without "
                    "copying, or move it away."
                )
            found = copy_file(header.path, file, wanted, progress) if copy else digest(header.path, progress)
            entry = CatalogEntry(
                name=name,
                path=file,
                sha256=found,
                context_length=header.context_length,
                task=task,
                size=header.file_size,
                memory=loaded_memory(header).total,
                origin="copied" if copy else "in place",
            )
            try:
                self._take_in(entry, header.path, wanted)
            except BaseException:
                if copy:
                    file.unlink(missing_ok=True)
                raise
        return entry

    def _take_in(self, entry: CatalogEntry, source: Path, wanted: str | None) -> None:
        if wanted not in (None, entry.sha256):
            raise ModelFileError(told_mismatch(source, str(wanted), entry.sha256))
        for other in self.list():
            if other.sha256 == entry.sha256:
                raise ModelFileError(f"{source} is in the catalog already, by the name {other.name}.")
        self._write([*self._read(), entry])

    def verify(self, name: str | None = None, *, progress: Progress | None = None) -> tuple[Verified, ...]:
        """Read the file of one model, or of all, and compare its SHA-256 with the one that it was added with.

        Raises:
            ModelFileError: No model has this name.
        """
        return tuple(_verify(entry, progress) for entry in ((self.find(name),) if name is not None else self.list()))

    def remove(self, name: str, *, keep_file: bool = False) -> CatalogEntry:
        """Take a model out of the catalog. A file that was copied in is deleted; one that lies elsewhere never is.

        Args:
            name: The model's name.
            keep_file: Leave a copied file where it is, too.

        Raises:
            ModelFileError: No model has this name.
            UserError: It ships with Freehold.
            StorageError: The folder cannot be written to.
        """
        with self._locked():
            entry = self.find(name)
            if entry.origin == "shipped":
                raise UserError(f"The model {entry.name} ships with Freehold and cannot be removed.")
            self._write([other for other in self._read() if other.name != entry.name])
            if entry.origin == "copied" and not keep_file:
                try:
                    entry.path.unlink(missing_ok=True)
                except OSError as error:
                    raise StorageError(f"{entry.path} cannot be deleted: {error.strerror or error}.") from error
        return entry

    def _names(self) -> str:
        return ", ".join(entry.name for entry in self.list())

    def _check_new(self, name: str, path: Path) -> None:
        for entry in self.list():
            if entry.name.casefold() == name.casefold():
                raise UserError(
                    f"The name {entry.name} is taken by {entry.path}. Give another, or remove that one first."
                )
            if entry.path.resolve() == path.resolve():
                raise ModelFileError(f"{path} is in the catalog already, by the name {entry.name}.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The right to change the catalog, across threads and processes."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=_WAIT_SECONDS):
                for file in self.folder.glob(LEFTOVERS):
                    file.unlink(missing_ok=True)
                yield
        except Timeout as error:
            raise UserError(f"Another process is changing {self.folder}; try again when it is done.") from error
        except OSError as error:
            raise StorageError(f"The folder {self.folder} cannot be used: {error.strerror or error}.") from error

    def _read(self) -> tuple[CatalogEntry, ...]:
        file = self.folder / "catalog.json"
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"The model catalog {file} cannot be read: {error}.") from error
        try:
            return tuple(_entry(row, self.folder) for row in json.loads(text)["models"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StorageError(
                f"The model catalog {file} is damaged ({error!r}). Delete it and add your models again; "
                "their files stay."
            ) from error

    def _write(self, entries: Sequence[CatalogEntry]) -> None:
        rows = [asdict(entry) | {"path": _stored(entry, self.folder)} for entry in entries]
        write_atomically(self.folder / "catalog.json", json.dumps({"models": rows}, indent=1) + "\n")


def _stored(entry: CatalogEntry, folder: Path) -> str:
    """A copied file is named by its place in the folder, so that a workspace can be moved."""
    return entry.path.name if entry.path.parent == folder else str(entry.path)


def _entry(row: dict[str, Any], folder: Path) -> CatalogEntry:
    entry = CatalogEntry(**row)
    numbers = (entry.context_length, entry.size, entry.memory)
    texts = (entry.name, str(entry.path), entry.sha256)
    if not all(isinstance(number, int) for number in numbers) or not all(isinstance(text, str) for text in texts):
        raise TypeError("a value of another type")
    if entry.task not in ("chat", "embedding", "rerank") or entry.origin not in ("copied", "in place"):
        raise ValueError(f"{entry.task!r}, {entry.origin!r}")
    return replace(entry, path=folder / row["path"])


@cache
def _shipped() -> tuple[CatalogEntry, ...]:
    """The two models of the package; their checksums stand in its README, which a test holds against the files."""
    page = (model_path(DEMO_MODEL).parent / "README.md").read_text(encoding="utf-8")
    sums = dict(re.findall(r"^\| `([^`]+\.gguf)` \|.*\| `([0-9a-f]{64})` \|$", page, re.MULTILINE))
    entries = []
    for file in (DEMO_MODEL, EMBEDDING_MODEL):
        header = read_header(model_path(file))
        entries.append(
            CatalogEntry(
                name=file.split(".")[0],
                path=header.path,
                sha256=sums[file],
                context_length=header.context_length,
                task=_task(header),
                size=header.file_size,
                memory=loaded_memory(header).total,
                origin="shipped",
            )
        )
    return tuple(entries)


def _task(header: ModelHeader) -> Task:
    """What a model is for.

    Raises:
        ModelFileError: The file is part of a model, or an addition to one.
    """
    parts, kind = header.metadata.get("split.count", 1), header.metadata.get("general.type", "model")
    if isinstance(parts, int) and parts > 1:
        raise ModelFileError(
            f"{header.path} is one of {parts} parts of a model. Merge them with llama.cpp's llama-gguf-split --merge."
        )
    if kind != "model" or header.architecture == "clip":
        raise ModelFileError(f"{header.path} is no model but an addition to one ({kind}, {header.architecture}).")
    if header.pooling == "rank":
        return "rerank"
    return "embedding" if not header.causal or header.pooling not in (None, "none") else "chat"


def _name_from(path: Path) -> str:
    """The file's name without its ending, what cannot stand in a name replaced by dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.name.removesuffix(path.suffix)).strip("-._")[:64] or "model"


def _verify(entry: CatalogEntry, progress: Progress | None) -> Verified:
    try:
        found = digest(entry.path, progress)
    except ModelFileError:
        return Verified(entry, "unreadable" if entry.path.exists() else "missing", None)
    return Verified(entry, "ok" if found == entry.sha256 else "changed", found)
