"""PDF pages as lines with their place on the page, through pdfium."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from math import hypot
from pathlib import Path
from statistics import median
from typing import Any

from tunesmith.read.blocks import HYPHEN_MARK, Unreadable

_LINE_ENDS = {0x0A, 0x0D}
_HYPHEN_MARKS = {0x02, 0xFFFE}
"""Pdfium writes U+0002, and in some calls U+FFFE, in place of a hyphen at the end of a line."""
_ZERO_WIDTH = {0x00, 0xAD, 0x200B, 0xFEFF}
_BOLD_NAMES = ("bold", "black", "heavy", "demi")
_SLANTED_NAMES = ("italic", "oblique", "slanted")
_ITALIC_FLAG = 1 << 6
"""Bit 7 of the font descriptor's flags (ISO 32000-1, table 123)."""
_RAISED_SHARE = 0.15
"""A digit whose baseline lies higher than this share of the line's height above the line's own is a raised digit."""


@dataclass(slots=True)
class Line:
    """One line of one column. Lengths in points (1/72 inch), y grows upwards as in the PDF."""

    text: str
    x0: float
    x1: float
    baseline: float
    size: float
    """Font size as set on the page."""
    is_bold: bool = False
    is_slanted: bool = False
    raised: tuple[int, ...] = ()
    """Places in `text` of raised digits: marks of footnotes, or powers."""


@dataclass(slots=True)
class Page:
    number: int
    """Counted from 1."""
    width: float
    height: float
    lines: list[Line] = field(default_factory=list)
    has_images: bool = False


@dataclass(slots=True)
class PdfContent:
    title: str | None
    pages: list[Page]


@dataclass(slots=True)
class _Char:
    code: int
    index: int
    x0: float
    x1: float
    baseline: float
    height: float
    """Height of the font's own box, which differs between fonts of one size."""


def extract_pdf(path: Path, password: str | None = None) -> PdfContent:
    """All pages of a PDF as lines in the order of the content stream.

    Raises:
        Unreadable: the file is encrypted (rule `encrypted`), or no PDF that pdfium can open (`broken`).
    """
    import pypdfium2
    import pypdfium2.raw as pdfium

    try:
        document = pypdfium2.PdfDocument(path, password=password)
    except pypdfium2.PdfiumError as error:
        raise _explain(error, password) from None
    try:
        pages = [_read_page(document, index, pdfium) for index in range(len(document))]
        return PdfContent(title=document.get_metadata_dict().get("Title") or None, pages=pages)
    except pypdfium2.PdfiumError as error:
        raise Unreadable("broken", f"The PDF is damaged: {error}.") from None
    finally:
        document.close()


def _explain(error: Exception, password: str | None) -> Unreadable:
    if "password" in str(error).lower():
        if password is None:
            what = "The PDF is encrypted. Name the environment variable that holds its password in read.password_env."
        else:
            what = "The PDF is encrypted, and the password in the variable of read.password_env does not open it."
        return Unreadable("encrypted", what)
    return Unreadable("broken", f"Not a PDF that can be opened: {error}")


def _read_page(document: Any, index: int, pdfium: Any) -> Page:
    page = document[index]
    text_page = page.get_textpage()
    try:
        width, height = page.get_size()
        lines = join_rows(_read_lines(text_page.raw, pdfium))
        has_images = not lines and any(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3))
        return Page(index + 1, width, height, lines, has_images)
    finally:
        text_page.close()
        page.close()


def _read_lines(handle: Any, pdfium: Any) -> list[Line]:
    """Lines as the content stream has them: broken at line ends, at hyphens, and where the baseline jumps."""
    lines: list[Line] = []
    chars: list[_Char] = []

    def close_line() -> None:
        if line := _make_line(chars, handle, pdfium):
            lines.append(line)
        chars.clear()

    box = pdfium.FS_RECTF()
    x, y = ctypes.c_double(), ctypes.c_double()
    for i in range(pdfium.FPDFText_CountChars(handle)):
        code = pdfium.FPDFText_GetUnicode(handle, i)
        if code in _LINE_ENDS:
            close_line()
            continue
        if code in _ZERO_WIDTH:
            continue
        pdfium.FPDFText_GetLooseCharBox(handle, i, box)
        pdfium.FPDFText_GetCharOrigin(handle, i, x, y)
        char = _Char(code, i, box.left, box.right, y.value, box.top - box.bottom)
        if (
            chars
            and chars[-1].code in _HYPHEN_MARKS
            and abs(char.baseline - chars[-1].baseline) > char.height * 0.5
        ):
            close_line()
        chars.append(char)
    close_line()
    return lines


