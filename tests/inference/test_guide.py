"""Guided generation on the shipped model's vocabulary, with logits that no model would be as bad as to give."""

from __future__ import annotations

import datetime as dt
import enum
import json
import pathlib
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from freehold.errors import InferenceError, UserError
from freehold.inference.generation import GenerationRequest
from freehold.inference.guide import Guide, Guides
from freehold.inference.guide_forms import guided_schema
from freehold.inference.llama_model import LlamaModel

DEMO = str(files("freehold.models") / "freehold-demo.Q8_0.gguf")


class Vocabulary:
    """The shipped model's tokens and what compiles for them."""

    def __init__(self, model: LlamaModel) -> None:
        self.model, self.guides = model, Guides(model)
        self.size = model.vocabulary_size
        self.pieces = [model.piece(token) for token in range(self.size)]
        self.ends = [token for token in range(self.size) if model.ends(token)]

    def compile(self, max_tokens: int = 4096, **form: Any) -> Guide:
        guide = self.guides.compile(GenerationRequest("", max_tokens=max_tokens, **form))
        assert guide is not None
        return guide

    def allowed(self, guide: Guide, remaining: int = 4096) -> set[int]:
        logits = np.zeros(self.size, np.float32)
        guide.mask(logits, remaining)
        return set(np.flatnonzero(np.isfinite(logits)).tolist())

    def write(self, guide: Guide, max_tokens: int, taste: str, seed: int, *, greedy: bool) -> bytes:
        """Write as the engine's sampler does, with random logits and a strong taste for some tokens."""
        random = np.random.default_rng(seed)
        bias = 20 * np.array([bool(piece) and TASTES[taste](piece) for piece in self.pieces], np.float32)
        text = b""
        for remaining in range(max_tokens, 0, -1):
            logits = random.standard_normal(self.size).astype(np.float32) + bias
            token = int(logits.argmax())
            if not greedy or guide.closing(remaining) or not guide.allows(token):
                guide.mask(logits, remaining)
                chances = np.exp(logits - logits.max())
                token = int(logits.argmax() if greedy else random.choice(self.size, p=chances / chances.sum()))
            if token in self.ends:
                break
            guide.accept(token)
            text += self.pieces[token]
            if guide.finished:
                break
        return text


TASTES = {
    "none": lambda piece: False,
    "letters": lambda piece: piece.isalpha(),
    "brackets": lambda piece: piece.strip(b"[{") == b"",
    "digits": lambda piece: piece.isdigit(),
    "spaces": lambda piece: piece.isspace(),
    "escapes": lambda piece: b"\\" in piece,
    "single bytes": lambda piece: len(piece) == 1,
    "more members": lambda piece: b"," in piece or b'"' in piece,
    "parts of characters": lambda piece: piece[0] > 127,
}


@pytest.fixture(scope="module")
def vocabulary() -> Iterator[Vocabulary]:
    """The shipped model."""
    model = LlamaModel(DEMO)
    yield Vocabulary(model)
    model.close()


def _strings() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.tuples(st.integers(0, 25), st.integers(0, 9)).map(
        lambda pair: {"type": "string", "minLength": pair[0], "maxLength": sum(pair)}
    )
    patterns = [
        "^[a-z]{2,5}$",
        r"^\d{4}-\d{2}$",
        "^(aaaaaaa|b)$",
        "^a*bcd$",
        "^[\u4e00-\u9fff]{2}$",
        "foo",
        "^x{20,30}$",
    ]
    return lengths | st.sampled_from([{"type": "string", "pattern": pattern} for pattern in patterns])


def _numbers() -> st.SearchStrategy[dict[str, Any]]:
    whole = st.tuples(st.sampled_from([-100, 0, 5, 95, 10**9]), st.sampled_from([0, 3, 900])).map(
        lambda pair: {"type": "integer", "minimum": pair[0], "maximum": sum(pair)}
    )
    broken = st.tuples(st.sampled_from([-1.5, 0.25]), st.sampled_from([0.05, 1, 1000])).map(
        lambda pair: {"type": "number", "minimum": pair[0], "maximum": sum(pair)}
    )
    return whole | broken | st.just({"type": "integer", "minimum": 0, "multipleOf": 7}) | st.just({"type": "number"})


