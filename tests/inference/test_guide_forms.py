"""The forms that guides are compiled from: schemas as they are rewritten, and GBNF."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import pytest

from freehold.errors import UserError
from freehold.inference.generation import GenerationRequest
from freehold.inference.guide import Guides
from freehold.inference.guide_forms import guided_schema
from freehold.inference.llama_model import LlamaModel


@pytest.fixture(scope="module")
def model() -> Iterator[LlamaModel]:
    """The shipped model."""
    opened = LlamaModel(str(files("freehold.models") / "freehold-demo.Q8_0.gguf"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def guides(model: LlamaModel) -> Guides:
    """What compiles for it."""
    return Guides(model)


def takes(guides: Guides, model: LlamaModel, grammar: str, text: str) -> bool:
    """Whether the grammar takes the whole text and can end there."""
    guide = guides.compile(GenerationRequest("", grammar=grammar))
    assert guide is not None
    for token in model.tokenize(text, special=False):
        if not guide.allows(token):
            return False
        guide.accept(token)
    return guide.complete


def test_narrowed_schema() -> None:
    """What is rewritten allows nothing more than the given schema, and values that look like schemas stay."""
    schema = {
        "type": "object",
        "properties": {
            "format": {"type": "string", "format": "path"},
            "kind": {"enum": [{"format": "path", "uniqueItems": True}]},
            "either": {"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^(?!a)b"}]},
            "keyed": {"type": "object", "propertyNames": {"enum": ["x"]}, "additionalProperties": {"type": "null"}},
        },
    }
    guided = guided_schema(schema)
    assert guided["additionalProperties"] is False
    parts = guided["properties"]
    assert parts["format"] == {"type": "string"}
    assert parts["kind"] == schema["properties"]["kind"]
    assert parts["either"] == {"anyOf": [{"type": "number"}]}
    assert parts["keyed"]["properties"] == {"x": {"type": "null"}}
    assert parts["keyed"]["additionalProperties"] is False
    assert "additionalProperties" not in guided_schema({"properties": {"a": {}}, "required": ["b"]})
    assert "additionalProperties" not in guided_schema({"allOf": [{"properties": {"a": {}}}]})["allOf"][0]


JSON = r"""
# the grammar that llama.cpp ships
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws # escapes
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""
CHESS = r"""
root ::= "1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+
move ::= (pawn | nonpawn | castle) [+#]?
nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
castle ::= "O-O" "-O"?
"""


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        (JSON, '{"a": [1, 2.5e3, "x\\n\\u00e9 é 漢"], "b": {"c": null}}', '{"a":}'),
        (CHESS, "1. e4 e5\n2. Nf3 O-O\n", "1. e4 e5\n"),
        ('root ::= item+\nitem ::= "- " [^\\r\\n\\u2028]+ "\\n"', "- a\n- é\n", "- a"),
        ('root ::= "naïve 漢字 🙂"', "naïve 漢字 🙂", "naive"),
        (r'root ::= "\u00e9\x42\U0001F600" [\u4e00-\u9fff]{2,3} [\]\x2d\\^/"]', "éB😀漢字-", "éB😀漢-"),
        ('root ::= "a" . "b"', "a\nb", "ab"),
        ('root ::= "a"{2} "b"{2,} [&~]{0,2} # comment "', "aabbb&~", "aab"),
        ('root ::= term ("+" term)*\nterm ::= [0-9]+ | "(" root ")"', "1+(2+33)", "1+("),
    ],
)
def test_gbnf(guides: Guides, model: LlamaModel, grammar: str, good: str, bad: str) -> None:
    """Grammars as people write them for llama.cpp are read: what they describe is taken, and nothing else."""
    assert takes(guides, model, grammar, good)
    assert not takes(guides, model, grammar, bad)


@pytest.mark.parametrize(
    "grammar",
    ["", "hello", "root ::= (", 'root ::= "a', "root ::= [a", "root ::= other", 'other ::= "a"', r'root ::= "\uD800"'],
)
def test_refused_gbnf(guides: Guides, grammar: str) -> None:
    """What is no grammar is refused with the converter's reason."""
    with pytest.raises(UserError, match="GBNF grammar cannot be"):
        guides.compile(GenerationRequest("", grammar=grammar))
