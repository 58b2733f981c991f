"""Documents to text to passages, or a grid to scenarios: the first stage."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tunesmith.errors import InputError, MissingError
from tunesmith.options import Options
from tunesmith.read.blocks import HYPHEN_MARK, Block, RawDocument, Unreadable
from tunesmith.read.chunk import ChunkOptions, chunk_document
from tunesmith.read.clean import Vocabulary, compose_document, mend_unicode
from tunesmith.read.debris import drop_debris
from tunesmith.read.files import FoundFile, find_files
from tunesmith.read.identifiers import Kind
from tunesmith.read.layout import join_interrupted
from tunesmith.read.pdf_worker import PdfWorker
from tunesmith.read.readers import ReadingFile, check_size, read_file
from tunesmith.read.redact import NAMES, Redactor
from tunesmith.read.references import cut_references
from tunesmith.read.rows import Columns, RowReader
from tunesmith.read.scenarios import ScenarioOptions, coverage, plan_scenarios
from tunesmith.records import Chunk, Document, Note, SplitName
from tunesmith.tables import SUFFIXES

__all__ = [
    "ChunkOptions",
    "ReadOptions",
    "ScenarioOptions",
    "chunk_documents",
    "coverage",
    "files_to_read",
    "plan_scenarios",
    "read_documents",
]


class ReadOptions(Options):
    documents: str | list[str] | None = Field(
        None,
        description="files, folders or patterns such as docs/*.pdf, seen from the folder of the plan; a table gives a"
        " document for each row; the id of a hub data set (owner/name)",
    )
    scenarios: ScenarioOptions | None = Field(
        None,
        description="a grid of scenarios to write about, in place of documents: attributes with their levels",
    )
    password_env: str | None = Field(
        default=None, description="name of the environment variable that holds the password of encrypted PDFs"
    )
    max_file_mb: float = Field(default=100.0, gt=0, description="larger files are refused, in megabytes")
    text_column: str | None = Field(
        None,
        description="the column of tables that holds the text; null: recognised where only one can be meant",
    )
    title_column: str | None = Field(
        None, description="the column of their titles; null: title, if there is one"
    )
    source_column: str | None = Field(
        None, description="rows alike in this column are held out together; null: each row is its own source"
    )
    subset: str | None = Field(
        None, description="which configuration of a data set; null: its only or default one"
    )
    take: SplitName | None = Field(None, description="which part of a data set; null: all of them")
    references: Literal["cut", "keep"] = Field(
        default="cut", description="cut: leave out lists of references; keep: treat them as text"
    )
    redact: tuple[Kind, ...] = Field(
        (),
        description="what is replaced by placeholders such as [EMAIL_1] before any text leaves the machine",
    )
    phone_region: str | None = Field(
        None,
        description="country (ISO code, such as DE) of phone numbers without a country code; null: only those with +",
    )
    redact_model: str | None = Field(
        None,
        description="spaCy pipeline that finds person and organisation: a name such as en_core_web_sm, or a folder",
    )
    chunk: ChunkOptions = Field(default=ChunkOptions(), description="how documents are cut into passages")

    @model_validator(mode="after")
    def _starts_from_one_thing(self) -> ReadOptions:
        if (self.documents is None) == (self.scenarios is None):
            raise ValueError("name either documents or scenarios")
        idle = sorted(self.model_fields_set - {"documents", "scenarios"})
        if self.scenarios is not None and idle:
            raise ValueError(f"{', '.join(idle)} has no effect on scenarios")
        return self

    @field_validator("redact", mode="before")
    @classmethod
    def _may_be_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _redacts_what_it_can_find(self) -> ReadOptions:
        names = [kind for kind in NAMES if kind in self.redact]
        if names and self.redact_model is None:
            raise ValueError(f"redact: {' and '.join(names)} needs redact_model, such as en_core_web_sm")
        if self.redact_model is not None and not names:
            raise ValueError("redact_model has no effect: redact names neither person nor organisation")
        if self.phone_region is not None:
            if "phone" not in self.redact:
                raise ValueError("phone_region has no effect: redact does not name phone")
            from phonenumbers import SUPPORTED_REGIONS

            if self.phone_region not in SUPPORTED_REGIONS:
                raise ValueError(f"phone_region: {self.phone_region!r} is no country code such as DE or US")
        return self


def read_documents(options: ReadOptions, root: Path) -> Iterator[Document | Note]:
    """Every document in the order of its name, and a note with `is_refusal` for each file that gives none.

    All files are read before the first document comes out, because whether a word broken at a line end had a hyphen is
    decided by how it is written elsewhere in all of them.

    Args:
        options: what to read.
        root: the folder that relative paths start from.

    Raises:
        InputError: there is nothing to read.
        MissingError: the variable named by `password_env` is not set, or what finds names is not installed.
    """
    password = _password(options.password_env)
    files = files_to_read(options, root)
    redactor = Redactor(options.redact, region=options.phone_region, model=options.redact_model)
    rows = RowReader(Columns(options.text_column, options.title_column, options.source_column))
    results: list[RawDocument | Note] = []
    with PdfWorker() as worker:
        for file in files:
            given = ReadingFile(file.path, file.source_id, password, worker.extract)
            results += _read_rows(given, rows, options) if _is_table(file) else [_read(given, options)]
    vocabulary = _count_words([result for result in results if isinstance(result, RawDocument)])
    for result in results:
        if isinstance(result, Note):
            yield result
            continue
        document = _finish(result, vocabulary, options)
        yield document if isinstance(document, Note) else redactor.redact(document, named_by=result.named_by)


def files_to_read(options: ReadOptions, root: Path) -> list[FoundFile]:
    """The files that the options name; none for scenarios.

    Raises:
        InputError: there are none, or an option about tables has no effect because there is no table among them.
        MissingError: a hub data set is not to be had.
    """
    if options.documents is None:
        return []
    files = find_files(options.documents, root, subset=options.subset, take=options.take)
    for key in ("text_column", "title_column", "source_column"):
        if getattr(options, key) is not None and not any(map(_is_table, files)):
            raise InputError(
                "this has no effect: no table is among the documents",
                where=f"read.{key}: {getattr(options, key)}",
                do=f"leave it out, or name a table ({', '.join(SUFFIXES)}) in read.documents",
            )
    return files


def _is_table(file: FoundFile) -> bool:
    return file.path.suffix.lower() in SUFFIXES


def chunk_documents(documents: Iterable[Document], options: ChunkOptions) -> Iterator[Chunk]:
    """Passages of the documents, in order: on sentence borders, within `options.tokens`, each under one heading."""
    for document in documents:
        yield from chunk_document(document, options)


def _password(variable: str | None) -> str | None:
    if variable is None:
        return None
    password = os.environ.get(variable)
    if password is None:
        raise MissingError(
            f"the environment variable {variable} is not set",
            where="read.password_env",
            do=f"Set it before the run (export {variable}=…), or remove password_env from the plan.",
        )
    return password


def _read(file: ReadingFile, options: ReadOptions) -> RawDocument | Note:
    try:
        raw = read_file(file, int(options.max_file_mb * 1e6))
    except Unreadable as problem:
        return Note(file.source_id, problem.rule, problem.text, is_refusal=True)
    for block in raw.blocks:
        block.text = mend_unicode(block.text)
    return raw


def _read_rows(file: ReadingFile, rows: RowReader, options: ReadOptions) -> Iterator[RawDocument | Note]:
    """The rows of a table; what makes the rest of it unreadable ends it with a refusal."""
    try:
        check_size(file.path, int(options.max_file_mb * 1e6))
        for record in rows.read(file.path, file.source_id):
            if isinstance(record, RawDocument):
                for block in record.blocks:
                    block.text = mend_unicode(block.text)
            yield record
    except Unreadable as problem:
        yield Note(file.source_id, problem.rule, problem.text, is_refusal=True)
    except OSError as error:
        said = f"The file cannot be opened: {error.strerror or error}."
        yield Note(file.source_id, "not_readable", said, is_refusal=True)


def _count_words(documents: Sequence[RawDocument]) -> Vocabulary:
    """Word forms of all documents; left empty when no word is broken anywhere, because then nobody asks."""
    texts = [block.text for document in documents for block in document.blocks]
    vocabulary = Vocabulary()
    if any(HYPHEN_MARK in text for text in texts):
        vocabulary.add(texts)
    return vocabulary


def _finish(raw: RawDocument, vocabulary: Vocabulary, options: ReadOptions) -> Document | Note:
    blocks: list[Block] = raw.blocks
    if options.references == "cut":
        blocks, notes = cut_references(blocks, raw.source_id)
        raw.notes.extend(notes)
    if raw.n_pages:
        blocks, notes = drop_debris(blocks, raw.source_id)
        raw.notes.extend(notes)
        blocks = join_interrupted(blocks)
    document = compose_document(raw, blocks, vocabulary)
    if not document.text:
        return Note(raw.file or raw.source_id, "no_text", "Nothing is left after cleaning.", is_refusal=True)
    return document
