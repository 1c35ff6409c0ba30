"""Vectors on their way into qdrant-edge, checked before the engine sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import qdrant_edge as edge
from qdrant_client.http import models

from freehold.errors import StorageError

__all__ = ["VectorSchema", "to_vector"]

_LARGEST_NORM = 1.8e19  # its square is the largest that single precision holds


def to_vector(value: Any) -> Any:
    """A dense, sparse or multi-vector as the engine takes it.

    Raises:
        StorageError: It holds NaN, infinity or what is no number, or a sparse vector is not well-formed.
        NotImplementedError: It is a text or an image, which something else must embed.
    """
    if isinstance(value, models.SparseVector):
        return _to_sparse(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        raise NotImplementedError(f"EdgeQdrantClient does not embed {type(value).__name__}; give a vector.")
    if value and isinstance(value[0], (list, tuple)):
        for one in value:
            _check_numbers(one)
    else:
        _check_numbers(value)
    return value if isinstance(value, list) else list(value)


def _check_numbers(values: Any) -> None:
    try:
        norm = math.hypot(*values)
    except TypeError as error:
        raise StorageError(f"A vector is made of numbers: {error}.") from error
    if not norm < _LARGEST_NORM:  # the engine would take it, and never find its neighbours again
        raise StorageError("The vector holds NaN or infinity; check what the embedder was given.")


def _to_sparse(value: models.SparseVector) -> edge.SparseVector:
    indices, values = list(value.indices), list(value.values)
    if len(indices) != len(values):  # once in the log, the engine could not open the shard again
        raise StorageError(
            f"A sparse vector has {len(indices)} indices and {len(values)} values; give as many of each."
        )
    if len(set(indices)) != len(indices):
        raise StorageError("A sparse vector names an index twice; give each one once.")
    if indices and not 0 <= min(indices) <= max(indices) < 2**32:
        raise StorageError("A sparse vector's indices are from 0 to 4294967295.")
    _check_numbers(values)
    return edge.SparseVector(indices, values)


class _Vector(NamedTuple):
    kind: str
    size: int


class VectorSchema:
    """Names, kinds and sizes of a collection's vectors.

    What is written is held against it first: the engine would store the points before a bad one, and raise then.

    Args:
        vectors: Dense and multi-vectors, one without a name or several with names.
        sparse: Sparse vectors by name.
    """

    def __init__(
        self,
        vectors: models.VectorParams | Mapping[str, models.VectorParams] | None,
        sparse: Mapping[str, models.SparseVectorParams] | None,
    ) -> None:
        named = {"": vectors} if isinstance(vectors, models.VectorParams) else dict(vectors or {})
        self._vectors = {
            name: _Vector("dense" if one.multivector_config is None else "multi", one.size)
            for name, one in named.items()
        }
        self._vectors.update(dict.fromkeys(sparse or {}, _Vector("sparse", 0)))

    def check_name(self, name: str) -> None:
        """Refuse a name that no vector of the collection has."""
        if name not in self._vectors:
            known = ", ".join(repr(one) for one in sorted(self._vectors)) or "none"
            raise StorageError(f"There is no vector {name!r}; the collection has {known}.")

    def is_sparse(self, name: str) -> bool:
        """Whether the vector of this name is sparse."""
        return self._vectors[name].kind == "sparse"

    def to_vectors(self, value: Any) -> Any:
        """The vectors of a point: one without a name, or a mapping of names to vectors.

        Raises:
            StorageError: A vector has an unknown name, another kind or size than its name says, or is malformed.
        """
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return {name: self._to_named(name, one) for name, one in value.items()}
        return self._to_named("", value)

    def _to_named(self, name: str, value: Any) -> Any:
        self.check_name(name)
        kind, size = self._vectors[name]
        vector = to_vector(value)
        if isinstance(vector, edge.SparseVector):
            given, sizes = "sparse", [0]
        elif vector and isinstance(vector[0], (list, tuple)):
            given, sizes = "multi", [len(one) for one in vector]
        else:
            given, sizes = "dense", [len(vector)]
        if given != kind:
            raise StorageError(f"Vector {name!r} is {kind}, and a {given} one was given.")
        wrong = next((one for one in sizes if one != size), None)
        if wrong is not None:
            raise StorageError(f"Vector {name!r} has another size: expected dim: {size}, got {wrong}.")
        return vector
