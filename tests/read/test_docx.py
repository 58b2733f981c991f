"""Word documents: a zip file made by hand, and one made by python-docx where it is installed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tunesmith.read.blocks import Unreadable
from tunesmith.read.docx import parse_docx

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
BODY = """
<w:p><w:pPr><w:pStyle w:val="T1"/></w:pPr><w:r><w:t>Heat at home</w:t></w:r></w:p>
<w:p><w:r><w:t xml:space="preserve">A pump </w:t></w:r>
<w:del><w:r><w:delText>slowly</w:delText><w:t>no</w:t></w:r></w:del>
<w:r><w:t>moves</w:t><w:tab/><w:t>heat.</w:t><w:footnoteReference w:id="1"/></w:r></w:p>
<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>the valve</w:t></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Glass</w:t></w:r></w:p></w:tc>
<w:tc><w:p><w:r><w:t>5.8</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
<w:sdt><w:sdtContent><w:p><w:r><w:t>In a field.</w:t></w:r></w:p></w:sdtContent></w:sdt>
<w:p><w:r><w:t> </w:t></w:r></w:p>
"""
STYLES = '<w:style w:styleId="T1"><w:name w:val="heading 2"/></w:style>'


def write_docx(path: Path, body: str = BODY, head: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", f"{head}<w:document {W}><w:body>{body}</w:body></w:document>")
        archive.writestr("word/styles.xml", f"<w:styles {W}>{STYLES}</w:styles>")
    return path


def test_headings_paragraphs_items_and_rows(tmp_path: Path) -> None:
    blocks = parse_docx(write_docx(tmp_path / "a.docx")).blocks
    assert [(block.kind, block.level, block.text) for block in blocks] == [
        ("heading", 2, "Heat at home"),
        ("paragraph", 0, "A pump moves heat."),
        ("item", 0, "the valve"),
        ("row", 0, "Glass | 5.8"),
        ("paragraph", 0, "In a field."),
    ]


def test_a_document_of_python_docx(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.core_properties.title = "Pumps"
    document.add_heading("Heat", level=1)
    document.add_paragraph("A pump moves heat.")
    document.add_paragraph("the valve", style="List Bullet")
    document.save(str(tmp_path / "a.docx"))
    content = parse_docx(tmp_path / "a.docx")
    assert content.title == "Pumps"
    assert [(block.kind, block.text) for block in content.blocks] == [
        ("heading", "Heat"), ("paragraph", "A pump moves heat."), ("item", "the valve"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "rule"),
    [(b"\xd0\xcf\x11\xe0\xa1\xb1", "encrypted"), (b"PK\x03\x04 broken", "broken"), (b"text", "broken")],
)
def test_what_is_no_word_document(tmp_path: Path, data: bytes, rule: str) -> None:
    (tmp_path / "a.docx").write_bytes(data)
    with pytest.raises(Unreadable) as caught:
        parse_docx(tmp_path / "a.docx")
    assert caught.value.rule == rule


def test_entities_and_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "<w:sdt>" * 5000 + "</w:sdt>" * 5000
    with pytest.raises(Unreadable, match="recursion"):
        parse_docx(write_docx(tmp_path / "deep.docx", body=deep))
    with pytest.raises(Unreadable, match="entities"):
        parse_docx(write_docx(tmp_path / "a.docx", head='<!DOCTYPE x [<!ENTITY a "aaaa">]>'))
    monkeypatch.setattr("tunesmith.read.docx.MAX_UNFOLDED_BYTES", 100)
    with pytest.raises(Unreadable) as caught:
        parse_docx(write_docx(tmp_path / "b.docx"))
    assert caught.value.rule == "too_heavy"
