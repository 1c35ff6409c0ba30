"""Write `docs/samples/boiler.pdf`, a two-page manual that the demonstration reads; needs the package `fpdf2`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF

PAGES = [
    (
        "Boiler manual",
        [
            "The pressure gauge sits behind the lower front panel. Normal pressure lies between one and two bar.",
            "Refill the system when the gauge shows less than one bar: open the blue valve until it shows 1.5 bar.",
        ],
    ),
    (
        "Service and faults",
        [
            "A technician services the boiler every October and cleans the burner.",
            "The code E4 means that the burner did not light. Press the reset button for five seconds and wait.",
        ],
    ),
]


def write(path: Path) -> None:
    """One page per entry: a heading and its paragraphs."""
    pdf = FPDF()
    pdf.set_creation_date(datetime(2026, 1, 1, tzinfo=UTC))
    for heading, paragraphs in PAGES:
        pdf.add_page()
        pdf.set_font("helvetica", "B", 16)
        pdf.cell(text=heading, new_x="LMARGIN", new_y="NEXT")
        pdf.set_font("helvetica", size=11)
        for paragraph in paragraphs:
            pdf.ln(4)
            pdf.multi_cell(0, 6, paragraph, new_x="LMARGIN", new_y="NEXT")
    pdf.output(str(path))


if __name__ == "__main__":
    write(Path(__file__).resolve().parent.parent / "docs" / "samples" / "boiler.pdf")
