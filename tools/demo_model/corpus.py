"""Make chunks of Markdown, as a document store would hold them, from unpacked Debian documentation packages.

python -m tools.demo_model.corpus UNPACKED_FOLDER chunks.jsonl

Each line of the output is one chunk: its source, its heading, and its parts. A part is a sentence with the text that
leads up to it (a space, a new line, a list bullet), so that a chunk can be rendered and any of its sentences quoted to
the letter.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from pathlib import Path

__all__ = ["Chunk", "Part", "main", "read_chunks", "split_sentences"]

# The handbook comes in 25 languages; the model reads English.
_FOREIGN = re.compile(r"/(?!en-US)[a-z]{2}-[A-Z]{2}/")
_SKIPPED = {"script", "style", "table", "nav", "head", "header", "footer", "svg", "form"}
_FURNITURE = (
    "sphinxsidebar",
    "related",
    "navheader",
    "navfooter",
    "toc",
    "footer",
    "legalnotice",
    "fancy_toc",
    "versionbar",
)
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_BLOCKS = {"p", "dd", "dt", "li", "div", "ul", "ol", "dl", "section", "body", "td", "br", "blockquote"}
_MARKS = {"code": "`", "tt": "`", "kbd": "`", "samp": "`", "em": "*", "i": "*", "strong": "**", "b": "**"}
_VOID = {"br", "hr", "img", "meta", "link", "input"}


@dataclass(frozen=True)
class Part:
    """A sentence, or a code block, inside a chunk."""

    lead: str
    """What stands between the part before and this one."""
    text: str
    quotable: bool
    """True for a sentence that can answer a question."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, of about 150 to 450 characters."""

    source: str
    heading: str
    parts: tuple[Part, ...]

    def text(self) -> str:
        """Render the chunk without its heading."""
        return "".join(part.lead + part.text for part in self.parts).strip()


