"""Tables as documents: which column holds the text, and each row as a document of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from tunesmith.errors import InputError
from tunesmith.read.blocks import RawDocument, Unreadable
from tunesmith.read.plain import parse_plain_text
from tunesmith.records import Note, content_id
from tunesmith.tables import TableRow, read_table_leniently

TEXT_NAMES = frozenset({
    "text", "article", "document", "content", "contents", "body", "passage", "full_text", "fulltext", "raw_text",
    "raw_content", "page_content", "article_text", "document_text",
})  # fmt: skip
"""Names under which public sets keep running text, in small letters with underscores."""
TITLE_NAMES = frozenset({"title", "headline"})
ROWS_LOOKED_AT = 100
"""Rows from which the columns are recognised."""
_KEY_LENGTH = 12
"""Hex digits of a key made from a row's text: among 100,000 rows two are alike once in 50,000 tables."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the plan says of a table's columns; `None`: recognised (text, title), or not wanted (source)."""

    text: str | None = None
    title: str | None = None
    source: str | None = None


@dataclass(slots=True)
class RowReader:
    """Reads the tables of one study; it remembers their texts, so that none becomes two documents."""

    columns: Columns
    seen: dict[str, str] = field(default_factory=dict)
    """Content of a text to where it stood first."""
    keys: set[tuple[str, str]] = field(default_factory=set)
    """Table and id of the rows so far."""

    def read(self, path: Path, name: str) -> Iterator[RawDocument | Note]:
        """A document for each row, and a refusal in the place of each row that gives none.

        Args:
            path: the table.
            name: what people know it by; it stands in front of the rows' names and in messages.

        Raises:
            Unreadable: the file is no table, or it is not clear which column is the text.
        """
        try:
            rows = read_table_leniently(path)
            head = list(islice(rows, ROWS_LOOKED_AT))
            columns = self._recognised(head)
            for row in chain(head, rows):
                yield self._document(row, columns, path, name)
        except InputError as error:
            raise Unreadable("broken", _told(error, path, name)) from None

    def _recognised(self, head: Sequence[TableRow | InputError]) -> Columns:
        good = [row for row in head if isinstance(row, TableRow)]
        there = list(dict.fromkeys(column for row in good for column in row.values))
        if not there:
            bad = next((row for row in head if isinstance(row, InputError)), None)
            raise bad or Unreadable("empty", "The table has no rows.")
        asked = (self.columns.text, self.columns.title, self.columns.source)
        for column, key in zip(asked, ("text", "title", "source"), strict=True):
            if column is not None and column not in there:
                raise Unreadable(
                    "no_such_column",
                    f"There is no column {column!r} for read.{key}_column; there are: {', '.join(there)}.",
                )
        textual = [name for name in there if any(isinstance(row.values.get(name), str) for row in good)]
        text = self.columns.text or _text_column(textual, there)
        titles = [name for name in textual if _plain(name) in TITLE_NAMES and name != text]
        title = self.columns.title or (titles[0] if len(titles) == 1 else None)
        return Columns(text, title, self.columns.source)

    def _document(
        self, row: TableRow | InputError, columns: Columns, path: Path, name: str
    ) -> RawDocument | Note:
        if isinstance(row, InputError):
            return Note(name, "bad_row", _told(row, path, name), is_refusal=True)
        origin = row.where.replace(str(path), name, 1)
        try:
            text = row.text(columns.text or "")
            title = row.text(columns.title) if columns.title else None
            source = row.text(columns.source) if columns.source else None
        except InputError as error:
            return Note(name, "bad_row", _told(error, path, name), is_refusal=True)
        if text is None or not text.strip():
            return Note(name, "empty_row", f"{origin}: there is no text in {columns.text}", is_refusal=True)
        first = self.seen.setdefault(content_id(source or "", text, length=32), origin)
        if first is not origin:
            said = f"{origin}: the same text stands at {first}"
            return Note(name, "duplicate_row", said, is_refusal=True)
        own = row.values.get("id")
        key = str(own).strip() if isinstance(own, str | int) and not isinstance(own, bool) else ""
        document = RawDocument("", title, parse_plain_text(text), file=name, origin=origin)
        if source is not None and source.strip():
            document.source_id, document.named_by = source.strip(), "source"
        elif key and (name, key) not in self.keys:
            self.keys.add((name, key))
            document.source_id, document.named_by = f"{name}#{key}", "id"
        else:
            document.source_id, document.named_by = name_by_text(name, text), "text"
        return document


def name_by_text(table: str, text: str) -> str:
    """The name of a row without an id of its own: a row added above the others renames none of them."""
    return f"{table}#{content_id(text, length=_KEY_LENGTH)}"


def _text_column(textual: Sequence[str], there: Sequence[str]) -> str:
    """The one column that can be meant.

    Raises:
        Unreadable: there is none, or more than one (rule `no_text_column`).
    """
    plausible = [name for name in textual if _plain(name) in TEXT_NAMES]
    if len(plausible) == 1:
        return plausible[0]
    if not plausible and len(there) == 1 and textual:
        return there[0]
    what = (
        f"{' and '.join(plausible)} may each be the text"
        if plausible
        else "No column goes by a name that says it holds the text"
    )
    raise Unreadable(
        "no_text_column", f"{what}: name the one with read.text_column. There are: {', '.join(there)}."
    )


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _told(error: InputError, path: Path, name: str) -> str:
    where = (error.where or name).replace(str(path), name, 1)
    return f"{where}: {error.what}"
