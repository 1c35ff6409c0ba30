"""A collection's configuration as qdrant-edge takes it."""

from __future__ import annotations

from collections.abc import Mapping

import qdrant_edge as edge
from qdrant_client.http import models

__all__ = ["collection_config"]


def _memory(memory: models.Memory | None) -> edge.Memory | None:
    return None if memory is None else getattr(edge.Memory, memory.value.capitalize())


def _datatype(datatype: models.Datatype | None) -> edge.VectorStorageDatatype | None:
    return None if datatype is None else getattr(edge.VectorStorageDatatype, datatype.value.capitalize())


def _hnsw(given: models.HnswConfigDiff | None) -> edge.HnswIndexConfig | None:
    if given is None:
        return None
    return edge.HnswIndexConfig(
        16 if given.m is None else given.m,
        given.ef_construct or 100,
        10_000 if given.full_scan_threshold is None else given.full_scan_threshold,
        given.max_indexing_threads or 0,
        on_disk=given.on_disk,
        payload_m=given.payload_m,
        inline_storage=given.inline_storage,
        memory=_memory(given.memory),
    )


def _vector(params: models.VectorParams) -> edge.EdgeVectorParams:
    if params.quantization_config is not None:
        raise NotImplementedError("EdgeQdrantClient does not translate quantization_config.")
    multi = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    return edge.EdgeVectorParams(
        params.size,
        getattr(edge.Distance, params.distance.value),
        # Mapped and read as it is used; else opening a collection reads 32 MB into memory, however small it is.
        on_disk=params.on_disk is not False,
        multivector_config=None if params.multivector_config is None else multi,
        datatype=_datatype(params.datatype),
        hnsw_config=_hnsw(params.hnsw_config),
        memory=_memory(params.memory),
    )


def _sparse(params: models.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    index = params.index or models.SparseIndexParams()
    return edge.EdgeSparseVectorParams(
        full_scan_threshold=index.full_scan_threshold,
        on_disk=index.on_disk,
        modifier=edge.Modifier.Idf if params.modifier == models.Modifier.IDF else None,
        datatype=_datatype(index.datatype),
        memory=_memory(index.memory),
    )


def collection_config(
    vectors: models.VectorParams | Mapping[str, models.VectorParams] | None,
    sparse: Mapping[str, models.SparseVectorParams] | None,
    hnsw: models.HnswConfigDiff | None = None,
) -> edge.EdgeConfig:
    """A shard's configuration, write-ahead log on."""
    named = {"": vectors} if isinstance(vectors, models.VectorParams) else dict(vectors or {})
    return edge.EdgeConfig(
        vectors={name: _vector(one) for name, one in named.items()},
        sparse_vectors={name: _sparse(one) for name, one in (sparse or {}).items()},
        hnsw_config=_hnsw(hnsw),
        wal_enabled=True,
    )
