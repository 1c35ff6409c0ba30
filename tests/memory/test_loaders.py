"""Tests of memory/loaders.py on real files of every format."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from freehold.errors import DocumentError
from freehold.memory import find_documents, load
from freehold.memory.loaders import _decode


def pdf(*pages: str) -> bytes:
    """A PDF with one line of Helvetica on each page, written by hand."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    return body + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


def test_pdf_keeps_its_pages(tmp_path: Path) -> None:
    """A PDF's text knows on which page it stands: citations name the page."""
    path = tmp_path / "birds.pdf"
    path.write_bytes(pdf("The heron eats fish.", "", "The owl hunts at night."))
    document = load(path)
    assert document.pages is not None
    assert [number for number, _ in document.pages] == [1, 2, 3]
    assert document.text[document.pages[2][1] :].strip() == "The owl hunts at night."
    assert document.format == "pdf"


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


def encrypted() -> bytes:
    """A PDF that needs a password."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf("secret"))))
    writer.encrypt("password", algorithm="RC4-128")
    target = BytesIO()
    writer.write(target)
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("broken.pdf", b"%PDF-1.4\nnothing of use", "damaged"),
        ("cut.pdf", pdf("The heron eats fish.")[:200], "damaged"),
        ("not.pdf", b"hello", "damaged"),
        ("locked.pdf", encrypted(), "encrypted"),
        ("scan.pdf", pdf(""), "no text"),
        ("empty.md", b"  \n ", "no text"),
        ("binary.txt", b"\x00\x01\x02PNG", "binary"),
        ("big.txt", b"x" * 2_001, "limit is 2,000"),
        ("image.png", b"x", "'?.png'? is not one of"),
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
    wanted = ["a.md", "b/c.HTML", "b/d.pdf", "z.txt"]
    others = [".git/x.md", ".hidden.md", "node_modules/x.md", "b/__pycache__/x.txt", "env/x.md", "code.py"]
    for name in [*wanted, *others, "env/pyvenv.cfg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = find_documents([tmp_path, tmp_path / "a.md"])
    assert [str(path.relative_to(tmp_path)) for path in found] == wanted
    assert find_documents([tmp_path / "code.py"]) == [tmp_path / "code.py"]  # asked for by name: `load` says why not


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    """Whatever a text file holds, it is read or refused with the file's name; nothing else is raised."""
    try:
        text = _decode(Path("x.txt"), data)
    except DocumentError as error:
        refused = str(error)
        assert refused.startswith("x.txt cannot be read")
    else:
        text.encode("utf-8")
