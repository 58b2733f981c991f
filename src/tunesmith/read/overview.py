"""What was read, in numbers that a person can check against the files: a line for each file, and the sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tunesmith.read.chunk import ChunkOptions, chunk_document
from tunesmith.read.redact import RULE as REDACTED
from tunesmith.records import Document, Note


@dataclass(slots=True)
class FileFacts:
    """One file; a table's rows are counted together."""

    name: str
    title: str = ""
    documents: int = 0
    """1, or the rows of a table that gave one each; 0 when the file was refused."""
    pages: int | None = None
    """`None` where the format has no pages."""
    words: int = 0
    tokens: int = 0
    """Estimated; those of its passages."""
    passages: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    """What was cut or mended: rule to times."""
    redacted: dict[str, int] = field(default_factory=dict)
    """Kind of identifier to times it was replaced."""
    refused: list[str] = field(default_factory=list)
    """Why the file, or a row of it, gave no document."""


def overview(records: Iterable[Document | Note], options: ChunkOptions) -> list[FileFacts]:
    """The files in the order in which they came."""
    found: dict[str, FileFacts] = {}
    for record in records:
        if isinstance(record, Note):
            if record.is_refusal:
                found.setdefault(record.source_id, FileFacts(record.source_id)).refused.append(record.text)
            continue
        name = record.file or record.source_id
        facts = found.setdefault(name, FileFacts(name))
        facts.documents += 1
        facts.title = facts.title or ("" if record.file else record.title)
        if record.page_starts:
            facts.pages = (facts.pages or 0) + len(record.page_starts)
        facts.words += len(record.text.split())
        for passage in chunk_document(record, options):
            facts.passages += 1
            facts.tokens += passage.n_tokens
        for note in record.notes:
            if note.rule.startswith(REDACTED):
                _add(facts.redacted, note.rule.removeprefix(REDACTED), note.count)
            else:
                _add(facts.notes, note.rule, note.count)
    return list(found.values())


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count


def total(files: Iterable[FileFacts]) -> FileFacts:
    """The sums of all files; `pages` are of those that have pages, `None` where none has."""
    everything = FileFacts("total")
    notes: Counter[str] = Counter()
    redacted: Counter[str] = Counter()
    for facts in files:
        everything.documents += facts.documents
        everything.words += facts.words
        everything.tokens += facts.tokens
        everything.passages += facts.passages
        if facts.pages is not None:
            everything.pages = (everything.pages or 0) + facts.pages
        notes.update(facts.notes)
        redacted.update(facts.redacted)
        everything.refused += facts.refused
    everything.notes, everything.redacted = dict(notes), dict(redacted)
    return everything
