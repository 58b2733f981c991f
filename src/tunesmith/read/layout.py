"""From lines on pages to blocks in reading order: furniture dropped, columns put in order, paragraphs re-flowed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from tunesmith.read.blocks import HYPHEN_MARK, PAGE_MARK, Block
from tunesmith.read.lines import breaks_address, flow_lines
from tunesmith.read.pdf import Line, Page
from tunesmith.records import Note

EDGE_ROWS = 3
"""Running headers and footers are looked for in so many rows at the top and at the bottom of a page."""
REPEATED_SHARE = 0.4
"""A line at the edge is a running line when it stands on this share of the pages; 25 of 27 real reports have one."""
COLUMN_SWITCHES = 4
"""A content stream that changes between columns more often than this on one page is not in reading order."""

BULLET = re.compile(r"^\s*(?:[•●○◦▪■□‣⁃∙·\uf0a7\uf0b7\uf0fc\uf076\uf0d8➢✓✔]|[-–−—](?=\s))\s*")
NUMBERED_ITEM = re.compile(r"^\s*(?:\(?\d{1,2}\)|\(?[a-z]\)|\(?[ivx]{1,4}\))\s+\S")
SENTENCE_END = re.compile(r"[.!?:;。！？؟][\"'”’»)\]]*$")
_STARTS_ALONE = re.compile(
    r"^\s*(?:(?:sources?|notes?|e-?mail|tel|phone|fax)\s?:|(?:figure|table|chart|fig\.) \d)", re.I
)
"""Lines that never go on with the paragraph above them."""
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"^[-–—\s]*(?:page|seite|sivu|p\.)?\s*(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:[/|]|of|von)?\s*\d{1,4})?[-–—\s]*$",
    re.I,
)
_SECTION_NUMBER = re.compile(r"^\d{1,2}(?:\.\d{1,2}){1,3}\.?\s+(?=\S)")
_HEADING_NUMBER = re.compile(r"^\d{1,2}(?:\.\d{1,2}){0,3}\.?\s+(?=\S)")
_FOOTNOTE_START = re.compile(r"^\s*(\d{1,3}|[*†‡])[\s\t]*(?=\S)")


@dataclass(slots=True)
class PdfBlock:
    """A run of lines that belong together, still with its print."""

    lines: list[Line]
    page: int
    """Page of the first line."""
    text: str = ""
    reaches_edge: bool = True
    """The last line runs to the right edge of its column, so that the sentence may go on elsewhere."""

    @property
    def size(self) -> float:
        return max(self.lines, key=lambda line: len(line.text)).size

    @property
    def is_bold(self) -> bool:
        return all(line.is_bold for line in self.lines)

    @property
    def is_slanted(self) -> bool:
        return all(line.is_slanted for line in self.lines)


# Furniture


def drop_running_lines(pages: Sequence[Page], source_id: str) -> list[Note]:
    """Remove running headers, footers and page numbers from the pages; the notes list each of them once."""
    edges = {page.number: _edge_lines(page) for page in pages}
    pages_with: dict[str, set[int]] = defaultdict(set)
    for number, lines in edges.items():
        for line in lines:
            pages_with[_mask(line.text)].add(number)
    needed = max(2, REPEATED_SHARE * len(pages))
    dropped: Counter[str] = Counter()
    example: dict[str, str] = {}
    for page in pages:
        furniture = set()
        for line in edges[page.number]:
            masked = _mask(line.text)
            is_repeated = len(pages_with[masked]) >= needed
            if is_repeated or _PAGE_NUMBER.match(line.text.strip()):
                key = masked if is_repeated else "#"
                dropped[key] += 1
                example.setdefault(key, line.text.strip())
                furniture.add(id(line))
        page.lines = [line for line in page.lines if id(line) not in furniture]
    return [
        Note(
            source_id, "repeated_line", f"Dropped at the edge of {count} pages: “{example[key]}”", count=count
        )
        for key, count in dropped.items()
    ]


def _edge_lines(page: Page) -> list[Line]:
    """The lines of the outermost rows, whatever their place in the content stream."""
    rows = sorted({round(line.baseline / 3) for line in page.lines})
    edge = set(rows[:EDGE_ROWS]) | set(rows[-EDGE_ROWS:])
    return [line for line in page.lines if round(line.baseline / 3) in edge]


def _mask(text: str) -> str:
    return " ".join(_DIGITS.sub("#", text).split()).casefold()


# Reading order


def put_columns_in_order(page: Page) -> int:
    """Re-order a page whose content stream jumps between columns; gives the number of jumps it had, 0 if left alone."""
    gutter = _find_gutter(page.lines)
    if gutter is None:
        return 0
    sides = [_side(line, gutter) for line in page.lines]
    columns = [side for side in sides if side != 0]
    switches = sum(a != b for a, b in pairwise(columns))
    if switches <= COLUMN_SWITCHES:
        return 0
    page.lines = _by_bands(page.lines, gutter)
    return switches


def _find_gutter(lines: Sequence[Line]) -> float | None:
    """The x at which a page with two columns is parted: at least a quarter of the lines wholly on each side."""
    if len(lines) < 12:
        return None
    left, right = min(line.x0 for line in lines), max(line.x1 for line in lines)
    best: tuple[int, float] | None = None
    for step in range(30, 71):
        x = left + (right - left) * step / 100
        n_left = sum(line.x1 <= x for line in lines)
        n_right = sum(line.x0 >= x for line in lines)
        n_crossing = len(lines) - n_left - n_right
        if min(n_left, n_right) >= len(lines) / 4 and (best is None or n_crossing < best[0]):
            best = (n_crossing, x)
    return best[1] if best else None


def _side(line: Line, gutter: float) -> int:
    if line.x1 <= gutter:
        return -1
    return 1 if line.x0 >= gutter else 0


def _by_bands(lines: Sequence[Line], gutter: float) -> list[Line]:
    """Full-width lines part the page into bands; within a band the left column comes before the right one."""
    ordered: list[Line] = []
    band: list[Line] = []

    def close_band() -> None:
        for side in (-1, 1):
            ordered.extend(line for line in band if _side(line, gutter) == side)
        band.clear()

    for line in sorted(lines, key=lambda line: (-round(line.baseline, 1), line.x0)):
        if _side(line, gutter) == 0:
            close_band()
            ordered.append(line)
        else:
            band.append(line)
    close_band()
    return ordered


# Paragraphs


def body_size(pages: Iterable[Page]) -> float:
    """The font size that most characters have, in points."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size * 2) / 2] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 10.0


