"""Saved sequences come back to the byte or not at all, and never take more room than they may."""

from __future__ import annotations

import ctypes
import random
import resource
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from freehold.errors import StorageError
from freehold.inference.sequence_store import SequenceStore

HEADER = 56
TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=6)
MODELS = st.sampled_from(["model", "other"])
THREADS = st.sampled_from(["ada", "bob", "\ud800 \u6f22", ""])

WRITER = """
import sys
from pathlib import Path
from freehold.inference.sequence_store import SequenceStore
store = SequenceStore(Path(sys.argv[1]), 10**9, "model")
number = 0
while True:
    store.save(f"thread {number % 3}", [number, 1, 2], bytes([number % 251]) * 30_000_000)
    number += 1
"""


def common(a: list[int], b: list[int]) -> int:
    """Length of the common beginning."""
    return next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def found(store: SequenceStore, tokens: list[int]) -> tuple[list[int], int, bytes] | None:
    """The longest saved sequence that can be loaded: its tokens, what is common, its state."""
    while (saved := store.longest(tokens)) is not None:
        if (state := store.load(saved)) is not None:
            return saved.tokens.tolist(), saved.common, state
    return None


class StoreMachine(RuleBasedStateMachine):
    """Two models' stores in one folder, beside a dictionary that forgets the least recently used."""

    BOUND = 300

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.kept: OrderedDict[tuple[str, str], tuple[list[int], bytes]] = OrderedDict()
        self.open()

    def open(self) -> None:
        """Open both stores anew."""
        self.stores = {model: SequenceStore(self.folder, self.BOUND, model) for model in ("model", "other")}

    def teardown(self) -> None:
        """Remove the folder."""
        self.temporary.cleanup()

    @staticmethod
    def bytes_of(tokens: list[int], state: bytes) -> int:
        """Size of a file."""
        return HEADER + 4 * len(tokens) + len(state)

    @rule(model=MODELS, thread=THREADS, tokens=TOKENS, state=st.binary(max_size=300))
    def save(self, model: str, thread: str, tokens: list[int], state: bytes) -> None:
        """Saving replaces the thread's own, evicts the oldest others, and refuses what is too large."""
        fits = self.bytes_of(tokens, state) <= self.BOUND
        assert self.stores[model].save(thread, tokens, state) is fits
        if fits:
            self.kept.pop((thread, model), None)
            self.kept[thread, model] = (tokens, state)
            while sum(self.bytes_of(*each) for each in self.kept.values()) > self.BOUND:
                self.kept.popitem(last=False)

    @rule(model=MODELS, tokens=TOKENS)
    def restore(self, model: str, tokens: list[int]) -> None:
        """What is found has the longest common beginning of what the model kept, and its own state."""
        mine = {key: value for key, value in self.kept.items() if key[1] == model}
        best = max((common(tokens, row) for row, _ in mine.values()), default=0)
        result = found(self.stores[model], tokens)
        assert (result is None) is (best == 0)
        if result is not None:
            row, shared, state = result
            assert shared == best
            assert len(row) == min(len(r) for r, _ in mine.values() if common(tokens, r) == best)
            assert (row, state) in mine.values()
            # Which of several equal ones was used cannot be seen: leave one.
            same = [key for key, value in mine.items() if value == (row, state)]
            if len(same) == 1:
                self.kept.move_to_end(same[0])
            else:
                for key in same:
                    self.erase(key[0])

    @rule(thread=THREADS)
    def erase(self, thread: str) -> None:
        """Erasing removes a thread's files of both models."""
        gone = [key for key in self.kept if key[0] == thread]
        assert self.stores["model"].erase(thread) == len(gone)
        for key in gone:
            del self.kept[key]

    @precondition(lambda self: self.kept)
    @rule()
    def clear(self) -> None:
        """Clearing removes everything."""
        assert self.stores["other"].clear() == len(self.kept)
        self.kept.clear()

    @rule()
    def reopen(self) -> None:
        """A restart loses nothing, the order of use included."""
        self.open()
        for model, store in self.stores.items():
            assert len(store) == sum(key[1] == model for key in self.kept)

    @invariant()
    def bounded(self) -> None:
        """The folder holds what the model kept, and nothing else."""
        assert self.stores["model"].size == sum(self.bytes_of(*each) for each in self.kept.values()) <= self.BOUND
        assert len(list(self.folder.iterdir())) == len(self.kept)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=25)


@pytest.fixture
def store(tmp_path: Path) -> SequenceStore:
    """An empty store of a megabyte."""
    return SequenceStore(tmp_path / "sequences", 2**20, "model")


def test_every_damaged_byte_is_seen(store: SequenceStore, tmp_path: Path) -> None:
    """Any byte that changed, went or came makes a file unusable and deletes it: llama.cpp crashes on damaged states."""
    assert store.save("t", [1, 2, 3], b"state of it")
    (path,) = (tmp_path / "sequences").iterdir()
    data = path.read_bytes()
    damaged = [data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :] for at in range(len(data)) for bit in (1, 0x80)]
    damaged += [data[:at] for at in range(len(data))] + [data + b"x"]
    for content in damaged:
        saved = store.longest([1, 2, 3, 4])
        assert saved is not None
        path.write_bytes(content)
        assert store.load(saved) is None
        assert not path.exists()
        assert len(store) == 0
        path.write_bytes(content)  # now it is there when the store is opened
        opened = SequenceStore(tmp_path / "sequences", 2**20, "model")
        for row in list(opened._index.values()):
            assert found(opened, row.tolist()) is None
        assert not path.exists()
        assert store.save("t", [1, 2, 3], b"state of it")
    assert found(store, [1, 2, 4]) == ([1, 2, 3], 2, b"state of it")


