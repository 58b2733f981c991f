"""Lists of references and other back matter: found by their heading, cut only as far as they look like one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunesmith.read.blocks import Block
from tunesmith.records import Note

_HEADINGS = {
    "references", "reference list", "list of references", "bibliography", "selected bibliography", "works cited",
    "literature", "literature cited", "cited literature", "sources", "further reading", "endnotes", "end notes",
    "literatur", "literaturverzeichnis", "quellen", "lähteet", "kirjallisuus", "viitteet", "bibliographie",
    "références", "bibliografía", "referencias", "källor", "referenser",
}  # fmt: skip
_NUMBERING = re.compile(r"^(?:#+\s*)?(?:\d{1,2}(?:\.\d{1,2})*\.?|[A-Z]\.|[IVX]+\.)?\s*")
_YEAR = re.compile(r"\b(?:1[89]|20)\d\d[a-z]?\b")
_SIGNS = (
    re.compile(r"^\s*(?:-\s*)?(?:\[\d{1,3}\]|\d{1,3}[.)])\s*\S"),
    re.compile(r"\b[A-ZÄÖÜÅÉ][\w'’-]+,\s+(?:[A-ZÄÖÜÅÉ]\.[\s-]*){1,3}"),
    re.compile(r"\b(?:vol|no|pp|eds?|edn|iss)\.|\bpp?\.?\s*\d+|\b\d+\s*\(\d+\)\s*[:,]|\bet al\b", re.I),
    re.compile(r"\bdoi\b|https?://|www\.|\barxiv\b|\bISBN\b|\bISO\b|\bEN \d{3}|\bDirective\b", re.I),
    re.compile(r"\b(?:Journal|Press|Publish\w*|University|Proceedings|Review|Conference|Verlag)\b"),
    re.compile(r"\((?:(?:1[89]|20)\d\d)[a-z]?\)"),
)


def is_reference_heading(text: str) -> bool:
    """Whether a line is the heading of a list of references, numbered or not."""
    bare = _NUMBERING.sub("", text.strip(), count=1).strip(" :.*#_")
    return bare.casefold() in _HEADINGS


def looks_like_reference(text: str) -> bool:
    """A year and one sign of a bibliographic entry, or two signs; a sentence of prose seldom has them."""
    n_signs = sum(bool(sign.search(text)) for sign in _SIGNS)
    return n_signs >= 2 or (n_signs >= 1 and bool(_YEAR.search(text)))


def cut_references(blocks: Sequence[Block], source_id: str) -> tuple[list[Block], list[Note]]:
    """Take out lists of references; what stands before and after them stays, on the same page too.

    A list starts at its heading, and only if most of the next blocks look like entries. It ends before the next
    heading that is followed by prose, or before two blocks in a row that look like prose.
    """
    kept: list[Block] = []
    notes: list[Note] = []
    position = 0
    while position < len(blocks):
        block = blocks[position]
        is_short = len(block.text) < 60 and block.kind in ("heading", "paragraph")
        if not (is_short and is_reference_heading(block.text)):
            kept.append(block)
            position += 1
            continue
        end = _end_of_list(blocks, position + 1, block.level)
        if end == position + 1:
            kept.append(block)
        else:
            n_words = sum(len(entry.text.split()) for entry in blocks[position:end])
            where = f"from “{block.text}”" + (f" on page {block.page}" if block.page else "")
            until = f" to “{blocks[end].text[:40]}”" if end < len(blocks) else " to the end"
            text = f"Cut a list of references {where}{until}: {end - position - 1} blocks, {n_words} words"
            notes.append(Note(source_id, "references", text, page=block.page, count=end - position))
        position = end
    return kept, notes


def _end_of_list(blocks: Sequence[Block], start: int, level: int) -> int:
    """Index after the last entry; `start` itself when no list begins there."""
    following = [block for block in blocks[start : start + 6] if block.kind != "heading"]
    n_entries = sum(looks_like_reference(block.text) for block in following)
    if not following or n_entries < max(1, len(following) / 2):
        return start
    n_prose = 0
    for index in range(start, len(blocks)):
        block = blocks[index]
        if block.kind == "heading":
            after = blocks[index + 1] if index + 1 < len(blocks) else None
            starts_section = 0 < block.level <= level or (
                after is not None and not looks_like_reference(after.text)
            )
            if starts_section and not is_reference_heading(block.text):
                return index - n_prose
        elif looks_like_reference(block.text) or len(block.text.split()) < 8:
            n_prose = 0
        else:
            n_prose += 1
            if n_prose == 2:
                return index - 1
    return len(blocks) - n_prose
