"""Several models at once, within one budget of memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from freehold.errors import InferenceError, MemoryBudgetError
from freehold.inference.embeddings import LlamaEmbeddings
from freehold.inference.engine import Engine
from freehold.inference.generation import GenerationResult
from freehold.inference.gguf import ModelHeader
from freehold.inference.machine_memory import effective_budget, room_now
from freehold.inference.memory_estimate import loaded_memory
from freehold.inference.pooled_model import PooledModel
from freehold.inference.reranker import LlamaReranker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ModelPool"]

_ALWAYS = 256 * 2**20
"""A model of so few bytes is not refused for what other programs take: it would not be what fills the machine."""


class _Model(Protocol):
    """What can be held in a pool."""

    @property
    def header(self) -> ModelHeader: ...

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""

    def unload(self) -> bool:
        """Free the weights unless something runs or waits; whether they are free now."""

    def close(self) -> None: ...


M = TypeVar("M", bound=_Model)
T = TypeVar("T", bound=Hashable)


class _Place:
    """A model's share of the budget; guarded by the pool's condition."""

    def __init__(self) -> None:
        self.model: _Model | None = None
        self.needed = 0
        self.taken = 0
        """Bytes of the budget; 0 while the weights are not loaded."""
        self.leaving = False
        """Whether somebody is unloading it."""
        self.loads = 0
        """How often it was loaded: what was decided about an earlier load does not count any more."""
        self.used = time.monotonic()

    @property
    def name(self) -> str:
        return self.model.header.path.name if self.model is not None else ""

    def use(self) -> None:
        self.used = time.monotonic()


class _Placed(PooledModel[T]):
    """Tells its place of every use."""

    def __init__(self, path: str | Path, place: _Place, **options: Any) -> None:
        super().__init__(path, **options)
        self._place = place

    async def _rows(self, items: Sequence[T]) -> list[NDArray[np.float32]]:
        self._place.use()
        return await super()._rows(items)


class _PlacedEmbeddings(_Placed[str], LlamaEmbeddings):
    """Embeddings that tell their place of every use."""


class _PlacedReranker(_Placed[tuple[str, str]], LlamaReranker):
    """A reranker that tells its place of every use."""


class ModelPool:
    """Language models, embedding models and rerankers that share a budget of memory.

    A model is a handle that stays valid: its weights load on first use, and leave, least recently used first, when
    another model needs the room and nothing runs or waits for it. The next use loads them again.

    Args:
        budget: Bytes that loaded models may take together; 20 % of the machine's memory stays free whatever it says.

    Example:
        >>> pool = ModelPool(budget=6 * 2**30)
        >>> small, large = pool.engine("small.gguf"), pool.engine("large.gguf")  # doctest: +SKIP
    """

    def __init__(self, budget: int) -> None:
        self._asked = budget
        self._places: dict[tuple[Any, ...], _Place] = {}
        self._changed = threading.Condition()
        self._closed = False

    @property
    def budget(self) -> int:
        """Bytes that loaded models may take together."""
        return effective_budget(self._asked)

    def loaded(self) -> Mapping[Path, int]:
        """The files whose weights are loaded, with the bytes that each is estimated to take."""
        found: dict[Path, int] = {}
        with self._changed:
            for place in self._places.values():
                if place.model is not None and place.taken:
                    path = place.model.header.path
                    found[path] = found.get(path, 0) + place.taken
        return found

    def engine(self, path: str | Path, **options: Any) -> Engine:
        """The engine of a model; asked for again with the same options, the same one.

        Args:
            path: The GGUF file.
            **options: As `Engine` takes them.

        Raises:
            ModelFileError: The file is missing, damaged, or not a language model.
            InferenceError: The pool is closed.
        """

        def make(place: _Place) -> Engine:
            observe = options.get("observe")

            def observed(result: GenerationResult) -> None:
                place.use()
                if observe is not None:
                    observe(result)

            hooks = {"observe": observed, "before_load": lambda: self._make_room(place)}
            return Engine(path, **(options | hooks))

        def needed(engine: Engine) -> int:
            shape = {name: options[name] for name in ("slots", "flash_attention") if name in options}
            return loaded_memory(engine.header, cache_tokens=engine.cache_tokens, **shape).total

        return self._open(Engine, path, options, make, needed)

    def embeddings(self, path: str | Path, **options: Any) -> LlamaEmbeddings:
        """An embedding model; asked for again with the same options, the same one. Raises what `engine` raises."""

        def make(place: _Place) -> LlamaEmbeddings:
            return _PlacedEmbeddings(path, place, before_load=lambda: self._make_room(place), **options)

        return self._open(LlamaEmbeddings, path, options, make, lambda model: loaded_memory(model.header).total)

    def reranker(self, path: str | Path, **options: Any) -> LlamaReranker:
        """A reranker; asked for again with the same options, the same one. Raises what `engine` raises."""

        def make(place: _Place) -> LlamaReranker:
            return _PlacedReranker(path, place, before_load=lambda: self._make_room(place), **options)

        return self._open(LlamaReranker, path, options, make, lambda model: loaded_memory(model.header).total)

    def _open(
        self,
        kind: type[M],
        path: str | Path,
        options: Mapping[str, Any],
        make: Callable[[_Place], M],
        needed: Callable[[M], int],
    ) -> M:
        key = (kind, Path(path).expanduser().absolute(), frozenset(options.items()))
        with self._changed:
            if self._closed:
                raise InferenceError(f"The pool of models was closed; {path} cannot be opened in it.")
            if (place := self._places.get(key)) is None:
                place = _Place()
                place.model = model = make(place)
                place.needed = needed(model)
                self._places[key] = place
            place.use()
            return cast("M", place.model)

    def _make_room(self, place: _Place) -> None:
        """Take a model's share of the budget, unloading others where it needs theirs; called before its weights load.

        Nothing is held while another model is unloaded: that one may be about to load and be here itself.

        Raises:
            MemoryBudgetError: The model does not fit, alone or beside those that are in use.
        """
        refused: set[int] = set()
        with self._changed:
            place.taken, place.leaving = 0, False  # whatever was known of an earlier load is over
            place.loads += 1
            place.use()
            self._changed.notify_all()
        while True:
            with self._changed:
                left = self._left(place.needed)
                if place.needed <= left:
                    place.taken = place.needed
                    return
                victim = self._victim(place, left, refused)
                if victim is None:
                    self._changed.wait()  # somebody else makes room already
                    continue
                victim.leaving, load = True, victim.loads
            gone = False
            try:
                gone = victim.model is not None and victim.model.unload()
            finally:
                with self._changed:
                    if victim.loads == load:  # else it is loading again, and has taken its share anew
                        victim.leaving = False
                        victim.taken = 0 if gone else victim.taken
                    if not gone:
                        refused.add(id(victim))
                    self._changed.notify_all()

    def _left(self, needed: int) -> int:
        """Bytes that a model may take now, by the budget and by what the machine has left."""
        left = self.budget - sum(place.taken for place in self._places.values())
        return max(0, left if needed <= _ALWAYS else min(left, room_now()))

    def _victim(self, place: _Place, left: int, refused: set[int]) -> _Place | None:
        """Whose weights shall leave; None where some are leaving and will be enough, perhaps.

        Raises:
            MemoryBudgetError: Not even without all that can leave would there be room.
        """
        others = [other for other in self._places.values() if other is not place and other.taken]
        leaving = [other for other in others if other.leaving]
        can_leave = [
            other
            for other in others
            if not other.leaving and id(other) not in refused and other.model is not None and other.model.idle
        ]
        if left + sum(other.taken for other in (*leaving, *can_leave)) < place.needed:
            staying = [other.name for other in others if other not in (*leaving, *can_leave)]
            beside = f", beside {' and '.join(staying)} in use," if staying else ""
            raise MemoryBudgetError(place.name + beside, place.needed, left, self.budget)
        if not can_leave:
            return None
        return min(can_leave, key=lambda other: other.used)

    def close(self) -> None:
        """Close every model; what runs or waits fails with InferenceError. Safe to call again."""
        with self._changed:
            self._closed = True
            models = [place.model for place in self._places.values()]
            self._places.clear()
        for model in reversed(models):
            if model is not None:
                model.close()