class _Blocks(HTMLParser):
    """Collect (kind, text) blocks: `heading`, `item`, `code` and `prose`, with inline marks as Markdown."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[tuple[str, str]] = []
        self._buffer: list[str] = []
        self._kind = "prose"
        self._skip = 0
        self._pre = 0
        self._open: list[tuple[str, bool]] = []
        self._marks: list[str] = []

    def _flush(self, kind: str = "prose") -> None:
        text = "".join(self._buffer)
        text = text.strip("\n") if self._kind == "code" else re.sub(r"\s+", " ", text).strip()
        text = re.sub(r"[¶]|\(\s*\)", "", text).strip()
        if text.strip("`* "):
            self.blocks.append((self._kind, text))
        self._buffer, self._kind, self._marks = [], kind, []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            style = " ".join(value or "" for key, value in attrs if key in ("class", "role"))
            skipped = tag in _SKIPPED or (tag in ("div", "ul", "p", "a") and any(word in style for word in _FURNITURE))
            skipped = skipped or "headerlink" in style
            self._open.append((tag, skipped))
            self._skip += skipped
        if self._skip:
            return
        if tag == "pre":
            self._flush("code")
            self._pre += 1
        elif tag in _HEADINGS:
            self._flush("heading")
        elif tag == "li":
            self._flush("item")
        elif tag in _BLOCKS:
            # A paragraph that opens a list item is still that item.
            self._flush("item" if self._kind == "item" and not "".join(self._buffer).strip() else "prose")
        elif tag in _MARKS and not self._pre and self._kind != "heading":
            mark = "" if "`" in self._marks else _MARKS[tag]
            self._marks.append(mark)
            self._buffer.append(mark)

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, skipped = self._open.pop()
            self._skip -= skipped
            if name == tag:
                break
        if self._skip:
            return
        if tag == "pre":
            self._pre = max(0, self._pre - 1)
            self._flush()
        elif tag in _HEADINGS or tag in _BLOCKS:
            self._flush()
        elif tag in _MARKS and self._marks:
            self._buffer.append(self._marks.pop())

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self._buffer.append(data if self._pre else data.replace("\n", " "))


def split_sentences(text: str) -> list[str]:
    """Split prose where a sentence ends and a capital, a quote or a code mark follows."""
    pieces = re.split(r"(?<=[.!?])\s+(?=[A-Z`*\"(])", text)
    sentences: list[str] = []
    for piece in pieces:
        if sentences and (
            re.search(r"\b(e\.g|i\.e|cf|vs|etc|Dr|Mr|St|No|Fig)\.$", sentences[-1]) or len(sentences[-1]) < 12
        ):
            sentences[-1] += " " + piece
        else:
            sentences.append(piece)
    return sentences


def _quotable(sentence: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in sentence)
    return (
        25 <= len(sentence) <= 260
        and sentence[-1] in ".!?"
        and letters / len(sentence) > 0.78
        and sentence[0] not in "[("
    )


def _html_blocks(path: Path) -> list[tuple[str, str]]:
    parser = _Blocks()
    parser.feed(path.read_text(encoding="utf-8", errors="ignore"))
    parser.close()
    return parser.blocks


def _dictionary_blocks(path: Path) -> Iterator[tuple[str, str]]:
    """Entries of a dictd dictionary: a headword at the margin, its text indented."""
    with gzip.open(path, "rt", encoding="utf-8", errors="ignore") as file:
        text = file.read()
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.split("\n")
        if lines and lines[0][:1].strip():
            yield "heading", lines[0].strip()
            lines = lines[1:]
        body = re.sub(r"\s+", " ", re.sub(r"[{}]|<[a-z ,/]+>", "", " ".join(lines))).strip()
        if len(body) > 40 and body[0] not in "[(":
            yield "prose", body


def _parts(kind: str, text: str, first: bool) -> list[Part]:
    if kind == "code":
        short = len(text) <= 160 and text.count("\n") < 4
        return [Part("\n\n", f"```\n{text}\n```", quotable=False)] if short else []
    lead = "" if first else ("\n" if kind == "item" else "\n\n")
    parts = []
    for sentence in split_sentences(text):
        bullet = "- " if kind == "item" and not parts else ""
        parts.append(Part((lead if not parts else " ") + bullet, sentence, _quotable(sentence)))
    return parts


def _chunks(source: str, blocks: list[tuple[str, str]], rng: random.Random) -> Iterator[Chunk]:
    heading, parts, size, limit = "", [], 0, rng.randint(150, 430)

    def finished() -> Chunk | None:
        chunk = Chunk(source, heading, tuple(parts))
        text = chunk.text()
        good = any(part.quotable for part in parts) and 60 <= len(text) <= 700
        return chunk if good and sum(c.isascii() for c in text) / len(text) > 0.97 else None

    for kind, text in blocks:
        if kind == "heading" or size >= limit:
            chunk = finished()
            if chunk:
                yield chunk
            parts, size, limit = [], 0, rng.randint(150, 430)
        if kind == "heading":
            heading = re.sub(r"^[\d.]+\s*|[`*]", "", text)[:80].strip()
            continue
        for part in _parts(kind, text, first=not parts):
            if parts and size + len(part.text) > 460:
                chunk = finished()
                if chunk:
                    yield chunk
                parts, size, limit = [], 0, rng.randint(150, 430)
            parts.append(part)
            size += len(part.text) + 1
    chunk = finished()
    if chunk:
        yield chunk


def read_chunks(path: Path) -> list[Chunk]:
    """Read the chunks that `main` wrote."""
    chunks = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            chunks.append(Chunk(row["source"], row["heading"], tuple(Part(**part) for part in row["parts"])))
    return chunks


def main() -> None:
    """Write the chunks of every package under a folder, without repetitions, shuffled with a fixed seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds one folder per unpacked package")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    rng = random.Random(0)
    chunks: dict[str, Chunk] = {}
    for path in sorted(arguments.folder.rglob("*")):
        name = str(path.relative_to(arguments.folder))
        if not path.is_file() or path.is_symlink() or _FOREIGN.search(name):
            continue
        if path.suffix == ".html":
            blocks = _html_blocks(path)
        elif name.endswith(".dict.dz"):
            blocks = list(_dictionary_blocks(path))
        else:
            continue
        for chunk in _chunks(name, blocks, rng):
            chunks.setdefault(chunk.text(), chunk)
    ordered = list(chunks.values())
    rng.shuffle(ordered)
    with arguments.output.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(chunk)) + "\n" for chunk in ordered)
    print(f"{len(ordered)} chunks, {sum(map(len, chunks)) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
