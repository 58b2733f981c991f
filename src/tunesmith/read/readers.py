"""One function for each format: a file to blocks of text in reading order.

To add a format, write such a function and name it in `READERS`. It returns a `RawDocument`, or raises `Unreadable` with
a rule and a sentence for the user; everything after it (unicode, hyphens, references, chunks) is done for all formats.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tunesmith.read.blocks import Block, BlockKind, RawDocument, Unreadable
from tunesmith.read.docx import parse_docx
from tunesmith.read.html import declared_charset, parse_html
from tunesmith.read.layout import (
    BULLET,
    NUMBERED_ITEM,
    PdfBlock,
    body_size,
    build_blocks,
    drop_running_lines,
    erase_marks,
    heading_levels,
    is_heading,
    is_large,
    put_columns_in_order,
    raise_powers,
    split_footnotes,
)
from tunesmith.read.markdown import parse_markdown
from tunesmith.read.pdf import PdfContent, extract_pdf
from tunesmith.read.plain import decode_text, parse_plain_text
from tunesmith.records import Note
from tunesmith.tables import SUFFIXES


@dataclass(frozen=True, slots=True)
class ReadingFile:
    """What a reader is given."""

    path: Path
    source_id: str
    password: str | None = None
    extract_pdf: Callable[[Path, str | None], PdfContent] = extract_pdf
    """How a PDF is opened: in this process, or in one of its own."""


Reader = Callable[[ReadingFile], RawDocument]


def read_file(file: ReadingFile, max_bytes: int) -> RawDocument:
    """Read one file by its suffix; `rows.py` reads tables.

    Raises:
        Unreadable: no reader for the suffix, too large, not permitted, empty, or what the reader itself found.
    """
    reader = READERS.get(file.path.suffix.lower())
    if reader is None:
        known = ", ".join(sorted((*READERS, *SUFFIXES)))
        raise Unreadable(
            "unknown_format",
            f"No reader for {file.path.suffix or 'a file without suffix'}. There are: {known}.",
        )
    try:
        check_size(file.path, max_bytes)
        raw = reader(file)
    except OSError as error:
        raise Unreadable("not_readable", f"The file cannot be opened: {error.strerror or error}.") from None
    if not any(block.text.strip() for block in raw.blocks):
        raise Unreadable("no_text", "There is no text in the file.")
    return raw


def check_size(path: Path, max_bytes: int) -> None:
    """Refuse what is empty or too large before it is opened.

    Raises:
        Unreadable: rule `empty` or `too_large`.
    """
    size = path.stat().st_size
    if size > max_bytes:
        limit = f"{size / 1e6:.1f} MB, more than read.max_file_mb allows ({max_bytes / 1e6:g} MB)"
        raise Unreadable("too_large", f"The file has {limit}.")
    if size == 0:
        raise Unreadable("empty", "The file is empty.")


# PDF


def read_pdf(file: ReadingFile) -> RawDocument:
    return arrange_pdf(file.extract_pdf(file.path, file.password), file.source_id)


def arrange_pdf(content: PdfContent, source_id: str) -> RawDocument:
    """Lines on pages to blocks: furniture, columns, paragraphs, footnotes and headings, in that order."""
    notes = _note_empty_pages(content, source_id)
    notes += drop_running_lines(content.pages, source_id)
    body = body_size(content.pages)
    printed: list[PdfBlock] = []
    for page in content.pages:
        if switches := put_columns_in_order(page):
            text = f"Put two columns in reading order; the file jumped between them {switches} times"
            notes.append(Note(source_id, "columns", text, page=page.number))
        text_blocks, feet = split_footnotes(build_blocks(page))
        if feet:
            numbers = {match[0] for foot in feet if (match := re.match(r"\d{1,3}|[*†‡]", foot.text))}
            n_marks = sum(erase_marks(block, numbers) for block in text_blocks)
            text = f"Left out the footnotes: “{feet[0].text[:80]}”; erased {n_marks} marks"
            notes.append(Note(source_id, "footnotes", text, page=page.number, count=len(feet)))
        for block in text_blocks:
            raise_powers(block)
        printed.extend(text_blocks)
    headings = {id(block) for block in printed if is_heading(block, body)}
    levels = heading_levels(block.size for block in printed if id(block) in headings)
    blocks = [_as_block(block, body, levels if id(block) in headings else None) for block in printed]
    return RawDocument(source_id, _usable_title(content.title), blocks, len(content.pages), notes)


def _as_block(block: PdfBlock, body: float, levels: dict[int, int] | None) -> Block:
    if levels is not None:
        level = levels[round(block.size)]
        return Block(block.text, "heading", level, block.page, block.size, is_weak=not is_large(block, body))
    is_bullet = bool(BULLET.match(block.text))
    text = BULLET.sub("", block.text, count=1) if is_bullet else block.text
    kind: BlockKind = "item" if is_bullet or NUMBERED_ITEM.match(text) else "paragraph"
    return Block(text, kind, 0, block.page, block.size, reaches_edge=block.reaches_edge)


def _note_empty_pages(content: PdfContent, source_id: str) -> list[Note]:
    """Pages without text; a file that has nothing else is refused.

    Raises:
        Unreadable: no page has any text (rule `no_text`).
    """
    empty = [page for page in content.pages if not page.lines]
    if not content.pages:
        raise Unreadable("no_text", "The PDF has no pages.")
    if len(empty) == len(content.pages):
        scanned = any(page.has_images for page in empty)
        why = (
            "its pages are images (a scan). It needs OCR first, for example with ocrmypdf."
            if scanned
            else "it is blank."
        )
        raise Unreadable("no_text", f"None of the {len(empty)} pages has text: {why}")
    return [
        Note(
            source_id,
            "no_text",
            "The page is an image without text: it needs OCR" if page.has_images else "The page is blank",
            page=page.number,
        )
        for page in empty
    ]


_NO_TITLE = re.compile(
    r"^(?:microsoft word|untitled|document\d*|powerpoint|slide \d|title)|\.(?:docx?|pdf|indd|qxd|pptx?|rtf|tex)$",
    re.I,
)


def _usable_title(title: str | None) -> str | None:
    """The title in the file's metadata, unless a program has filled it in."""
    if not title or _NO_TITLE.search(title.strip()) or not any(map(str.isalpha, title)):
        return None
    return title