def test_state_from_native_memory(store: SequenceStore) -> None:
    """What llama.cpp writes into a ctypes array is taken as it is, and so are tokens of numpy."""
    state = (ctypes.c_uint8 * 8)(*range(8))
    assert store.save("t", np.arange(3, dtype=np.int32), memoryview(state)[:6])
    assert found(store, [0, 1]) == ([0, 1, 2], 2, bytes(range(6)))


def test_a_thread_that_went_on_is_not_mistaken(store: SequenceStore) -> None:
    """A sequence that was replaced between finding and loading is not given out under the old tokens."""
    store.save("t", [1, 2], b"old")
    saved = store.longest([1, 2])
    assert saved is not None
    store.save("t", [1, 2, 3], b"new")
    assert store.load(saved) is None
    assert found(store, [1, 2]) == ([1, 2, 3], 2, b"new")


def test_only_the_owner_reads_and_no_name_is_written(store: SequenceStore, tmp_path: Path) -> None:
    """The folder is nobody else's to read, and a thread's name stands nowhere in it."""
    store.save("conversation-of-ada", [1, 2], b"state")
    (path,) = (tmp_path / "sequences").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert b"ada" not in path.read_bytes() + path.name.encode()


def test_a_lower_bound_holds_from_the_start(store: SequenceStore, tmp_path: Path) -> None:
    """Whoever lowers the bound, or switches saving off, has the room at once; the newest stay."""
    for number in range(5):
        store.save(f"t{number}", [number], bytes(940))  # 1,000 bytes with the header and the token
    store = SequenceStore(tmp_path / "sequences", 2500, "model")
    assert (len(store), store.size) == (2, 2000)
    assert found(store, [4]) == ([4], 1, bytes(940))
    store = SequenceStore(tmp_path / "sequences", 0, "model")
    assert (len(store), store.size) == (0, 0)
    assert not store.save("t", [1], b"")


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """What the store did not write is neither counted nor deleted."""
    for name in ("notes.txt", "x.sequence", "y.part"):
        (tmp_path / name).write_bytes(bytes(100))
    store = SequenceStore(tmp_path, 1000, "model")
    assert store.save("t", [1], bytes(900))
    assert (store.size, store.clear()) == (HEADER + 4 + 900, 1)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "x.sequence", "y.part"}


def test_disk_full(store: SequenceStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A state that the disk does not take is not saved, leaves nothing behind, and harms no other."""
    store.save("t", [1, 2], b"small")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        assert not store.save("t", [1, 2, 3], bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "not saved" in caplog.text
    assert len(list((tmp_path / "sequences").iterdir())) == 1
    assert found(store, [1, 2, 3]) == ([1, 2], 2, b"small")
    assert store.save("t", [1, 2, 3], bytes(100_000))


def test_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """A store without its folder keeps nothing and stops nothing; what cannot be erased is said."""
    (tmp_path / "file").touch()
    store = SequenceStore(tmp_path / "file", 1000, "model")
    assert not store.save("t", [1], b"state")
    assert store.longest([1]) is None
    with pytest.raises(StorageError, match="cannot be deleted"):
        store.erase("t")


def test_killed_while_it_saves(tmp_path: Path) -> None:
    """Kill -9 in the midst of a save leaves whole files only; what was unfinished goes at the next start."""
    left = False
    for _ in range(20):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
        try:
            while not list(tmp_path.glob("*.part")):
                assert child.poll() is None
        finally:
            child.kill()
            child.wait()
        left = bool(list(tmp_path.glob("*.part")))
        store = SequenceStore(tmp_path, 10**9, "model")
        assert not list(tmp_path.glob("*.part"))
        for path in list(tmp_path.iterdir()):
            number = int(np.frombuffer(path.read_bytes()[HEADER : HEADER + 4], "<i4")[0])
            assert found(store, [number]) == ([number, 1, 2], 1, bytes([number % 251]) * 30_000_000)
        if left:
            break
    assert left, "never killed in the midst of a save"


def test_two_threads(tmp_path: Path) -> None:
    """Two threads that save, find, load and erase at once get right states only, within the bound."""
    stores = [SequenceStore(tmp_path, 5000, model) for model in ("model", "model", "other")]
    wrong: list[object] = []

    def use(store: SequenceStore, seed: int) -> None:
        chooser = random.Random(seed)
        try:
            for _ in range(300):
                tokens = [chooser.randrange(3) for _ in range(chooser.randint(1, 5))]
                thread = str(chooser.randrange(6))
                action = chooser.random()
                if action < 0.5:
                    store.save(thread, tokens, bytes(tokens) * 200)
                elif action < 0.9:
                    result = found(store, tokens)
                    if result is not None and result[2] != bytes(result[0]) * 200:
                        wrong.append(result)
                else:
                    store.erase(thread)
        except Exception as error:  # noqa: BLE001 - a thread's error must reach the test
            wrong.append(error)

    threads = [threading.Thread(target=use, args=(stores[at % 3], at)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert stores[0].size <= 5000
    assert not list(tmp_path.glob("*.part"))


def test_models_do_not_mix(tmp_path: Path) -> None:
    """Another model's state is never found, and erasing a thread removes it too."""
    first, second = (SequenceStore(tmp_path, 10_000, model) for model in ("a", "b"))
    first.save("t", [1, 2], b"of a")
    assert found(second, [1, 2]) is None
    second.save("t", [1, 2], b"of b")
    assert found(first, [1, 2]) == ([1, 2], 2, b"of a")
    assert second.erase("t") == 2
    assert found(first, [1, 2]) is None
