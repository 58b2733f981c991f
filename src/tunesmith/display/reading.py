"""What `tunesmith read` prints: a line for each file, or the text of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from tunesmith.display.console import plain_console
from tunesmith.read.chunk import ChunkOptions
from tunesmith.read.overview import FileFacts, total
from tunesmith.read.stage import chunk_documents
from tunesmith.records import Document, as_row

SHOWN_REASONS = 3
"""Reasons shown for one table; --json has them all."""


def overview_json(files: Sequence[FileFacts]) -> dict[str, Any]:
    everything = asdict(total(files))
    everything.pop("name")
    everything.pop("title")
    return {"files": [asdict(facts) for facts in files], "total": everything}


def show_overview(files: Sequence[FileFacts]) -> None:
    console = plain_console()
    used = [facts for facts in files if facts.documents]
    table = Table()
    table.add_column("source", overflow="fold")
    for heading in ("pages", "words", "tokens", "passages"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("cut or mended")
    for facts in used:
        is_table = facts.documents > 1
        table.add_row(facts.name + (f" ({facts.documents:,} rows)" if is_table else ""), *_sizes(facts))
    everything = total(files)
    if len(used) > 1:
        table.add_section()
        table.add_row(f"{len(used):,} files", *_sizes(everything))
    if used:
        console.print(table)
        console.print("tokens: estimated, words and punctuation x 1.25", style="dim")
    for facts in files:
        for reason in facts.refused[:SHOWN_REASONS]:
            told = reason if reason.startswith(facts.name) else f"{facts.name}: {reason}"
            console.print(f"refused: {told}", soft_wrap=True, markup=False)
        if len(facts.refused) > SHOWN_REASONS:
            left = len(facts.refused) - SHOWN_REASONS
            console.print(f"refused: {left:,} more rows of {facts.name}; --json has them all", markup=False)


def _sizes(facts: FileFacts) -> tuple[str, ...]:
    done = {**facts.notes, **{f"{kind} redacted": count for kind, count in facts.redacted.items()}}
    cut = ", ".join(f"{count:,} {rule.replace('_', ' ')}" for rule, count in done.items())
    pages = "–" if facts.pages is None else f"{facts.pages:,}"
    return pages, f"{facts.words:,}", f"{facts.tokens:,}", f"{facts.passages:,}", cut


def texts(documents: Sequence[Document], chunk: ChunkOptions | None) -> list[dict[str, Any]]:
    """Documents as JSON, with their notes; with their passages in place of the text where `chunk` is given."""
    found = []
    for document in documents:
        row = as_row(document)
        if chunk is not None:
            del row["text"]
            row["passages"] = [as_row(passage) for passage in chunk_documents([document], chunk)]
        found.append(row)
    return found


def show_texts(found: Sequence[dict[str, Any]]) -> None:
    """Text goes to standard output as it is, so that it can be searched and piped."""
    for document in found:
        if "text" in document:
            print(document["text"])
        for number, passage in enumerate(document.get("passages", ()), start=1):
            first, last = passage["first_page"], passage["last_page"]
            pages = "" if first is None else f", page {first}" + ("" if first == last else f"–{last}")
            under = f", under “{passage['heading']}”" if passage["heading"] else ""
            size = f"{passage['n_tokens']} tokens, characters {passage['start']}–{passage['end']}"
            print(f"── {document['source_id']}, passage {number}: {size}{pages}{under}\n{passage['text']}\n")
        for note in document["notes"] if "text" in document else ():
            page = f" (page {note['page']})" if note["page"] is not None else ""
            plain_console().print(f"Note: {note['text']}{page}", soft_wrap=True, markup=False, style="dim")
