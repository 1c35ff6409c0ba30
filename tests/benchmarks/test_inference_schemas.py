"""The random schemas of the inference benchmark."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from benchmarks.inference_schemas import random_schema


def test_schemas_are_sound_repeatable_and_different() -> None:
    """The benchmark's 50 schemas are real ones, the same for everybody, and 50 of them."""
    texts = set()
    for seed in range(50):
        schema = random_schema(seed)
        Draft202012Validator.check_schema(schema)
        texts.add(json.dumps(schema))
        assert schema == random_schema(seed)
    assert len(texts) == 50


@pytest.mark.parametrize(
    "keyword",
    [
        *("anyOf", "const", "enum", "exclusiveMinimum", "items", "maxItems", "maxLength", "minItems", "minLength"),
        *("minimum", "maximum", "pattern", "$ref", "null", "boolean", "number", "required"),
    ],
)
def test_every_promised_kind_is_among_the_fifty(keyword: str) -> None:
    """What the benchmark claims to cover does occur."""
    assert any(f'"{keyword}"' in json.dumps(random_schema(seed)) for seed in range(50))