def build_blocks(page: Page) -> list[PdfBlock]:
    """Group the lines of a page into paragraphs, headings and entries of lists."""
    edges = _right_edges(page.lines)
    pitch = _line_pitch(page.lines)
    blocks: list[PdfBlock] = []
    for index, line in enumerate(page.lines):
        if blocks and _continues(blocks[-1].lines, line, edges[index - 1], pitch):
            blocks[-1].lines.append(line)
        else:
            blocks.append(PdfBlock([line], page.number))
        blocks[-1].reaches_edge = not _has_room(line, edges[index], "international")
    for block in blocks:
        block.text = flow_lines(line.text for line in block.lines)
    return blocks


def _right_edges(lines: Sequence[Line]) -> list[float]:
    """For each line, how far its column reaches to the right: the upper quartile of the lines near it that start at
    about the same x. Lines further off may belong to text that runs over the whole page."""
    edges = []
    for index, line in enumerate(lines):
        near = lines[max(0, index - EDGE_WINDOW) : index + EDGE_WINDOW + 1]
        ends = sorted(other.x1 for other in near if abs(other.x0 - line.x0) < 2.5 * line.size)
        edges.append(max(line.x1, ends[(3 * len(ends)) // 4 if len(ends) > 3 else -1]))
    return edges


EDGE_WINDOW = 8


def _has_room(line: Line, edge: float, word: str) -> bool:
    """Whether `word` would still have fitted at the end of the line: then the break was meant."""
    per_char = (line.x1 - line.x0) / max(1, len(line.text.strip()))
    return edge - line.x1 > per_char * (len(word) + 1.5)


def _line_pitch(lines: Sequence[Line]) -> float:
    """Usual distance between two baselines as a multiple of the font size."""
    steps = [
        (above.baseline - below.baseline) / above.size
        for above, below in pairwise(lines)
        if above.size > 0 and 0.7 * above.size < above.baseline - below.baseline < 2.2 * above.size
    ]
    return median(steps) if steps else 1.25


def _continues(block: list[Line], line: Line, edge: float, pitch: float) -> bool:
    last = block[-1]
    step = last.baseline - line.baseline
    same_style = 0.88 < line.size / max(last.size, 0.1) < 1.13
    overlaps = min(last.x1, line.x1) > max(last.x0, line.x0)
    if last.text.rstrip().endswith(HYPHEN_MARK) and same_style:
        return True
    if (
        not same_style
        or _STARTS_ALONE.match(line.text)
        or BULLET.match(line.text)
        or NUMBERED_ITEM.match(line.text)
    ):
        return False
    if not overlaps or step <= 0:
        return False
    all_bold = all(item.is_bold for item in block)
    if step > max(1.35 * pitch, 1.25) * last.size and not (
        all_bold and line.is_bold and step < 2 * last.size
    ):
        return False
    first_word = line.text.split()[0] if line.text.split() else ""
    is_short = _has_room(last, edge, first_word)
    if all_bold != line.is_bold and (is_short or SENTENCE_END.search(last.text.rstrip())):
        return False
    ends = bool(SENTENCE_END.search(last.text.rstrip()))
    indented = line.x0 - min(item.x0 for item in block) > 0.7 * line.size
    if BULLET.match(block[0].text) or NUMBERED_ITEM.match(block[0].text):
        return not (is_short and ends) and line.x0 > block[0].x0 - 0.5 * line.size
    if ends and (is_short or (indented and len(block) > 0)):
        return False
    starts_anew = first_word[:1].isupper() or first_word[:1].isdigit()
    return all_bold or not (is_short and starts_anew)


# Headings, footnotes, sentences that go on elsewhere


def is_heading(block: PdfBlock, body: float) -> bool:
    """A short block in larger or bold print, or a numbered one in bold, that is no sentence."""
    words = block.text.split()
    if not 1 <= len(words) <= 20 or len(block.lines) > 4 or len(block.text) > 160:
        return False
    bare = _HEADING_NUMBER.sub("", block.text)
    if not bare[:1].isalpha() or block.text.endswith((".", ",", ";")) or BULLET.match(block.text):
        return False
    if sum(character.isalpha() for character in bare) < max(3, 0.6 * len(bare.replace(" ", ""))):
        return False
    if is_large(block, body) or (block.is_bold and block.size >= 0.89 * body):
        return True
    is_numbered = bool(_SECTION_NUMBER.match(block.text)) and bare[0].isupper()
    is_slanted_line = (
        block.is_slanted and bare[0].isupper() and not block.reaches_edge and len(block.lines) <= 2
    )
    return len(words) <= 14 and not SENTENCE_END.search(block.text) and (is_numbered or is_slanted_line)


def is_large(block: PdfBlock, body: float) -> bool:
    return block.size >= 1.12 * body


def split_footnotes(blocks: list[PdfBlock]) -> tuple[list[PdfBlock], list[PdfBlock]]:
    """Part the notes at the foot of a page from its text.

    A footnote starts with a number that stands as a raised digit in the text above it; what follows it on the page in
    print no larger than its own belongs to it.
    """
    marks = {_raised_number(line, place) for block in blocks for line in block.lines for place in line.raised}
    for start, block in enumerate(blocks):
        match = _FOOTNOTE_START.match(block.text)
        if not (match and match[1] in marks and start > 0):
            continue
        rest = blocks[start:]
        above = min(line.baseline for earlier in blocks[:start] for line in earlier.lines)
        if all(line.baseline < above for foot in rest for line in foot.lines):
            return blocks[:start], rest
    return blocks, []


def _raised_number(line: Line, place: int) -> str:
    match = _DIGITS.match(line.text, place)
    return match[0] if match else ""


def erase_marks(block: PdfBlock, numbers: set[str]) -> int:
    """Take the raised marks of the page's footnotes out of a block's lines; gives how many there were."""
    n_erased = 0
    for line in block.lines:
        left: list[int] = []
        for place in sorted(line.raised, reverse=True):
            if place - 1 in line.raised:
                continue  # The second digit of a number is erased with the first.
            number = _raised_number(line, place)
            if number in numbers:
                line.text = line.text[:place] + line.text[place + len(number) :]
                left = [other - len(number) for other in left]
                n_erased += 1
            else:
                left.extend(range(place, place + len(number)))
        line.raised = tuple(left)
    if n_erased:
        block.text = flow_lines(line.text for line in block.lines)
    return n_erased


_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def raise_powers(block: PdfBlock) -> None:
    """Raised digits that mark no footnote are powers: m2 becomes m²."""
    for line in block.lines:
        for place in line.raised:
            digit = line.text[place : place + 1]
            line.text = line.text[:place] + digit.translate(_SUPERSCRIPTS) + line.text[place + 1 :]
    block.text = flow_lines(line.text for line in block.lines)


def heading_levels(sizes: Iterable[float]) -> dict[int, int]:
    """Font sizes of the headings to levels 1 to 4, the largest first."""
    ranked = sorted({round(size) for size in sizes}, reverse=True)
    return {size: min(rank, 4) for rank, size in enumerate(ranked, start=1)}


_OPEN_WORDS = frozenset({
    "a", "about", "an", "and", "are", "as", "at", "be", "been", "between", "but", "by", "can", "for", "from", "had",
    "has", "have", "in", "into", "is", "its", "may", "more", "must", "no", "not", "of", "on", "or", "our", "over",
    "than", "that", "the", "their", "these", "this", "those", "through", "to", "under", "was", "were", "when", "where",
    "which", "while", "who", "whose", "will", "with", "within", "without",
})  # fmt: skip
"""An English sentence does not end with one of these."""
_STOP = re.compile(r"[.!?…。！？؟][\"'”’»)\]]*$")


def join_interrupted(blocks: Iterable[Block]) -> list[Block]:
    """Join a paragraph that a page or column border, a figure or a footnote has parted."""
    joined: list[Block] = []
    for block in blocks:
        last = joined[-1] if joined else None
        if last is None or not _goes_on_in(last, block):
            joined.append(block)
            continue
        n_borders = (block.page or 0) - (last.page or 0) - last.text.count(PAGE_MARK)
        is_whole = not last.text.endswith(HYPHEN_MARK) and not breaks_address(last.text, block.text)
        last.text += " " * is_whole + PAGE_MARK * max(0, n_borders) + block.text
        last.reaches_edge = block.reaches_edge
    return joined


def _goes_on_in(last: Block, block: Block) -> bool:
    """A paragraph goes on in the next one when it ends without a stop at the edge of its column, and the next one
    starts with a small letter, or the last word asks for more, or a page border lies between them."""
    if block.kind != "paragraph" or last.kind not in ("paragraph", "item") or _STOP.search(last.text):
        return False
    if abs(block.size - last.size) > 0.05 * last.size:
        return False
    if last.text.endswith(HYPHEN_MARK):
        return True
    words = last.text.split()
    if block.text[:1].islower() and (last.reaches_edge or last.text.endswith((",", ";"))):
        return True
    if not last.reaches_edge or last.text.endswith(":"):
        return False
    turns_page = (block.page or 0) > (last.page or 0) + last.text.count(PAGE_MARK)
    return last.text.endswith(",") or words[-1].casefold() in _OPEN_WORDS or (turns_page and len(words) > 8)