def _make_line(chars: list[_Char], handle: Any, pdfium: Any) -> Line | None:
    inked = [char for char in chars if not chr(char.code).isspace() and char.height > 0]
    if not inked:
        return None
    height = median(char.height for char in inked)
    baseline = median(char.baseline for char in inked)
    text: list[str] = []
    raised: list[int] = []
    for char in chars:
        if 0x30 <= char.code <= 0x39 and char.baseline > baseline + height * _RAISED_SHARE and text:
            raised.append(len(text))
        text.append(HYPHEN_MARK if char.code in _HYPHEN_MARKS else chr(char.code))
    probes = (inked[0], inked[len(inked) // 2], inked[-1])
    styles = [_style(handle, char.index, pdfium) for char in probes]
    return Line(
        text="".join(text),
        x0=min(char.x0 for char in inked),
        x1=max(char.x1 for char in inked),
        baseline=baseline,
        size=_font_size(handle, inked[len(inked) // 2].index, pdfium) or height,
        is_bold=all(bold for bold, _ in styles),
        is_slanted=all(slanted for _, slanted in styles),
        raised=tuple(raised),
    )


def _font_size(handle: Any, index: int, pdfium: Any) -> float:
    """The nominal size times the vertical scale of the text matrix: some programs write size 1 and scale it up."""
    matrix = pdfium.FS_MATRIX()
    if not pdfium.FPDFText_GetMatrix(handle, index, matrix):
        return 0.0
    return float(pdfium.FPDFText_GetFontSize(handle, index) * hypot(matrix.b, matrix.d))


def _style(handle: Any, index: int, pdfium: Any) -> tuple[bool, bool]:
    """Whether a character is bold, and whether it is slanted."""
    name = ctypes.create_string_buffer(128)
    flags = ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(handle, index, name, 128, flags)
    lowered = name.value.decode("utf-8", "replace").lower()
    is_bold = pdfium.FPDFText_GetFontWeight(handle, index) >= 600 or any(
        part in lowered for part in _BOLD_NAMES
    )
    is_slanted = bool(flags.value & _ITALIC_FLAG) or any(part in lowered for part in _SLANTED_NAMES)
    return is_bold, is_slanted


def join_rows(lines: list[Line]) -> list[Line]:
    """Join pieces of one printed line, which pdfium parts after a raised digit or a change of font."""
    joined: list[Line] = []
    for line in lines:
        last = joined[-1] if joined else None
        if last and _goes_on(last, line):
            gap = line.x0 - last.x1
            spaced = gap > 0.15 * last.size or line.text[:1].isspace() or last.text[-1:].isspace()
            head = last.text.rstrip() + (" " if spaced else "")
            tail = line.text.lstrip()
            shift = len(head) - (len(line.text) - len(tail))
            joined[-1] = Line(
                text=head + tail,
                x0=min(last.x0, line.x0),
                x1=max(last.x1, line.x1),
                baseline=last.baseline if len(last.text) >= len(line.text) else line.baseline,
                size=max(last.size, line.size),
                is_bold=last.is_bold and line.is_bold,
                is_slanted=last.is_slanted and line.is_slanted,
                raised=last.raised + tuple(place + shift for place in line.raised if place + shift >= 0),
            )
        else:
            joined.append(line)
    return joined


def _goes_on(last: Line, line: Line) -> bool:
    same_row = abs(last.baseline - line.baseline) < 0.35 * max(last.size, line.size)
    return same_row and -0.3 * last.size < line.x0 - last.x1 < 0.9 * last.size
