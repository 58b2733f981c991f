"""PDF pages to text: furniture, columns, paragraphs, footnotes, headings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.read.pdf_maker import Printed, column, write_pdf
from tunesmith.read.layout import drop_running_lines, put_columns_in_order
from tunesmith.read.pdf import Line, Page, extract_pdf
from tunesmith.read.stage import ReadOptions, read_documents
from tunesmith.records import Document

FILLER = [
    "The heat pump takes up heat from the air outside and gives it",
    "off to the water of the heating inside the house.",
]


def read(folder: Path) -> Document:
    (document,) = read_documents(ReadOptions(documents=str(folder)), folder)
    assert isinstance(document, Document), document
    return document


def rules(document: Document) -> dict[str, int]:
    return {note.rule: note.count for note in document.notes}


def test_running_header_footer_and_page_numbers_are_dropped_and_listed(tmp_path: Path) -> None:
    pages = [
        [
            Printed(70, 800, f"Yearly Report {year}"),
            *column([f"{name} {line}" for line in ["Page text begins here.", *FILLER]]),
            Printed(290, 30, str(n)),
        ]
        for n, (year, name) in enumerate(
            zip((2001, 2002, 2003), ("alpha", "beta", "gamma"), strict=True), start=7
        )
    ]
    document = read(write_pdf(tmp_path / "a.pdf", pages).parent)
    assert "Yearly" not in document.text
    assert not any(character.isdigit() for character in document.text)
    assert [document.text[start:][:16] for start in document.page_starts] == [
        "alpha Page text ", "beta Page text b", "gamma Page text ",
    ]  # fmt: skip
    texts = [note.text for note in document.notes if note.rule == "repeated_line"]
    assert any("Yearly Report 2001" in text for text in texts)
    assert len(texts) == 2


def test_a_line_on_one_page_only_is_no_header() -> None:
    pages = [
        Page(n, 595, 842, [Line(text, 70, 300, 800, 10)])
        for n, text in enumerate(["One", "Two", "Three"], start=1)
    ]
    assert drop_running_lines(pages, "a.pdf") == []
    assert [page.lines[0].text for page in pages] == ["One", "Two", "Three"]


def test_paragraphs_are_re_flowed_and_broken_words_mended(tmp_path: Path) -> None:
    lines = [
        "A heat pump takes up heat from the air outside with a compres-",
        "sor and gives it off to the water of the heating.",
        "",
        "The compressor is driven by a motor, which makes a low hum-",
        "ming noise in the cellar.",
    ]
    document = read(write_pdf(tmp_path / "a.pdf", [column(lines)]).parent)
    assert document.text == (
        "A heat pump takes up heat from the air outside with a compressor and gives it off to the water of the heating."
        "\n\nThe compressor is driven by a motor, which makes a low humming noise in the cellar."
    )
    assert rules(document)["hyphen_joined"] == 2


def test_a_short_line_that_ends_a_sentence_ends_the_paragraph(tmp_path: Path) -> None:
    lines = [
        FILLER[0],
        "off inside.",
        "Another paragraph begins here and runs on to the right edge,",
        "as it should.",
    ]
    document = read(write_pdf(tmp_path / "a.pdf", [column(lines)]).parent)
    assert document.text.count("\n\n") == 1


def two_columns(order: str) -> list[Printed]:
    left = column([f"left line {i} goes on to the edge of the" for i in range(10)], x=60)
    right = column([f"right line {i} goes on to the edge of it" for i in range(10)], x=320)
    if order == "rows":
        return [line for pair in zip(left, right, strict=True) for line in pair]
    return left + right


@pytest.mark.parametrize("order", ["columns", "rows"])
def test_two_columns_are_read_one_after_the_other(tmp_path: Path, order: str) -> None:
    content = extract_pdf(write_pdf(tmp_path / "a.pdf", [two_columns(order)]))
    page = content.pages[0]
    switches = put_columns_in_order(page)
    assert (switches > 4) is (order == "rows")
    assert [line.text.split()[0] for line in page.lines] == ["left"] * 10 + ["right"] * 10


def test_a_line_over_both_columns_parts_them_into_bands() -> None:
    def line(x0: float, x1: float, y: float, text: str) -> Line:
        return Line(text, x0, x1, y, 10)

    rows = [line(60, 280, 700 - 12 * i, f"L{i}") for i in range(8)] + [
        line(320, 540, 700 - 12 * i, f"R{i}") for i in range(8)
    ]
    rows.sort(key=lambda item: -item.baseline)
    page = Page(1, 595, 842, [*rows[:8], line(60, 540, 646, "wide"), *rows[8:]])
    assert put_columns_in_order(page) > 4
    assert [item.text for item in page.lines] == [
        "L0", "L1", "L2", "L3", "L4", "R0", "R1", "R2", "R3", "R4", "wide", "L5", "L6", "L7", "R5", "R6", "R7"
    ]  # fmt: skip


def test_headings_by_size_weight_and_number(tmp_path: Path) -> None:
    page = [
        Printed(70, 780, "Heat at home", 20),
        Printed(70, 750, "How it works", 10, "F2"),
        *column(FILLER, top=730),
        Printed(70, 690, "2.1 The second part"),
        *column(FILLER, top=675),
    ]
    document = read(write_pdf(tmp_path / "a.pdf", [page]).parent)
    assert [line for line in document.text.splitlines() if line.startswith("#")] == [
        "# Heat at home", "## How it works", "## 2.1 The second part",
    ]  # fmt: skip
    assert document.title == "Heat at home"


def test_footnotes_and_their_marks_are_taken_out(tmp_path: Path) -> None:
    page = [
        Printed(70, 760, "The pump is quiet"), Printed(149, 764, "1", 6), Printed(153, 760, " and its area is 20 m"),
        Printed(242.3, 764, "2", 6), Printed(248.5, 760, "only."),
        *column(FILLER, top=740),
        Printed(70, 80, "1 See the yearly report of the ministry.", 8),
    ]  # fmt: skip
    document = read(write_pdf(tmp_path / "a.pdf", [page]).parent)
    assert document.text.startswith("The pump is quiet and its area is 20 m² only.")
    assert "ministry" not in document.text
    assert rules(document)["footnotes"] == 1


def test_a_sentence_goes_on_over_the_page_border(tmp_path: Path) -> None:
    pages = [
        column(["The heat pump takes up heat from the air outside and gives it"]),
        column(["off to the water inside."]),
    ]
    document = read(write_pdf(tmp_path / "a.pdf", pages).parent)
    assert (
        document.text
        == "The heat pump takes up heat from the air outside and gives it off to the water inside."
    )
    assert document.text[document.page_starts[1] :].startswith("off to")


def test_bullets_become_items(tmp_path: Path) -> None:
    lines = [
        "The pump has these parts:",
        "• the compressor, which is driven by a motor and which makes",
        "some noise;",
        "• the valve.",
    ]
    document = read(write_pdf(tmp_path / "a.pdf", [column(lines)]).parent)
    assert document.text.endswith(
        "- the compressor, which is driven by a motor and which makes some noise;\n- the valve."
    )


def test_the_title_in_the_file_counts_unless_a_program_wrote_it(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", [column(FILLER)], title="Heat at home")
    write_pdf(tmp_path / "b_file.pdf", [column(FILLER)], title="Microsoft Word - report.doc")
    titles = [document.title for document in read_documents(ReadOptions(documents=str(tmp_path)), tmp_path)]
    assert titles == ["Heat at home", "b file"]
