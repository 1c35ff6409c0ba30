"""Facts on their way into mem0: known ones last longer, contradicted ones make room. All of it on mem0's thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from freehold.memory.admission import Admission, Remembered
from freehold.memory.attributes import attribute
from freehold.memory.contradiction import contradicts
from freehold.memory.fact_form import same_fact
from freehold.memory.memory_rows import Placement, delete, fingerprint, is_alive, memory_of
from freehold.memory.neighbours import follows
from freehold.state import Memory

if TYPE_CHECKING:
    import numpy as np

__all__ = ["insert", "is_told_again", "keep", "replace"]


def keep(  # noqa: PLR0913, PLR0917 - a step of `LongTermMemory.remember`
    mem0: Any,
    facts: Sequence[str],
    vectors: np.ndarray[Any, Any],
    whole: Placement,
    refused: Counter[str],
    admission: Admission,
) -> Remembered:
    """Store the facts that are new, each in the place of those that it contradicts and outlives.

    A fact that is known is a duplicate, and lasts as long as either of the two. One that is true for a while only does
    not end what was true before and is again after it: both are kept until then.
    """
    mem0.embedding_model.prepare(facts, vectors)
    done = Remembered(refused=refused)
    for number, (fact, vector) in enumerate(zip(facts, vectors, strict=True)):
        place = whole.nth(number)
        known = is_told_again(mem0, fact, place)
        near = _near(mem0, fact, vector, place, admission.candidates)
        alike = [point for point in near if point.score >= admission.duplicate_similarity]
        same = [] if known else [point for point in alike if same_fact(fact, _text(point))]
        ending = [point for point in near if not _is_longer(_end(point), place.expires_at)]
        untrue = [point for point in ending if contradicts(fact, _text(point))] if admission.supersede else []
        if known or same:
            _prolong(mem0, same, place)
            refused["duplicate"] += 1
            for point in untrue:  # what was true for a while, beside this
                delete(mem0, str(point.id))
        else:
            done.stored.append(_supersede(mem0, fact, untrue, place) if untrue else insert(mem0, fact, place))
        done.superseded.extend(map(_text, untrue))
    return done


def is_told_again(mem0: Any, fact: str, place: Placement) -> bool:
    """Whether the same audience has this fact to the letter; if so, it now lasts at least as long as the place says."""
    store = mem0.vector_store
    same = _within(place, fingerprint=fingerprint(fact))
    found, _ = store.client.scroll(store.collection_name, scroll_filter=same, limit=4, with_payload=["expires_at"])
    known = [point for point in found if is_alive(point.payload or {})]
    _prolong(mem0, known, place)
    return bool(known)


def insert(mem0: Any, fact: str, place: Placement) -> Memory:
    """Store a fact whose vector is prepared."""
    metadata = {**place.metadata(), **_derived(fact), **follows(mem0, place), "created_at": place.created_at}
    # The name becomes the history's `actor_id`: without it, nothing there says whose text a row holds.
    message = {"role": "user", "content": fact, "name": place.owner}
    (row,) = mem0.add([message], **place.ids(), metadata=metadata, infer=False)["results"]
    return memory_of(row["id"], {**metadata, "data": row["memory"]})


def replace(mem0: Any, memory_id: str, fact: str, metadata: dict[str, Any] | None = None) -> None:
    """Put a fact whose vector is prepared in the place of an old one; the history has both."""
    mem0.update(memory_id, fact, metadata={**(metadata or {}), **_derived(fact)})


def _supersede(mem0: Any, fact: str, untrue: Sequence[Any], place: Placement) -> Memory:
    """Put a fact in the place of the nearest memory that it contradicts, and delete the others."""
    first, *others = untrue
    replace(mem0, str(first.id), fact, {"expires_at": None, **place.metadata()})
    for point in others:
        delete(mem0, str(point.id))
    point = mem0.vector_store.get(str(first.id))
    return memory_of(point.id, point.payload)


def _near(mem0: Any, fact: str, vector: np.ndarray[Any, Any], place: Placement, limit: int) -> list[Any]:
    """The audience's memories nearest to a fact, and those that give a value to the same attribute."""
    from qdrant_client import models

    store, named = mem0.vector_store, attribute(fact)
    filters = [_within(place)]
    if named is not None:  # "My name is Ada" and "Call me Bea" are far apart
        filters.append(_within(place, attribute=named.key))
    requests = [
        models.QueryRequest(query=vector.tolist(), filter=chosen, limit=limit, with_payload=["data", "expires_at"])
        for chosen in filters
    ]
    answers = store.client.query_batch_points(store.collection_name, requests=requests)
    found = {point.id: point for answer in answers for point in answer.points}
    return [point for point in found.values() if is_alive(point.payload or {})]


def _prolong(mem0: Any, known: Sequence[Any], place: Placement) -> None:
    """Have memories that were told again last as long as the place says, where that is longer."""
    store = mem0.vector_store
    if passing := [point.id for point in known if _is_longer(place.expires_at, _end(point))]:
        # Null is no number: no filter for what has expired finds it.
        store.client.set_payload(store.collection_name, payload={"expires_at": place.expires_at}, points=passing)


def _is_longer(one: float | None, other: float | None) -> bool:
    """Whether one end comes after the other; None never comes."""
    return other is not None and (one is None or one > other)


def _end(point: Any) -> float | None:
    end: float | None = (point.payload or {}).get("expires_at")
    return end


def _within(place: Placement, **values: str) -> Any:
    from qdrant_client import models

    wanted = {"audience": place.audience, **values}
    return models.Filter(
        must=[models.FieldCondition(key=key, match=models.MatchValue(value=value)) for key, value in wanted.items()]
    )


def _derived(fact: str) -> dict[str, Any]:
    """What is looked up of a fact: its letters, and the attribute that it gives a value to."""
    named = attribute(fact)
    return {"fingerprint": fingerprint(fact), "attribute": named.key if named is not None else None}


def _text(point: Any) -> str:
    return str((point.payload or {}).get("data", ""))
