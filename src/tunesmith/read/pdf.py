"""PDF pages as lines with their place on the page, through pdfium."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass, field, replace
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

_WIDE_GAP = 1.0
"""A gap in a line wider than this, in heights of its font, may be the space between two columns."""
_GUTTER_SHARE = 0.4
"""It is that space when so large a share of the page's lines have a wide gap at the same x."""
_LIST_MARK = re.compile(r"^\s*(?:\W|\(?\w{1,4}[.)]|\d{1,2}(?:\.\d{1,2}){0,3})\s*$")


@dataclass(frozen=True, slots=True)
class Gap:
    """A wide space in a line."""

    place: int
    """Place in the text of the first character after it."""
    x0: float
    x1: float


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
    gaps: tuple[Gap, ...] = ()


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
        document = pypdfium2.PdfDocument(_without_junk(path), password=password)
    except pypdfium2.PdfiumError as error:
        raise _explain(error, password) from None
    try:
        pages = [_read_page(document, index, pdfium) for index in range(len(document))]
        return PdfContent(title=document.get_metadata_dict().get("Title") or None, pages=pages)
    except pypdfium2.PdfiumError as error:
        raise Unreadable("broken", f"The PDF is damaged: {error}.") from None
    finally:
        document.close()


def _without_junk(path: Path) -> Path | bytes:
    """The file, or its bytes from the header on: pdfium looks for that in the first 1,024 bytes only."""
    with path.open("rb") as file:
        if b"%PDF-" in file.read(1024):
            return path
    data = path.read_bytes()
    return data[max(0, data.find(b"%PDF-")) :]


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
        lines = split_at_gutter(join_rows(_read_lines(text_page.raw, pdfium)))
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
        is_after_hyphen = bool(chars) and chars[-1].code in _HYPHEN_MARKS
        if is_after_hyphen and abs(char.baseline - chars[-1].baseline) > char.height * 0.5:
            close_line()  # Pdfium writes no line end after a hyphen.
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
    gaps: list[Gap] = []
    last = inked[0]
    for char in chars:
        if 0x30 <= char.code <= 0x39 and char.baseline > baseline + height * _RAISED_SHARE and text:
            raised.append(len(text))
        if char.height > 0 and not chr(char.code).isspace():
            if char.x0 - last.x1 > _WIDE_GAP * height:
                gaps.append(Gap(len(text), last.x1, char.x0))
            last = char
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
        gaps=tuple(gaps),
    )


def split_at_gutter(lines: list[Line]) -> list[Line]:
    """Part lines that run over two columns: pdfium joins lines of both when they stand on one level."""
    middles = [(gap.x0 + gap.x1) / 2 for line in lines for gap in line.gaps]
    counts = {
        x: sum(any(gap.x0 < x < gap.x1 for gap in line.gaps) for line in lines) for x in set(middles[:200])
    }
    gutter = max(counts, key=lambda x: (counts[x], x), default=0.0)
    if not counts or counts[gutter] < max(6, _GUTTER_SHARE * len(lines)):
        return lines
    return [part for line in lines for part in _split(line, gutter)]


def _split(line: Line, gutter: float) -> list[Line]:
    gap = next((gap for gap in line.gaps if gap.x0 < gutter < gap.x1), None)
    if gap is None:
        return [line]
    left, right = line.text[: gap.place], line.text[gap.place :]
    return [
        replace(line, text=left, x1=gap.x0, raised=tuple(i for i in line.raised if i < gap.place), gaps=()),
        replace(
            line,
            text=right,
            x0=gap.x1,
            raised=tuple(i - gap.place for i in line.raised if i >= gap.place),
            gaps=(),
        ),
    ]


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
                raised=last.raised + tuple(place + shift for place in line.raised),
                gaps=last.gaps + tuple(replace(gap, place=gap.place + shift) for gap in line.gaps),
            )
        else:
            joined.append(line)
    return joined


def _goes_on(last: Line, line: Line) -> bool:
    same_row = abs(last.baseline - line.baseline) < 0.35 * max(last.size, line.size)
    widest = 4.0 if _LIST_MARK.match(last.text) else 0.9
    return same_row and -0.3 * last.size < line.x0 - last.x1 < widest * last.size
