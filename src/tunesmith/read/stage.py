"""Documents to text to passages, or a grid to scenarios: the first stage."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tunesmith.errors import MissingError
from tunesmith.options import Options
from tunesmith.read.blocks import HYPHEN_MARK, Block, RawDocument, Unreadable
from tunesmith.read.chunk import ChunkOptions, chunk_document
from tunesmith.read.clean import Vocabulary, compose_document, mend_unicode
from tunesmith.read.debris import drop_debris
from tunesmith.read.files import find_files
from tunesmith.read.layout import join_interrupted
from tunesmith.read.pdf_worker import PdfWorker
from tunesmith.read.readers import ReadingFile, read_file
from tunesmith.read.references import cut_references
from tunesmith.read.scenarios import ScenarioOptions, coverage, plan_scenarios
from tunesmith.records import Chunk, Document, Note

__all__ = [
    "ChunkOptions",
    "ReadOptions",
    "ScenarioOptions",
    "chunk_documents",
    "coverage",
    "plan_scenarios",
    "read_documents",
]


class ReadOptions(Options):
    documents: str | list[str] | None = Field(
        None, description="files, folders or patterns such as docs/*.pdf, seen from the folder of the plan"
    )
    scenarios: ScenarioOptions | None = Field(
        None,
        description="a grid of scenarios to write about, in place of documents: attributes with their levels",
    )
    password_env: str | None = Field(
        default=None, description="name of the environment variable that holds the password of encrypted PDFs"
    )
    max_file_mb: float = Field(default=100.0, gt=0, description="larger files are refused, in megabytes")
    references: Literal["cut", "keep"] = Field(
        default="cut", description="cut: leave out lists of references; keep: treat them as text"
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


def read_documents(options: ReadOptions, root: Path) -> Iterator[Document | Note]:
    """Every document in the order of its name, and a note with `is_refusal` for each file that gives none.

    All files are read before the first document comes out, because whether a word broken at a line end had a hyphen is
    decided by how it is written elsewhere in all of them.

    Args:
        options: what to read.
        root: the folder that relative paths start from.

    Raises:
        InputError: there is nothing to read.
        MissingError: the variable named by `password_env` is not set.
    """
    password = _password(options.password_env)
    files = find_files(options.documents or [], root)
    with PdfWorker() as worker:
        results = [
            _read(ReadingFile(file.path, file.source_id, password, worker.extract), options) for file in files
        ]
    vocabulary = _count_words([result for result in results if isinstance(result, RawDocument)])
    for result in results:
        yield result if isinstance(result, Note) else _finish(result, vocabulary, options)


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
        return Note(raw.source_id, "no_text", "Nothing is left after cleaning.", is_refusal=True)
    return document
