"""Tests of memory/loaders.py on real files of every format."""

from __future__ import annotations

import csv
import json
import os
import re
import zipfile
from collections.abc import Callable
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from freehold.errors import DocumentError
from freehold.memory import find_documents, load, split
from freehold.memory.formats.parsed import FormatError
from freehold.memory.formats.plain import decode
from freehold.memory.formats.records import parse_json, parse_json_lines
from freehold.memory.formats.tables import parse_table
from tests.memory.handwritten_pdf import pdf


def test_pdf_keeps_its_pages(tmp_path: Path) -> None:
    """A PDF's text knows on which page it stands: citations name the page."""
    path = tmp_path / "birds.pdf"
    path.write_bytes(pdf("The heron eats fish.", "", "The owl hunts at night."))
    document = load(path)
    assert document.pages is not None
    assert [number for number, _ in document.pages] == [1, 2, 3]
    assert document.text[document.pages[2][1] :].strip() == "The owl hunts at night."
    assert document.format == "pdf"


def docx(*body: str, parts: dict[str, str] | None = None) -> bytes:
    """A Word document of these paragraphs and tables in WordprocessingML, zipped by hand."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    files = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="1" Type="{office}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>{"".join(body)}</w:body></w:document>',
        "word/styles.xml": f'<w:styles xmlns:w="{word}"><w:style w:type="paragraph" w:styleId="H2">'
        '<w:name w:val="heading 2"/></w:style></w:styles>',
        **(parts or {}),
    }
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of WordprocessingML."""
    kind = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{kind}<w:r><w:t>{text}</w:t></w:r></w:p>"


def test_docx_becomes_markdown(tmp_path: Path) -> None:
    """A Word document keeps headings and tables, so that its passages know what they are about; its title is known."""
    cells = "".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in ("Bird", "Food"))
    core = (
        '<p:coreProperties xmlns:p="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Birds of the pond</dc:title></p:coreProperties>'
    )
    path = tmp_path / "birds.docx"
    path.write_bytes(
        docx(
            paragraph("Herons", "H2"),
            paragraph("They eat &amp; sleep."),
            f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>",
            parts={"docProps/core.xml": core},
        )
    )
    document = load(path)
    assert document.text.startswith("## Herons\n\nThey eat & sleep.\n\n|")
    assert "| Bird | Food |" in document.text
    assert document.metadata["title"] == "Birds of the pond"
    assert [passage["heading"] for passage in split(document)] == ["Herons"]


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    """A small file that unpacks to a huge one is refused before it is unpacked."""
    path = tmp_path / "bomb.docx"
    path.write_bytes(docx(parts={"word/bomb.xml": "<a/>" * 10_000_000}))
    assert path.stat().st_size < 2**20
    with pytest.raises(DocumentError, match=r"unpacks to 40,\d+,\d+ bytes"):
        load(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_rows_become_lines_of_names_and_values(tmp_path: Path, delimiter: str) -> None:
    """A row says what its values are, whatever separates them, and knows its line in the file."""
    rows = [["name", "food", "seen"], ["heron", '"fish\nand frogs"', "3"], ["owl", "", "12", "rare"], [], ["swift"]]
    path = tmp_path / "birds.csv"
    path.write_text("\n".join(delimiter.join(row) for row in rows), newline="")
    document = load(path)
    assert document.text.split("\n\n")[:-1] == [
        "name: heron\nfood: fish\nand frogs\nseen: 3",
        "name: owl\nseen: 12\ncolumn 4: rare",
        "name: swift",
    ]
    assert document.metadata["columns"] == ["name", "food", "seen"]
    assert document.lines is not None
    assert [line for line, _ in document.lines] == [2, 4, 6]
    assert [passage["metadata"]["line"] for passage in split(document, size=12)] == [2, 4]


@pytest.mark.parametrize(
    ("content", "first"),
    [
        ("1,2\n3,4\n", "column 1: 1\ncolumn 2: 2"),  # numbers name nothing
        ("a,a\nb,c\n", "column 1: a\ncolumn 2: a"),  # nor do two equal names
        ("Only one line, and no table\n", "column 1: Only one line\ncolumn 2: and no table"),
        ("a;b\n1,5;2,5\n", "a: 1,5\nb: 2,5"),  # a comma in numbers is no delimiter
        ("question\nWhy?\n", "question: Why?"),
    ],
)
def test_tables_without_names(tmp_path: Path, content: str, first: str) -> None:
    """Whether the first row holds names is guessed from it, and no row is lost."""
    path = tmp_path / "t.csv"
    path.write_text(content)
    assert load(path).text.split("\n\n")[0] == first


def test_tsv_is_split_at_tabs(tmp_path: Path) -> None:
    """The name of a TSV file tells its delimiter, whatever else is frequent in it."""
    path = tmp_path / "t.tsv"
    path.write_text("name\tnote\nheron\tgrey, tall, quiet\n")
    assert load(path).text == "name: heron\nnote: grey, tall, quiet\n\n"


def test_records_become_lines_of_names_and_values(tmp_path: Path) -> None:
    """JSON Lines and lists in JSON give one block a record, nested values under their path."""
    records: list[Any] = [
        {"name": "heron", "food": ["fish", "frogs"], "size": {"cm": 95}, "rare": False, "note": None, "x": ""},
        "a line of its own",
        {"seen": [{"at": "pond"}, {"at": "lake"}], "broken": "\ud83d"},
    ]
    blocks = [
        "name: heron\nfood: fish, frogs\nsize.cm: 95\nrare: false",
        "a line of its own",
        "seen.1.at: pond\nseen.2.at: lake\nbroken: ?",
    ]
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, records)))
    (tmp_path / "a.json").write_text(json.dumps(records))
    lines = load(tmp_path / "a.jsonl")
    assert lines.text.split("\n\n")[:-1] == load(tmp_path / "a.json").text.split("\n\n")[:-1] == blocks
    assert lines.lines is not None
    assert [line for line, _ in lines.lines] == [1, 3, 5]


