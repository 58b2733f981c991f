"""Line ends within addresses, and those that look like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.read.pdf_maker import Printed, column, write_pdf
from tunesmith.read.lines import flow_lines
from tunesmith.read.stage import ReadOptions, read_documents
from tunesmith.records import Document

BROKEN = [
    ("write to jane.doe@", "example.org today", "jane.doe@example.org"),
    ("write to jane.doe", "@example.org today", "jane.doe@example.org"),
    ("write to jane.doe@example.", "org today", "jane.doe@example.org"),
    ("write to jane.doe@example", ".org today", "jane.doe@example.org"),
    ("write to jane.doe@mail.exam", "ple.org", None),  # no sign says that this is no end
    ("write to jane.doe@exam", "ple.org today", "jane.doe@example.org"),
    ("write to jane_", "doe@example.org today", "jane_doe@example.org"),
    ("write to j.m.", "doe@example.org today", "j.m.doe@example.org"),
    ("write to jane@example.co.", "uk, or call", "jane@example.co.uk"),
    ("(jane.doe@uni-", "vaasa.fi)", "jane.doe@uni-vaasa.fi"),
    ("see https://", "example.org/a now", "https://example.org/a"),
    (
        "see https://doi.org/10.1016/",
        "j.jclepro.2019.01.001.",
        "https://doi.org/10.1016/j.jclepro.2019.01.001",
    ),
    ("see https://example.org/articles/", "PMC1234567/ for more", "https://example.org/articles/PMC1234567/"),
    ("see https://example.org/about-", "us/team for more", "https://example.org/about-us/team"),
    ("see https://example.org/a?id=", "Seven&x=1", "https://example.org/a?id=Seven&x=1"),
    ("see https://example.org", "/a/b for more", "https://example.org/a/b"),
    ("see https://example.org/B", "rundtland_Report.html now", "https://example.org/Brundtland_Report.html"),
    ("see www.", "example.org/a for more", "www.example.org/a"),
    ("see www.example.", "org/path for more", "www.example.org/path"),
    ("see www.exam", "ple.org/path for more", "www.example.org/path"),
    ("see https://example.org/a_", "b.html and", "https://example.org/a_b.html"),
]
WHOLE = [
    ("see https://example.org/a.", "The next sentence."),
    ("see https://example.org/a.", "then this"),
    ("see https://example.org/", "and https://example.com/"),
    ("see https://example.org/", "and/or the other"),
    ("see https://example.org/", "2019. It says"),
    ("see www.example.org,", "example.com"),
    ("write to jane@example.org.", "Then wait."),
    ("write to jane@example.org", "or call"),
    ("write to jane@example.org.", "then wait"),
    ("It stands behind the house.", "jane@example.org knows"),
    ("follow us", "@example on the net"),
    ("paid by Anna", "jane@example.org wrote"),
    ("a price of 3 @", "4 euros"),
]


@pytest.mark.parametrize(("first", "second", "address"), BROKEN)
def test_addresses_are_put_together(first: str, second: str, address: str | None) -> None:
    text = flow_lines([first, second])
    assert text == f"{first} {second}" if address is None else address in text


@pytest.mark.parametrize(("first", "second"), WHOLE)
def test_line_ends_behind_addresses_stay_spaces(first: str, second: str) -> None:
    assert flow_lines([first, second]) == f"{first} {second}"


def _text_of(path: Path) -> str:
    options = ReadOptions(documents=path.name, redact=("email", "url"))
    (document,) = [one for one in read_documents(options, path.parent) if isinstance(one, Document)]
    return document.text


@pytest.mark.parametrize("kind", ["pdf", "txt", "md"])
def test_broken_addresses_are_redacted_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    for first, second, address in BROKEN:
        if address is None:
            continue
        lines = [
            "This is a line that fills the column well, as a line does.",
            f"This is a longer line, and at its end one may {first}",
            f"{second}, as the others have done before, so that",
            "this paragraph goes on for one more line of words.",
        ]
        if kind == "pdf":
            write_pdf(path, [column(lines)])
        else:
            path.write_text("\n".join(lines), encoding="utf-8")
        text = _text_of(path)
        assert "_1]" in text, (address, text)
        for piece in (*address.replace("@", "/").split("/"), "example", "vaasa"):
            if len(piece) > 3 and piece not in ("https:", "team", "path"):
                assert piece not in text, (address, text)


def test_an_address_broken_by_a_page_is_redacted_whole(tmp_path: Path) -> None:
    def page(first: str, last: str) -> list[Printed]:
        middle = ["the words of this line fill the whole width of the one column that there is here"] * 30
        return column([first, *middle, last])

    write_pdf(
        tmp_path / "a.pdf",
        [
            page(
                "The first page begins.",
                "who wants to know more about all of it may look at https://example.org/reports/",
            ),
            page(
                "annual-2024.pdf and will find it there, with all that belongs to it and more",
                "It ends here.",
            ),
        ],
    )
    text = _text_of(tmp_path / "a.pdf")
    assert "look at [URL_1] and will find" in text
