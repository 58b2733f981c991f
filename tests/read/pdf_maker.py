"""The smallest PDFs that show what a test is about: lines of Helvetica at given places."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT = 595, 842


@dataclass(frozen=True)
class Printed:
    """One line of print; x and y in points from the lower left corner."""

    x: float
    y: float
    text: str
    size: float = 10
    font: str = "F1"
    """F1 is Helvetica, F2 Helvetica-Bold."""


def column(
    texts: list[str], *, x: float = 70, top: float = 760, size: float = 10, pitch: float = 1.25
) -> list[Printed]:
    """Lines below each other; an empty text leaves a line free."""
    return [Printed(x, top - i * size * 1.25, text, size) for i, text in enumerate(texts) if text]


def write_pdf(
    path: Path, pages: list[list[Printed]], *, title: str | None = None, image_on: tuple[int, ...] = ()
) -> Path:
    """Write a PDF with one content stream a page, lines in the order given; `image_on`: pages with a grey image."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    fonts = b"/F1 3 0 R /F2 4 0 R"
    for name in (b"Helvetica", b"Helvetica-Bold"):
        objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>" % name)
    objects.append(
        b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 "
        b"/Length 1 >>\n"
        b"stream\n\x80\nendstream"
    )
    kids = []
    for number, lines in enumerate(pages):
        content = b"".join(_show(line) for line in lines)
        if number in image_on:
            content += b"q 500 0 0 700 50 70 cm /I1 Do Q\n"
        objects.append(b"<< /Length %d >>\nstream\n" % len(content) + content + b"endstream")
        stream = len(objects)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R /Resources << /Font << %s >> "
            b"/XObject << /I1 5 0 R >> >> >>" % (WIDTH, HEIGHT, stream, fonts)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    if title:
        objects.append(b"<< /Title (%s) >>" % title.encode("latin-1"))
    path.write_bytes(assemble(objects, has_info=title is not None))
    return path


def _show(line: Printed) -> bytes:
    text = line.text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    return b"BT /%s %g Tf %g %g Td (%s) Tj ET\n" % (line.font.encode(), line.size, line.x, line.y, text)


def assemble(objects: list[bytes], *, has_info: bool) -> bytes:
    data = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    info = b" /Info %d 0 R" % len(objects) if has_info else b""
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return (
        data
        + b"xref\n0 %d\n0000000000 65535 f \n" % size
        + table
        + b"trailer << /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (size, info, len(data))
    )