def test_metadata_says_what_the_file_says(tmp_path: Path) -> None:
    """Front matter, a page's title and a program's language are there to filter by, and cannot pose as our own keys."""
    path = tmp_path / "note.md"
    path.write_text(
        "---\ntitle: Herons\ntags: [birds, pond]\ndate: 2026-03-01\nformat: fake\nnested: {a: 1}\na.b: 1\n---\nText.\n"
    )
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert load(path).metadata == {
        "title": "Herons",
        "tags": ["birds", "pond"],
        "date": "2026-03-01",
        "format": "markdown",
        "modified": "2023-11-14T22:13:20+00:00",
    }
    (tmp_path / "odd.md").write_text("---\nno: [front\n---\nText.\n")
    assert "no" not in load(tmp_path / "odd.md").metadata
    (tmp_path / "page.html").write_text("<title>Owls</title><p>They hunt.</p>")
    assert load(tmp_path / "page.html").metadata["title"] == "Owls"
    (tmp_path / "code.RS").write_text("fn main() {}")
    assert load(tmp_path / "code.RS").metadata["language"] == "rust"


def test_half_surrogates_are_replaced(tmp_path: Path) -> None:
    """What UTF-8 cannot hold stands in no key, value or text of a document: the store would refuse it."""
    path = tmp_path / "note.md"
    path.write_text('---\ntitle: "a\\uD800"\n"k\\uDC00": ["\\uD800b"]\n---\nBody.\n')
    metadata = load(path).metadata
    assert metadata["title"] == "a?"
    assert metadata["k?"] == ["?b"]
    (tmp_path / "page.html").write_text("<title>Owls &#xD800;</title><p>They &#xDC00; hunt.</p>")
    (tmp_path / "rows.jsonl").write_text('{"k\\uDC00": "\\uD800"}')
    for name in ("page.html", "rows.jsonl"):
        document = load(tmp_path / name)
        assert repr((document.text, document.metadata)).isprintable()
        assert json.dumps([document.text, document.metadata], ensure_ascii=False).encode()


