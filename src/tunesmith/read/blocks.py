"""What a reader hands to the cleaner: blocks of text in reading order, still with the marks of the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tunesmith.records import Note

HYPHEN_MARK = "\x02"
"""Stands where a word was broken at a line end; pdfium marks such places so, the other readers follow it."""
PAGE_MARK = "\x0c"
"""Stands inside a block where the next page starts."""

BlockKind = Literal["heading", "paragraph", "item", "row"]
"""`item`: an entry of a list; `row`: a row of a table, its cells parted by ` | `. Both keep a line of their own."""


@dataclass(slots=True)
class Block:
    text: str
    kind: BlockKind = "paragraph"
    level: int = 0
    """1 to 6 for a heading, else 0."""
    page: int | None = None
    """Page on which the block starts, counted from 1."""
    size: float = 0.0
    """Font size in points; 0 where the format has none."""
    is_weak: bool = False
    """A heading that stands out by bold or slanted print only, so that it may be a label in a figure or table."""
    reaches_edge: bool = False
    """The last line runs to the right edge of its column, so that the sentence may go on in another block."""


@dataclass(slots=True)
class RawDocument:
    """One file, or one row of a table, as its reader saw it."""

    source_id: str
    title: str | None
    blocks: list[Block]
    n_pages: int = 0
    notes: list[Note] = field(default_factory=list)
    file: str = ""
    """The table, of a document that is a row of one."""
    origin: str = ""
    """File and line (or row) of such a document."""
    named_by: Literal["path", "source", "id", "text"] = "path"
    """Where `source_id` comes from: of a row, its source column, or after the table's path its id or its text."""


class Unreadable(Exception):
    """A file that gives no document; it becomes a note and the run goes on.

    Args:
        rule: the note's rule: `encrypted`, `broken`, `no_text`, …
        text: what is wrong and what to do.
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule
        self.text = text
