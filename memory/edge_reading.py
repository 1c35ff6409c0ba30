"""The reading calls of `EdgeQdrantClient`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models

from freehold.errors import StorageError
from freehold.memory.edge_base import EdgeBase, check_options
from freehold.memory.edge_filters import to_filter
from freehold.memory.edge_groups import fill_groups, with_more
from freehold.memory.edge_models import from_id, from_record, from_scored, to_id, to_selector
from freehold.memory.edge_queries import QueryTranslator, check_limit, to_order
from freehold.memory.edge_shard import engine_errors

__all__ = ["EdgeReading"]


class EdgeReading(EdgeBase):
    """Queries, and points by id, by page and by number."""

    # --- queries -----------------------------------------------------------------------------------------------------

    def _vector_of(self, name: str, identity: Any, vector: str) -> Any:
        found = self.retrieve(name, [identity], with_payload=False, with_vectors=True)
        if not found:
            raise StorageError(
                f"Point {identity!r} not found in collection {name!r}; query with a vector or a known id."
            )
        held: Any = found[0].vector
        value = (held if isinstance(held, dict) else {"": held}).get(vector)
        if value is None:
            raise StorageError(f"Point {identity!r} has no vector {vector!r} in {name!r}; name one that it has.")
        return value

    def query_points(  # noqa: PLR0913, PLR0917 - qdrant-client's signature
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: Any = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        lookup_from: models.LookupLocation | None = None,
        *unused: Any,
        **options: Any,
    ) -> models.QueryResponse:
        """Nearest points, a fusion of prefetches, or points by id where there is no query."""
        check_options("query_points", unused, options)
        request = models.QueryRequest.model_construct(
            query=query,
            using=using,
            prefetch=prefetch,
            filter=query_filter,
            params=search_params,
            limit=limit,
            offset=offset,
            with_payload=with_payload,
            with_vector=with_vectors,
            score_threshold=score_threshold,
            lookup_from=lookup_from,
        )
        return self.query_batch_points(collection_name, [request])[0]

    def query_batch_points(
        self, collection_name: str, requests: Sequence[models.QueryRequest], *unused: Any, **options: Any
    ) -> list[models.QueryResponse]:
        """Several queries in one pass over the collection; answers come in the order of the requests."""
        check_options("query_batch_points", unused, options)
        shard = self._folder.shard(collection_name)
        translator = QueryTranslator(collection_name, self._vector_of)
        with engine_errors("read the query", collection_name):
            translated = [translator.request(request) for request in requests]
        if len(translated) == 1:
            action = "query by a formula whose variables each have a default" if _has_formula(requests[0]) else "query"
            answers = [shard.read(action, lambda opened: opened.query(translated[0]))]
        else:
            answers = shard.read("query", lambda opened: opened.query_batch(edge.QueryBatchRequest(translated)))
        return [models.QueryResponse.model_construct(points=[from_scored(hit) for hit in hits]) for hits in answers]

    def query_points_groups(  # noqa: PLR0913, PLR0917 - qdrant-client's signature
        self,
        collection_name: str,
        group_by: str,
        query: Any = None,
        using: str | None = None,
        prefetch: Any = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        group_size: int = 3,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        with_lookup: models.WithLookup | str | None = None,
        lookup_from: models.LookupLocation | None = None,
        *unused: Any,
        **options: Any,
    ) -> models.GroupsResult:
        """The best points of each value of a payload key; groups come in the order of their best points."""
        check_options("query_points_groups", unused, options)
        check_limit(limit)
        check_limit(group_size)
        given = models.QueryRequest.model_construct(
            query=query,
            using=using,
            prefetch=prefetch,
            filter=query_filter,
            params=search_params,
            with_payload=True,
            with_vector=False,
            score_threshold=score_threshold,
            lookup_from=lookup_from,
        )
        everything = self.count(collection_name).count
        fetched = limit * group_size
        while True:
            request = with_more(given, fetched, group_by)
            hits = self.query_batch_points(collection_name, [request])[0].points
            groups, full = fill_groups(hits, group_by, limit, group_size)
            if full or fetched >= everything:
                break
            fetched = min(4 * fetched, everything)
        self._dress(collection_name, groups, with_payload, with_vectors)
        if with_lookup is not None:
            self._look_up(groups, with_lookup)
        return models.GroupsResult(groups=groups)

    def _dress(self, name: str, groups: list[models.PointGroup], with_payload: Any, with_vectors: Any) -> None:
        """Give the hits what was asked for; all of them had their payload, to be grouped by."""
        ids = list({hit.id: None for group in groups for hit in group.hits})
        records = {one.id: one for one in self.retrieve(name, ids, with_payload, with_vectors)} if ids else {}
        for hit in (hit for group in groups for hit in group.hits):
            record = records.get(hit.id)
            hit.payload, hit.vector = (record.payload, record.vector) if record else (None, None)

    def _look_up(self, groups: list[models.PointGroup], lookup: models.WithLookup | str) -> None:
        """Give each group the point whose id its value is, of another collection."""
        told = models.WithLookup(collection=lookup) if isinstance(lookup, str) else lookup
        payload = True if told.with_payload is None else told.with_payload
        for group in groups:
            try:
                identity = to_id(group.id)
            except StorageError:  # a value that is no id has no point
                continue
            group.lookup = next(iter(self.retrieve(told.collection, [identity], payload, told.with_vectors)), None)

    # --- points ------------------------------------------------------------------------------------------------------

    def retrieve(
        self,
        collection_name: str,
        ids: Sequence[Any],
        with_payload: Any = True,
        with_vectors: Any = False,
        *unused: Any,
        **options: Any,
    ) -> list[models.Record]:
        """Points by their ids; unknown ids are left out."""
        check_options("retrieve", unused, options)
        wanted, selector = [to_id(one) for one in ids], to_selector(with_payload)
        shard = self._folder.shard(collection_name)
        found = shard.read("retrieve", lambda opened: opened.retrieve(wanted, selector, with_vectors or False))
        return [from_record(record) for record in found]

    def scroll(  # noqa: PLR0913, PLR0917 - qdrant-client's signature
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        order_by: Any = None,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        *unused: Any,
        **options: Any,
    ) -> tuple[list[models.Record], int | str | None]:
        """A page of points in the order of their ids, and the id that the next page starts with, or None.

        Ordered by a payload key there is no next page: start again from the last value, without what has been seen.
        """
        check_options("scroll", unused, options)
        with engine_errors("read the request", collection_name):
            request = edge.ScrollRequest(
                offset=None if offset is None else to_id(offset),
                limit=check_limit(limit),
                filter=to_filter(scroll_filter),
                with_payload=to_selector(with_payload),
                with_vector=with_vectors or False,
                order_by=to_order(order_by),
            )
        records, following = self._folder.shard(collection_name).read("scroll", lambda opened: opened.scroll(request))
        return [from_record(record) for record in records], from_id(following)

    def count(
        self,
        collection_name: str,
        count_filter: models.Filter | None = None,
        exact: bool = True,
        *unused: Any,
        **options: Any,
    ) -> models.CountResult:
        """How many points the filter lets through."""
        check_options("count", unused, options)
        with engine_errors("read the filter", collection_name):
            request = edge.CountRequest(exact=exact, filter=to_filter(count_filter))
        return models.CountResult(
            count=self._folder.shard(collection_name).read("count", lambda opened: opened.count(request))
        )

    def facet(
        self,
        collection_name: str,
        key: str,
        facet_filter: models.Filter | None = None,
        limit: int = 10,
        exact: bool = False,
        *unused: Any,
        **options: Any,
    ) -> models.FacetResponse:
        """How many points have each value of a payload key that has an index, the most frequent values first."""
        check_options("facet", unused, options)
        with engine_errors("read the request", collection_name):
            request = edge.FacetRequest(key, check_limit(limit), exact, to_filter(facet_filter))
        answer = self._folder.shard(collection_name).read("facet", lambda opened: opened.facet(request))
        # The index remembers values that no point has any more.
        hits = [models.FacetValueHit(value=_plain(hit.value), count=hit.count) for hit in answer.hits if hit.count]
        return models.FacetResponse(hits=hits)


def _has_formula(request: models.QueryRequest) -> bool:
    return isinstance(request.query, models.FormulaQuery)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, uuid.UUID) else value
