"""Text files: their encoding, and plain text as blocks."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tunesmith.read.blocks import Block, Unreadable
from tunesmith.read.layout import BULLET
from tunesmith.read.lines import flow_lines

_BLANK_LINE = re.compile(r"\n[ \t\v\f\r]*(?:\n[ \t\v\f\r]*)*\n|\f")
_NUMBERED = re.compile(r"^\s*(?:\d{1,2}[.)]|\([a-z\d]{1,2}\)|[a-z]\))\s+\S")
_NUMBERED_HEADING = re.compile(r"^\d{1,2}(?:\.\d{1,2})*\.?\s+[^\W\d_]")
_SENTENCE_END = re.compile(r"[.!?,;。！？؟]['\"”’»)\]]*$")
_RULE = re.compile(r"^[\s=\-_*~#.·]{3,}$")
MAX_WRAPPED_LINE = 130
"""Lines of text wrapped by hand are shorter than this; longer ones are paragraphs of their own."""


@dataclass(frozen=True, slots=True)
class DecodedText:
    text: str
    encoding: str
    n_replaced: int = 0
    """Bytes that the encoding could not explain."""


def decode_text(data: bytes) -> DecodedText:
    """Bytes to text: by the byte order mark, as UTF-8, as UTF-16 when every other byte is 0, else as Windows-1252.

    Raises:
        Unreadable: the bytes are no text (rule `binary`), or a pointer to a file that was not fetched (`pointer`).
    """
    if data.startswith(b"version https://git-lfs.github.com/spec"):
        raise Unreadable(
            "pointer", "This is a Git LFS pointer, not the file itself. Fetch it with: git lfs pull"
        )
    decoded = _replace_errors(data, _guess_encoding(data))
    if len(_CONTROL.findall(decoded.text, 0, 4096)) > 0.02 * min(4096, len(decoded.text)):
        raise Unreadable("binary", "The file holds binary data, not text.")
    return decoded


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _guess_encoding(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    sample = data[:4096]
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if len(sample) > 3 and zeros.count(0) > 0.4 * len(zeros):
            return encoding
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        # A stray byte in a UTF-8 file must not turn every umlaut of the file into two signs.
        has_good_letters = any(byte >= 0x80 for byte in data[: error.start])
        return "utf-8" if has_good_letters else "cp1252"
    return "utf-8"


def _replace_errors(data: bytes, encoding: str) -> DecodedText:
    text = data.decode(encoding, "replace")
    return DecodedText(text.removeprefix("\ufeff"), encoding.removesuffix("-sig"), text.count("\ufffd"))


def normalise_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_plain_text(text: str) -> list[Block]:
    """Paragraphs parted by blank lines, wrapped lines re-flowed; short lines of their own are headings."""
    groups = [group.strip("\n") for group in _BLANK_LINE.split(normalise_lines(text)) if group.strip()]
    blocks: list[Block] = []
    for number, group in enumerate(groups):
        lines = [line for line in group.split("\n") if line.strip() and not _RULE.match(line)]
        is_last = number == len(groups) - 1
        if len(lines) == 1 and not is_last and _is_heading(lines[0].strip()):
            level = 1 if not any(block.kind == "heading" for block in blocks) and not blocks else 2
            blocks.append(Block(lines[0].strip(), "heading", level))
        else:
            blocks.extend(_blocks_of(lines))
    return _without_false_headings(blocks)


MAX_HEADINGS_IN_A_ROW = 2


def _without_false_headings(blocks: list[Block]) -> list[Block]:
    """Short lines without any text between them are a list or a poem, not headings."""
    for is_heading, group in groupby(blocks, key=lambda block: block.kind == "heading"):
        run = list(group)
        if is_heading and len(run) > MAX_HEADINGS_IN_A_ROW:
            for block in run:
                block.kind, block.level = "paragraph", 0
    return blocks


def _is_heading(line: str) -> bool:
    words = line.split()
    is_short = len(words) <= 12 and len(line) <= 90
    starts_well = line[0].isupper() or bool(_NUMBERED_HEADING.match(line))
    return is_short and starts_well and not _SENTENCE_END.search(line) and any(map(str.isalpha, line))


def _blocks_of(lines: Sequence[str]) -> Iterator[Block]:
    """One group of lines: entries of a list, long lines as paragraphs of their own, wrapped lines joined."""
    pending: list[str] = []
    kind: str = "paragraph"
    for line in lines:
        is_item = bool(BULLET.match(line) or _NUMBERED.match(line))
        stands_alone = is_item or (pending and len(pending[-1]) > MAX_WRAPPED_LINE)
        if pending and stands_alone:
            yield _flow(pending, kind)
            pending = []
        if not pending:
            kind = "item" if is_item else "paragraph"
        pending.append(BULLET.sub("", line, count=1) if is_item else line)
    if pending:
        yield _flow(pending, kind)


def _flow(lines: Sequence[str], kind: str) -> Block:
    return Block(flow_lines(lines), "item" if kind == "item" else "paragraph")