def _objects(value: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = ["name", "age", "tags", "description_of_it", "naïve", "a b"]
    properties = st.dictionaries(st.sampled_from(names), st.tuples(value, st.booleans()), min_size=1, max_size=4)
    return properties.map(
        lambda parts: {
            "type": "object",
            "properties": {name: schema for name, (schema, _) in parts.items()},
            "required": [name for name, (_, required) in parts.items() if required],
        }
    )


def _arrays(value: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    array = st.tuples(value, st.integers(0, 3), st.integers(0, 3)).map(
        lambda parts: {"type": "array", "items": parts[0], "minItems": parts[1], "maxItems": parts[1] + parts[2]}
    )
    fixed = st.lists(value, min_size=1, max_size=3).map(
        lambda parts: {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
    )
    return array | fixed


LEAVES = (
    _strings()
    | _numbers()
    | st.sampled_from(
        [
            {"enum": ["red", "green", "blue"]},
            {"enum": ["a", "ab", 1, None, {"x": [1]}]},
            {"const": 'x y "z"'},
            {"const": {"a": [1, True]}},
            {"type": "boolean"},
            {"type": ["string", "null"], "minLength": 40},
            {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
            {"$ref": "#/$defs/Tree"},
        ]
    )
)
TREE = {
    "type": "object",
    "properties": {
        "value": {"type": "string"},
        "left": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
    },
    "required": ["value", "left"],
}
SCHEMAS = st.recursive(
    LEAVES,
    lambda value: (
        _objects(value) | _arrays(value) | st.lists(value, min_size=2, max_size=3).map(lambda parts: {"anyOf": parts})
    ),
    max_leaves=8,
).map(lambda schema: {**schema, "$defs": {"Tree": TREE}})


@settings(max_examples=150)
@given(
    schema=SCHEMAS,
    taste=st.sampled_from(list(TASTES)),
    seed=st.integers(0, 2**32),
    room=st.sampled_from([0, 1, 5, 40, 200]),
    greedy=st.booleans(),
)
def test_documents_are_whole(
    vocabulary: Vocabulary, schema: dict[str, Any], taste: str, seed: int, room: int, *, greedy: bool
) -> None:
    """Whatever the logits, and however few tokens are left, the text is a whole document of the schema."""
    shortest = vocabulary.compile(json_schema=schema)
    least = len(shortest._ending or ())
    guide = vocabulary.compile(least + room, json_schema=schema)
    text = vocabulary.write(guide, least + room, taste, seed, greedy=greedy)
    Draft202012Validator(schema).validate(json.loads(text))
    assert guide.complete


def test_too_few_tokens(vocabulary: Vocabulary) -> None:
    """A limit under the shortest document is refused with both numbers, one token more is enough."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    least = next(count for count in range(1, 20) if _compiles(vocabulary, schema, count))
    with pytest.raises(UserError, match=rf"max_tokens={least - 1} is too few .* {least} tokens"):
        vocabulary.compile(least - 1, json_schema=schema)
    text = vocabulary.write(vocabulary.compile(least, json_schema=schema), least, "letters", 1, greedy=True)
    assert isinstance(json.loads(text)["a"], int)


def _compiles(vocabulary: Vocabulary, schema: dict[str, Any], max_tokens: int) -> bool:
    try:
        vocabulary.compile(max_tokens, json_schema=schema)
    except UserError:
        return False
    return True


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float = Field(gt=0, le=10)


class Square(BaseModel):
    kind: Literal["square"]
    side: int | None = None


class Everything(BaseModel):
    """What pydantic writes into schemas."""

    name: str = Field(min_length=2, max_length=4, pattern="^[a-z]+$")
    count: int = Field(ge=1, multiple_of=5)
    colour: Colour
    shape: Circle | Square = Field(discriminator="kind")
    parent: Everything | None = None
    when: dt.datetime
    key: uuid.UUID
    path: pathlib.Path
    pair: tuple[int, str]
    unique: set[Colour]
    scores: dict[Literal["x", "y"], float]
    anything: Any


class Person(TypedDict):
    """A person."""

    name: str
    age: Annotated[int, ..., "in years"]


@pytest.mark.parametrize("taste", list(TASTES))
def test_python_types(vocabulary: Vocabulary, taste: str) -> None:
    """Schemas made of pydantic models, by themselves or by LangChain, and of TypedDicts can be followed and read."""

    def write(schema: dict[str, Any]) -> bytes:
        return vocabulary.write(vocabulary.compile(300, json_schema=schema), 300, taste, 1, greedy=False)

    Everything.model_validate_json(write(Everything.model_json_schema()))
    Square.model_validate_json(write(convert_to_json_schema(Square)))
    assert json.loads(write(convert_to_json_schema(Person))).keys() == {"name", "age"}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"$ref": "https://example.com/person.json"}, r"Nothing is fetched"),
        ({"$ref": "#/$defs/Missing"}, "Missing"),
        ({"type": "array", "items": {}, "contains": {"const": 1}}, r"contains.*Leave these keys out"),
        ({"type": "string", "pattern": "^(?=a)b"}, "look-around"),
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum"),
        ({"type": "strnig"}, "strnig"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "anyOf"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "for ever"),
        ({"type": "object", "additionalProperties": {}, "minProperties": 3}, "minProperties=3"),
        ({"const": object()}, "written as JSON"),
    ],
)
def test_refused_schemas(vocabulary: Vocabulary, schema: dict[str, Any], message: str) -> None:
    """A schema that cannot be followed is refused with the reason before anything is generated."""
    with pytest.raises(UserError, match=message):
        vocabulary.compile(json_schema=schema)


def test_lark_with_a_call(vocabulary: Vocabulary) -> None:
    """A Lark grammar with a schema in it, as tool calls need it, is followed and ended in time."""
    schema = guided_schema({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
    lark = f'start: "<call>" body "</call>"\nbody: %json {json.dumps(schema)}\n'
    for taste in TASTES:
        guide = vocabulary.compile(60, lark=lark)
        text = vocabulary.write(guide, 60, taste, 3, greedy=True).decode()
        assert text.startswith("<call>")
        assert text.endswith("</call>")
        assert isinstance(json.loads(text[6:-7])["city"], str)
    with pytest.raises(UserError, match="Lark grammar"):
        vocabulary.compile(lark="start: nothing")


def test_one_form_only(vocabulary: Vocabulary) -> None:
    """Free text has no guide, and two forms at once are refused by name."""
    assert vocabulary.guides.compile(GenerationRequest("")) is None
    with pytest.raises(UserError, match="grammar and lark"):
        vocabulary.compile(grammar='root ::= "a"', lark='start: "a"')


def test_ends_only_when_whole(vocabulary: Vocabulary) -> None:
    """Every token that ends a generation is allowed once the text is whole, and none before."""
    assert len(vocabulary.ends) > 1
    guide = vocabulary.compile(grammar='root ::= "ab" "c"?')
    for token in vocabulary.model.tokenize("ab", special=False):
        assert not vocabulary.allowed(guide) & set(vocabulary.ends)
        assert not any(guide.allows(end) for end in vocabulary.ends)
        guide.accept(token)
    assert guide.complete
    assert not guide.finished
    assert set(vocabulary.ends) < vocabulary.allowed(guide)
    copied = guide.copy()
    copied.accept(vocabulary.ends[0])
    assert copied.finished
    guide.accept(vocabulary.model.tokenize("c", special=False)[0])
    assert guide.finished
    assert vocabulary.allowed(guide) == set(vocabulary.ends)


def test_characters_across_tokens(vocabulary: Vocabulary) -> None:
    """A character that takes several tokens is written byte by byte, and cut off nowhere."""
    guide = vocabulary.compile(json_schema={"const": "漢字🙂"})
    text = vocabulary.write(guide, 64, "parts of characters", 5, greedy=True)
    assert json.loads(text) == "漢字🙂"
    assert len(vocabulary.model.tokenize("漢字🙂", special=False)) > 3


def test_forced_tokens(vocabulary: Vocabulary) -> None:
    """Tokens that a grammar leaves no choice about are drafts that it takes."""
    guide = vocabulary.compile(json_schema={"const": {"description": "fixed"}})
    drafts = guide.forced(64)
    assert len(drafts) > 3
    assert guide.forced(2) == drafts[:2]
    assert guide.forced(0) == []
    for token in drafts:
        assert guide.allows(token)
        guide.accept(token)
    with pytest.raises(InferenceError, match="does not allow"):
        vocabulary.compile(grammar='root ::= "a"').accept(drafts[0])


def test_grammar_without_an_end(vocabulary: Vocabulary) -> None:
    """A grammar that never ends is followed until the tokens are used up."""
    text = vocabulary.write(vocabulary.compile(grammar="root ::= [a-z ] root"), 40, "letters", 7, greedy=False)
    assert len(text) >= 40
    assert text.replace(b" ", b"a").isalpha()


def test_many_threads(vocabulary: Vocabulary) -> None:
    """Guides of one model, of the same schema too, are compiled and used by several threads at once."""
    schemas = [{"type": "array", "items": {"type": "integer"}, "minItems": count % 5} for count in range(40)]
    guides = Guides(vocabulary.model)

    def write(number: int) -> Any:
        guide = guides.compile(GenerationRequest("", max_tokens=40, json_schema=schemas[number]))
        assert guide is not None
        return json.loads(vocabulary.write(guide, 40, "digits", number, greedy=False))

    with ThreadPoolExecutor(4) as pool:
        for schema, document in zip(schemas, pool.map(write, range(40)), strict=True):
            Draft202012Validator(schema).validate(document)
