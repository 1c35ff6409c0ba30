"""Tests of memory/code_sections.py: the shipped grammars on small programs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.memory import LoadedDocument, split

_PYTHON = '''"""Birds."""
import os

# How high they fly.
HEIGHT = 3


class Heron(Bird):
    """Stands in the pond."""

    legs = 2

    # Fish first.
    @eats
    def feed(self, fish: int) -> int:
        """Feeds."""
        return fish + 1

    def sleep(self) -> None:
        pass


async def wait():
    def inner():
        return 1
    return inner
'''


def code(text: str, language: str, size: int = 20) -> list[tuple[str, str]]:
    """Heading and text of each passage of a program."""
    loaded = LoadedDocument("x", text, None, "code", "digest", {"language": language})
    return [(passage["heading"], passage["text"]) for passage in split(loaded, size=size)]


@pytest.mark.parametrize(
    ("language", "opens", "inside", "closes"),
    [("javascript", "{", "let x;", "}"), ("cpp", "#if A\n", "int x;\n", "#endif\n")],
)
def test_code_that_is_nested_too_deep_has_no_outline(language: str, opens: str, inside: str, closes: str) -> None:
    """Generated code nested deeper than Python recurses is split at its lines, and is not refused."""
    text = opens * 3_000 + inside + closes * 3_000
    passages = code(text, language, 500)
    assert "".join("".join(part for _, part in passages).split()) == "".join(text.split())
    assert {heading for heading, _ in passages} == {""}


def test_code_is_split_at_its_functions() -> None:
    """A method is a passage of its own under the path of its names, with its comment and its indentation."""
    assert code(_PYTHON, "python") == [
        ("", '"""Birds."""\nimport os\n\n# How high they fly.\nHEIGHT = 3'),
        ("Heron", 'class Heron(Bird):\n    """Stands in the pond."""\n\n    legs = 2'),
        (
            "Heron > feed",
            "    # Fish first.\n    @eats\n    def feed(self, fish: int) -> int:",
        ),
        ("Heron > feed", '        """Feeds."""\n        return fish + 1'),
        ("Heron > sleep", "    def sleep(self) -> None:\n        pass"),
        ("wait", "async def wait():\n    def inner():\n        return 1\n    return inner"),
    ]
    assert [heading for heading, _ in code(_PYTHON, "python", 100)] == ["", "Heron", "wait"]  # a class that fits


@pytest.mark.parametrize(
    ("language", "text", "headings"),
    [
        ("c", "#include <a.h>\nstatic int *foo(int a) {\n  return 0;\n}\nstruct p { int x; };\n", ["", "foo", "p"]),
        (
            "cpp",
            "namespace n { class A { void m() { f(); } ~A() {} }; }\nint A::b() { return 1; }",
            ["n", "n > A", "n > A > m", "n > A > ~A", "A::b"],
        ),
        ("csharp", "namespace N { public class A { public void M() { } } }", ["N", "N > A", "N > A > M"]),
        ("go", "package a\n// Foo.\ntype Foo struct { x int }\nfunc (f *Foo) Bar() {}\n", ["", "Foo", "Bar"]),
        (
            "java",
            "package p;\n/** Doc. */ class A { A() {} @Override String b() { return x; } }",
            ["", "A", "A > A", "A > b"],
        ),
        (
            "javascript",
            "import a from 'b';\nexport class A { b(c) { return c; } }\nexport const d = (e) => e;",
            ["", "A", "A > b", "d"],
        ),
        (
            "php",
            "<?php\nnamespace A;\nclass B { function c() { return 1; } }\nfunction d() {}",
            ["", "B", "B > c", "d"],
        ),
        ("ruby", "module M\n  class A\n    def b(x)\n      x\n    end\n  end\nend\n", ["M", "M > A", "M > A > b"]),
        ("rust", "use x;\n/// Doc\npub struct S { a: i32 }\nimpl S { fn new() {} }\nmod t;", ["", "S", "S > new", ""]),
        ("typescript", "interface I { a: string }\nexport function f(x: number) { return x; }", ["I", "f"]),
        ("tsx", "export default function App() { return <p>Hello</p>; }", ["App"]),
        ("sql", "SELECT 1;", [""]),
    ],
)
def test_functions_of_every_grammar(language: str, text: str, headings: list[str]) -> None:
    """Each grammar's names are found, a bracket alone is no passage, and nothing is lost."""
    passages = code(text, language, 5)
    assert list(dict.fromkeys(heading for heading, _ in passages)) == list(dict.fromkeys(headings))
    assert "".join("".join(part.split()) for _, part in passages) == "".join(text.split())


@settings(max_examples=50)
@given(st.text(max_size=300), st.sampled_from(["python", "javascript", "cpp", "rust"]), st.integers(3, 50))
def test_any_code_is_split(text: str, language: str, size: int) -> None:
    """Broken code, or what is none, is split like text: slices in order, nothing lost."""
    loaded = LoadedDocument("x", text, None, "code", "digest", {"language": language})
    passages = split(loaded, size=size)
    covered = {offset for passage in passages for offset in range(passage["start"], passage["end"])}
    assert all(passage["text"] == text[passage["start"] : passage["end"]] for passage in passages)
    assert all(offset in covered or character.isspace() for offset, character in enumerate(text))