def test_html_becomes_markdown(tmp_path: Path) -> None:
    """HTML keeps headings, code and tables, and loses scripts, styles and menus."""
    path = tmp_path / "page.html"
    path.write_text(
        "<html><head><title>t</title><style>p{}</style></head><body><nav>Menu</nav><h2>Herons</h2>"
        "<p>They eat &amp; sleep.</p><script>alert(1)</script><pre><code>a = 1\nb = 2</code></pre>"
        "<table><tr><th>x</th></tr><tr><td>1</td></tr></table></body></html>"
    )
    text = load(path).text
    assert "## Herons\n\nThey eat & sleep." in text
    assert "```\na = 1\nb = 2\n```" in text
    assert "| x |" in text
    assert "alert" not in text
    assert "Menu" not in text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings_are_guessed(tmp_path: Path, encoding: str) -> None:
    """Text in the usual encodings is read as it was written."""
    text = "Der Reiher frißt Fische, Frösche und Mäuse. Über den Teich fliegt er früh am Morgen zurück zum Nest.\n" * 3
    path = tmp_path / "reiher.txt"
    path.write_bytes(text.encode(encoding))
    assert load(path).text == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_names_the_encoding(tmp_path: Path, encoding: str) -> None:
    """Of either byte order, and no mark of one is taken for that of another."""
    path = tmp_path / "reiher.txt"
    path.write_bytes("\ufeffDer Reiher frißt.\n".encode(encoding))
    assert load(path).text == "Der Reiher frißt.\n"


def locked(password: str, algorithm: str) -> bytes:
    """A PDF that is opened with this password, and changed with another."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf("The heron eats fish."))))
    writer.encrypt(password, "owner", algorithm=algorithm)
    target = BytesIO()
    writer.write(target)
    return target.getvalue()


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_a_pdf_locked_against_changes_is_read(tmp_path: Path, algorithm: str) -> None:
    """Many forms and reports may be read by all and changed by few: they need no password."""
    path = tmp_path / "form.pdf"
    path.write_bytes(locked("", algorithm))
    assert load(path).text.strip() == "The heron eats fish."


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("broken.pdf", b"%PDF-1.4\nnothing of use", "damaged"),
        ("cut.pdf", pdf("The heron eats fish.")[:200], "damaged"),
        ("locked.pdf", locked("password", "RC4-128"), "encrypted"),
        ("aes.pdf", locked("password", "AES-128"), "encrypted"),
        ("scan.pdf", pdf(""), "no text"),
        ("empty.md", b"  \n ", "no text"),
        ("binary.txt", b"\x00\x01\x02PNG", "binary"),
        ("big.txt", b"x" * 2_001, "limit is 2,000"),
        ("image.png", b"x", r"\.png is not one of"),
        ("broken.docx", b"PK\x03\x04 nothing", "DOCX is damaged"),
        ("old.docx", b"\xd0\xcf\x11\xe0" + b"x" * 100, "old Word file"),
        ("empty.docx", docx(), "no text"),
        ("broken.jsonl", b'{"a": 1}\n\n{"a": 2\n', "line 3 is no JSON"),
        ("broken.json", b'{"a": ', "no JSON"),
        ("deep.json", b"[" * 1_500, "no JSON"),
        ("empty.csv", b"\n , \n", "no text"),
        ("empty.py", b"\n", "no text"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    """A file that cannot be read gives one kind of error, which names the file and the reason."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=reason) as caught:
        load(path, max_bytes=2_000)
    assert str(path) in str(caught.value)


def test_deeply_nested_html_is_named(tmp_path: Path) -> None:
    """A page nested deeper than Python recurses is one bad file, and does not end the whole ingest."""
    path = tmp_path / "deep.html"
    path.write_text("<div>" * 20_000 + "text" + "</div>" * 20_000)
    with pytest.raises(DocumentError, match=r"deep\.html.*nested too deep"):
        load(path)