# Text


def read_markdown(file: ReadingFile) -> RawDocument:
    text, notes = _decode(file)
    blocks, title = parse_markdown(text)
    return RawDocument(file.source_id, title, blocks, notes=notes)


def read_plain_text(file: ReadingFile) -> RawDocument:
    text, notes = _decode(file)
    return RawDocument(file.source_id, None, parse_plain_text(text), notes=notes)


def read_html(file: ReadingFile) -> RawDocument:
    data = file.path.read_bytes()
    charset = declared_charset(data)
    try:
        text, notes = (data.decode(charset), list[Note]()) if charset else _decode(file)
    except (LookupError, UnicodeDecodeError):
        text, notes = _decode(file)
    content = parse_html(text)
    if content.n_skipped:
        what = ", ".join(f"{count} {tag}" for tag, count in sorted(content.n_skipped.items()))
        note = f"Left out elements that hold no prose: {what}"
        notes.append(Note(file.source_id, "page_furniture", note, count=sum(content.n_skipped.values())))
    return RawDocument(file.source_id, content.title, content.blocks, notes=notes)


def read_docx(file: ReadingFile) -> RawDocument:
    content = parse_docx(file.path)
    return RawDocument(file.source_id, _usable_title(content.title), content.blocks)


def _decode(file: ReadingFile) -> tuple[str, list[Note]]:
    decoded = decode_text(file.path.read_bytes())
    notes = []
    if decoded.encoding != "utf-8":
        notes.append(Note(file.source_id, "encoding", f"Read as {decoded.encoding}"))
    if decoded.n_replaced:
        text = f"{decoded.n_replaced} bytes are no {decoded.encoding} and were replaced by \ufffd"
        notes.append(Note(file.source_id, "encoding_errors", text, count=decoded.n_replaced))
    return decoded.text, notes


READERS: dict[str, Reader] = {
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".txt": read_plain_text,
    ".text": read_plain_text,
    ".rst": read_plain_text,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
}
