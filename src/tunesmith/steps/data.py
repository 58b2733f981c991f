"""Steps from documents to rows: read, synthesize, prepare."""

from __future__ import annotations

from collections.abc import Iterable

from tunesmith.errors import InputError
from tunesmith.prepare.leaks import find_leaks
from tunesmith.prepare.stage import prepare_rows
from tunesmith.read.files import find_files
from tunesmith.read.stage import chunk_documents, read_documents
from tunesmith.records import (
    Chunk,
    Document,
    Example,
    Note,
    Refused,
    Row,
    as_row,
)
from tunesmith.steps.base import SHOWN_REFUSALS, SPLITS, Context, Counts, keep
from tunesmith.store import (
    file_fingerprint,
    read_rows,
    write_json,
)
from tunesmith.synthesize.stage import open_teacher, synthesize_examples


def documents_outside(context: Context) -> dict[str, str]:
    files = find_files(context.plan.read.documents, context.root)
    return {f"document {file.source_id}": file_fingerprint(file.path) for file in files}


def read_step(context: Context) -> Counts:
    counts = keep(
        context,
        _documents_with_notes(context),
        {Document: "read/documents.jsonl", Note: "read/notes.jsonl"},
        "documents",
    )
    if not counts["documents"]:
        raise _nothing_read(context.rows("read/notes.jsonl", Note))
    documents = read_rows(context.run.folder / "read/documents.jsonl", Document)
    chunks = chunk_documents(documents, context.plan.read.chunk)
    return counts | keep(context, chunks, {Chunk: "read/chunks.jsonl"}, "passages")


def _nothing_read(notes: list[Note]) -> InputError:
    refusals = [f"{note.source_id}: {note.text}" for note in notes if note.is_refusal]
    more = f" (and {len(refusals) - SHOWN_REFUSALS} more)" if len(refusals) > SHOWN_REFUSALS else ""
    return InputError(
        f"none of the {len(refusals)} files could be read; {'; '.join(refusals[:SHOWN_REFUSALS])}{more}",
        where="read.documents",
        do="mend the files, or name others; read/notes.jsonl in the run folder has the reason for each",
    )


def _documents_with_notes(context: Context) -> Iterable[Document | Note]:
    """Documents, and their notes as rows of their own, so that `notes.jsonl` tells of every file."""
    for record in read_documents(context.plan.read, context.root):
        yield record
        if isinstance(record, Document):
            yield from record.notes


def teacher_outside(context: Context) -> dict[str, str]:
    return {f"file {path}": file_fingerprint(path) for path in context.plan.synthesize.files(context.root)}


def synthesize_step(context: Context) -> Counts:
    options = context.plan.synthesize
    chunks = context.rows("read/chunks.jsonl", Chunk)
    teacher = open_teacher(options, context.run.folder / "journal.sqlite", context.root)
    examples = synthesize_examples(chunks, teacher, options)
    counts = keep(
        context,
        examples,
        {Example: "synthesize/examples.jsonl", Refused: "synthesize/refused.jsonl"},
        "examples",
    )
    if not counts["examples"]:
        raise InputError(
            f"the teacher ({teacher.name}) got no example out of {len(chunks)} passages;"
            f" {counts['refused']} were refused",
            where="synthesize",
            do="the built-in teacher reads plain English prose only: name a model with synthesize.teacher, or look into"
            " read/chunks.jsonl and synthesize/refused.jsonl for what it was given and why it was refused",
        )
    return counts


def prepare_step(context: Context) -> Counts:
    examples = read_rows(context.run.folder / "synthesize/examples.jsonl", Example)
    prepared = list(prepare_rows(examples, context.plan.prepare))
    counts: Counts = {}
    for split in SPLITS:
        rows = [row for row in prepared if isinstance(row, Row) and row.split == split]
        counts |= keep(context, rows, {Row: f"prepare/{split}.jsonl"}, "rows")
    refused = [row for row in prepared if isinstance(row, Refused)]
    counts |= keep(context, refused, {Refused: "prepare/refused.jsonl"}, "rows")
    leaks = find_leaks([row for row in prepared if isinstance(row, Row)])
    write_json(context.run.folder / "prepare/leaks.json", [as_row(leak) for leak in leaks])
    return counts | {"leaks": len(leaks)}
