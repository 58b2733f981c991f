"""Make the three sample PDFs from the texts in `tools/sample_pdfs/`.

The PDFs are committed; this script is kept so that anyone can make them again: `pip install reportlab pyphen`, then
`python tools/make_sample_pdfs.py`. The same versions of the two libraries give the same bytes, because `invariant`
leaves dates and random ids out of the file.

The pages are meant to be as awkward as real ones: a running header, page numbers in the footer, justified text with
hyphenated line ends, and in one of them two columns and a list of references.
"""

from __future__ import annotations

from pathlib import Path

from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph

SOURCES = Path(__file__).parent / "sample_pdfs"
TARGET = Path(__file__).parent.parent / "src" / "tunesmith" / "samples" / "documents"
MARGIN = 62
"""Space round the text in points (1/72 inch)."""
GUTTER = 22
"""Space between two columns in points."""


def read_source(path: Path) -> tuple[dict[str, str], list[str]]:
    """The header fields of a source text, and its paragraphs."""
    head, *paragraphs = path.read_text(encoding="utf-8").strip().split("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    return fields, paragraphs


def paragraph_styles(size: float) -> dict[str, ParagraphStyle]:
    body = ParagraphStyle(
        "body", fontName="Times-Roman", fontSize=size, leading=size * 1.3, alignment=TA_JUSTIFY,
        spaceAfter=size * 0.6, hyphenationLang="en_GB", embeddedHyphenation=1, uriWasteReduce=0.3,
    )  # fmt: skip
    heading = ParagraphStyle(
        "heading", fontName="Times-Bold", fontSize=size * 1.25, leading=size * 1.6, spaceBefore=4, spaceAfter=4,
        keepWithNext=1,
    )  # fmt: skip
    title = ParagraphStyle("title", parent=heading, fontSize=size * 1.8, leading=size * 2.3, spaceAfter=10)
    return {"": body, "# ": title, "## ": heading}


def flow(paragraphs: list[str], size: float) -> list[Flowable]:
    styles = paragraph_styles(size)
    flowables: list[Flowable] = []
    for paragraph in paragraphs:
        marker = next((marker for marker in ("## ", "# ") if paragraph.startswith(marker)), "")
        text = paragraph.removeprefix(marker).replace("&", "&amp;").replace("<", "&lt;")
        flowables.append(Paragraph(text, styles[marker]))
    return flowables


def make_pdf(source: Path, target: Path) -> None:
    fields, paragraphs = read_source(source)
    width, height = A4
    n_columns = int(fields["columns"])
    column = (width - 2 * MARGIN - (n_columns - 1) * GUTTER) / n_columns

    def furnish(canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(MARGIN, height - 40, fields["header"])
        canvas.drawRightString(width - MARGIN, 36, f"Page {document.page} of 2")

    document = BaseDocTemplate(
        str(target), pagesize=A4, title=fields["title"], author="tunesmith", invariant=1, pageCompression=1
    )
    frames = [
        Frame(MARGIN + i * (column + GUTTER), 56, column, height - 112, 0, 0, 0, 0, id=f"column{i}")
        for i in range(n_columns)
    ]
    document.addPageTemplates(PageTemplate("page", frames, onPage=furnish))
    document.build(flow(paragraphs, size=13.8 if n_columns == 1 else 13.0))


if __name__ == "__main__":
    for source in sorted(SOURCES.glob("*.txt")):
        target = TARGET / f"{source.stem}.pdf"
        make_pdf(source, target)
        print(target.relative_to(TARGET.parents[3]), target.stat().st_size, "bytes")