def test_a_pipe_is_no_document(tmp_path: Path) -> None:
    """A pipe, which would wait for a writer for ever, is left out of a folder and refused by its name."""
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    assert find_documents([tmp_path]) == []
    for path in (pipe, Path("/dev/null")):
        named = tmp_path / "link.txt"
        named.unlink(missing_ok=True)
        named.symlink_to(path)
        with pytest.raises(DocumentError, match=r"link\.txt.*not a regular file"):
            load(named)
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(DocumentError, match="not a regular file"):
        load(tmp_path / "folder.md")


def test_missing_files_are_named(tmp_path: Path) -> None:
    """A path that does not exist is a user's mistake with a message."""
    with pytest.raises(DocumentError, match=r"nowhere\.md"):
        load(tmp_path / "nowhere.md")
    with pytest.raises(DocumentError, match="nowhere"):
        find_documents([tmp_path / "nowhere"])


def test_finds_documents_only(tmp_path: Path) -> None:
    """A project's folder gives its documents, not what tools put there."""
    wanted = ["a.md", "b/c.HTML", "b/d.pdf", "code.py", "rows.csv", "z.txt"]
    others = [".git/x.md", ".hidden.md", "node_modules/x.md", "b/__pycache__/x.txt", "env/x.md", "image.png"]
    others += ["package-lock.json", "b/library.min.js"]
    for name in [*wanted, *others, "env/pyvenv.cfg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    failures: list[OSError] = []
    found = find_documents([tmp_path, tmp_path / "a.md"], onerror=failures.append)
    assert not failures  # a file is not listed as a folder
    assert [str(path.relative_to(tmp_path)) for path in found] == wanted
    assert find_documents([tmp_path / "image.png"]) == [tmp_path / "image.png"]  # `load` says why not


def test_folders_that_cannot_be_listed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without rights is named, and what stands beside it is found."""
    (tmp_path / "private").mkdir()
    (tmp_path / "a.md").write_text("x")
    told: list[OSError] = []

    def refusing(call: Callable[..., Any], path: Any, **options: Any) -> Any:
        if "private" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return call(path, **options)

    monkeypatch.setattr(os, "scandir", partial(refusing, os.scandir))  # the system refuses root nothing
    monkeypatch.setattr(os, "stat", partial(refusing, os.stat))
    assert find_documents([tmp_path], onerror=told.append) == [tmp_path / "a.md"]
    assert [error.filename for error in told] == [str(tmp_path / "private")]


_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@given(st.lists(st.lists(_CELLS, max_size=4), max_size=6), st.sampled_from(",;\t|"))
def test_no_value_of_a_table_is_lost(rows: list[list[str]], delimiter: str) -> None:
    """Whatever a table holds, every value is in its text: a wrong guess costs the form, never the content."""
    target = StringIO()
    csv.writer(target, delimiter=delimiter, lineterminator="\n").writerows(rows)
    parsed = parse_table(decode(target.getvalue().encode()))
    text = "\n".join([parsed.text, *parsed.metadata.get("columns", ())])
    words = {word for row in rows for cell in row for word in re.findall(r"\w+", cell)}
    assert words <= set(re.findall(r"\w+", text))


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
)


@given(_JSON)
def test_any_json_is_text(value: Any) -> None:
    """Whatever JSON holds becomes text that can be stored."""
    for parse in (parse_json, parse_json_lines):
        text = parse(json.dumps(value)).text
        assert text.encode("utf-8").decode("utf-8") == text


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    """Whatever a text file holds, it is read or refused with the file's name; nothing else is raised."""
    try:
        text = decode(data)
    except FormatError as error:
        refused = str(error)
        assert refused in ("it holds binary data, not text.", "its encoding is unknown. Save it as UTF-8.")
    else:
        text.encode("utf-8")
