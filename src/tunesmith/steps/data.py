"""Steps from documents to rows: read, synthesize, prepare."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunesmith.errors import InputError
from tunesmith.models.load import check_before_the_run, model_folder, weights_sha256
from tunesmith.plan import Plan
from tunesmith.read.redact import RULE as REDACTED
from tunesmith.read.stage import (
    ScenarioOptions,
    chunk_documents,
    coverage,
    files_to_read,
    plan_scenarios,
    read_documents,
)
from tunesmith.records import (
    Chunk,
    Document,
    Example,
    Note,
    Refused,
    Scenario,
    as_row,
)
from tunesmith.steps.base import SHOWN_REFUSALS, Context, Counts, Told, duration, keep
from tunesmith.store import (
    file_fingerprint,
    read_rows,
    write_json,
)
from tunesmith.synthesize.endpoint import ModelTeacher
from tunesmith.synthesize.kinds import Source
from tunesmith.synthesize.order import in_even_order
from tunesmith.synthesize.stage import (
    SynthesizeOptions,
    Teacher,
    open_judge,
    open_teacher,
    synthesize_examples,
)


def documents_outside(context: Context) -> dict[str, str]:
    assert context.plan.read is not None, "without documents this step is left out"
    files = files_to_read(context.plan.read, context.root)
    return {f"document {file.source_id}": file_fingerprint(file.path) for file in files}


def read_step(context: Context) -> Counts:
    assert context.plan.read is not None, "without documents this step is left out"
    if context.plan.read.scenarios is not None:
        return _plan_scenarios(context, context.plan.read.scenarios)
    keep(context, [], {Scenario: "read/scenarios.jsonl"}, "scenarios")
    counts = keep(
        context,
        _documents_with_notes(context),
        {Document: "read/documents.jsonl", Note: "read/notes.jsonl"},
        "documents",
    )
    notes = context.rows("read/notes.jsonl", Note)
    if not counts["documents"]:
        raise _nothing_read(notes)
    if context.plan.read.redact:
        counts["redacted"] = sum(note.count for note in notes if note.rule.startswith(REDACTED))
    documents = read_rows(context.run.folder / "read/documents.jsonl", Document)
    chunks = chunk_documents(documents, context.plan.read.chunk)
    return counts | keep(context, chunks, {Chunk: "read/chunks.jsonl"}, "passages")


def _plan_scenarios(context: Context, options: ScenarioOptions) -> Counts:
    planned = plan_scenarios(options)
    places = {Document: "documents", Note: "notes", Chunk: "chunks"}
    for record_type, name in places.items():
        keep(context, [], {record_type: f"read/{name}.jsonl"}, name)
    counts = keep(context, planned.scenarios, {Scenario: "read/scenarios.jsonl"}, "scenarios")
    counts |= {"pairs_of_levels": planned.n_pairs, "pairs_planned": planned.n_pairs_planned}
    return counts if planned.n_allowed is None else counts | {"allowed_combinations": planned.n_allowed}


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
    assert context.plan.read is not None, "without documents this step is left out"
    for record in read_documents(context.plan.read, context.root):
        yield record
        if isinstance(record, Document):
            yield from record.notes


def teacher_outside(context: Context) -> dict[str, str]:
    options = context.plan.synthesize
    assert options is not None, "without documents this step is left out"
    files = {f"file {path}": file_fingerprint(path) for path in options.files(context.root)}
    if options.local is None:
        return files
    return files | {"teacher model": weights_sha256(model_folder(options.local.local))}


def check_teacher(plan: Plan) -> None:
    """Raises `MissingError` now for a model in this process that is not there."""
    if plan.synthesize is not None and plan.synthesize.local is not None:
        check_before_the_run(plan.synthesize.local.local)


def _teacher_progress(
    teacher: Teacher | ModelTeacher, sources: Sequence[Source], options: SynthesizeOptions
) -> str | Told:
    """What is shown of a model teacher: requests done, examples a second, money, time left."""
    if not isinstance(teacher, ModelTeacher):
        return "examples"
    total = teacher.n_items(sources, options)
    most = teacher.n_at_most(sources, options) if total is None else total
    started = time.monotonic()

    def told(counts: Mapping[str, int]) -> tuple[int, int | None, str]:
        seconds = max(time.monotonic() - started, 0.001)
        made, done = counts["examples"], teacher.n_replied
        parts = [f"requests, {made:,} examples, {made / seconds:.1f} a second"]
        if teacher.outlay is not None and teacher.outlay.money is not None:
            parts.append(f"{teacher.outlay.money:.2f} spent")
        if done:
            left = duration(max(0, most - done) * seconds / done)
            parts.append(f"at most {left} left" if total is None else f"about {left} left")
        return done, total, ", ".join(parts)

    return told


_RULES_MADE_NOTHING = (
    "the built-in teacher reads plain English prose only: name a model with synthesize.teacher, or look into"
    " read/chunks.jsonl and synthesize/refused.jsonl for what it was given and why it was refused"
)
_MODEL_MADE_NOTHING = (
    "look into synthesize/refused.jsonl for what it replied and why that was refused; tunesmith synthesize PLAN"
    " --limit 3 --trace shows a few prompts with their replies"
)


def synthesize_step(context: Context) -> Counts:
    options = context.plan.synthesize
    assert options is not None, "without documents this step is left out"
    scenarios = context.rows("read/scenarios.jsonl", Scenario)
    chunks = context.rows("read/chunks.jsonl", Chunk)
    journal = context.run.folder / "journal.sqlite"
    teacher = open_teacher(options, journal, context.root)
    # Rules read a document from its beginning; a model may be stopped by its budget. Scenarios come in an even order.
    sources: list[Source] = [
        *(in_even_order(chunks) if isinstance(teacher, ModelTeacher) else chunks),
        *scenarios,
    ]
    judge = open_judge(options, journal, context.root)
    examples = synthesize_examples(sources, teacher, options, judge=judge)
    counts = keep(
        context,
        examples,
        {Example: "synthesize/examples.jsonl", Refused: "synthesize/refused.jsonl"},
        _teacher_progress(teacher, sources, options),
    )
    if isinstance(teacher, ModelTeacher) and teacher.n_unanswered:
        counts["unanswered"] = teacher.n_unanswered
    if not counts["examples"]:
        raise InputError(
            f"the teacher ({teacher.name}) got no example out of {len(sources)}"
            f" {'scenarios' if scenarios else 'passages'}; {counts['refused']} were refused",
            where="synthesize",
            do=_MODEL_MADE_NOTHING if isinstance(teacher, ModelTeacher) else _RULES_MADE_NOTHING,
        )
    write_json(context.run.folder / "synthesize/coverage.json", _coverage(context, scenarios))
    return counts


def _coverage(context: Context, scenarios: list[Scenario]) -> list[dict[str, Any]]:
    kept = {example.chunk_id or "" for example in context.rows("synthesize/examples.jsonl", Example)}
    refused = {one.chunk_id or "" for one in context.rows("synthesize/refused.jsonl", Refused) if one.target}
    return [as_row(line) for line in coverage(scenarios, kept | refused, kept)]
