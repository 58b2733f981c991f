"""How each stage is fed and kept: the table that joins pure stages to the files of a run folder.

    read -> synthesize -> prepare -> train -> generate -> score (-> judge) -> compare -> report

Every step reads rows that earlier steps wrote, calls one public function of its stage, and writes what comes out as it
comes. Nothing else in tunesmith touches these files.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tunesmith.compare.judged import judge_summary
from tunesmith.compare.stage import compare_systems
from tunesmith.errors import InputError
from tunesmith.evidence import audit_run
from tunesmith.generate.stage import generate_predictions
from tunesmith.judging import judgements_of
from tunesmith.models.load import model_folder, weights_sha256
from tunesmith.plan import BASE, TUNED, Plan
from tunesmith.prepare.leaks import find_leaks
from tunesmith.prepare.stage import prepare_rows
from tunesmith.read.files import find_files
from tunesmith.read.stage import chunk_documents, read_documents
from tunesmith.records import (
    Chunk,
    Comparison,
    Document,
    Example,
    Judgement,
    Note,
    Prediction,
    Refused,
    Row,
    Score,
    SplitName,
    Summary,
    TrainingLog,
    as_row,
    from_row,
)
from tunesmith.report.study import Study, count_sources
from tunesmith.score.judge import JudgeModel
from tunesmith.score.judging.pairs import build_pairs
from tunesmith.score.stage import open_metrics, score_predictions
from tunesmith.store import (
    RowWriter,
    Run,
    file_fingerprint,
    read_json_lines,
    read_rows,
    told_when_full,
    write_atomically,
    write_json,
)
from tunesmith.synthesize.stage import open_teacher, synthesize_examples
from tunesmith.train.stage import train_adapter

Record = TypeVar("Record")
Progress = Callable[[int, int | None, str], None]
Counts = dict[str, int]

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
SYSTEMS = (BASE, TUNED)
SHOWN_REFUSALS = 3


def _quiet(done: int, total: int | None, what: str) -> None:
    pass


@dataclass(frozen=True)
class Context:
    """What a step may look at."""

    plan: Plan
    root: Path
    """Relative paths of the plan are relative to this folder."""
    run: Run
    progress: Progress = _quiet
    command: str = ""

    def rows(self, name: str, record_type: type[Record]) -> list[Record]:
        return list(read_rows(self.run.folder / name, record_type))


@dataclass(frozen=True)
class Step:
    name: str
    reads: tuple[str, ...]
    """Files of the run, relative to its folder, whose content the result depends on."""
    writes: tuple[str, ...]
    """Files that are there when the step is done."""
    code: tuple[str, ...]
    """Folders and files of the package whose code the result depends on."""
    run: Callable[[Context], Counts]
    outside: Callable[[Context], dict[str, str]] = lambda context: {}
    """Name and content hash of what the step reads from outside the run: documents, a base model, a prompt file."""

    def options(self, plan: Plan) -> dict[str, Any]:
        options: dict[str, Any] = getattr(plan, self.name).model_dump(mode="json")
        return options


def _keep(context: Context, records: Iterable[Any], places: dict[type, str], what: str) -> Counts:
    """Write each record, as it comes, to the file for its type; count them by file name."""
    folder = context.run.folder
    counts: Counter[str] = Counter()
    for name in places.values():
        with told_when_full(folder / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")
    writers = {record_type: RowWriter(folder / name) for record_type, name in places.items()}
    try:
        for number, record in enumerate(records, start=1):
            writers[type(record)].write(record)
            counts[Path(places[type(record)]).stem] += 1
            context.progress(number, None, what)
    finally:
        for writer in writers.values():
            writer.close()
    return {Path(name).stem: counts[Path(name).stem] for name in places.values()}


def _documents_outside(context: Context) -> dict[str, str]:
    files = find_files(context.plan.read.documents, context.root)
    return {f"document {file.source_id}": file_fingerprint(file.path) for file in files}


def _read(context: Context) -> Counts:
    counts = _keep(
        context,
        _documents_with_notes(context),
        {Document: "read/documents.jsonl", Note: "read/notes.jsonl"},
        "documents",
    )
    if not counts["documents"]:
        raise _nothing_read(context.rows("read/notes.jsonl", Note))
    documents = read_rows(context.run.folder / "read/documents.jsonl", Document)
    chunks = chunk_documents(documents, context.plan.read.chunk)
    return counts | _keep(context, chunks, {Chunk: "read/chunks.jsonl"}, "passages")


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


def _teacher_outside(context: Context) -> dict[str, str]:
    return {f"file {path}": file_fingerprint(path) for path in context.plan.synthesize.files(context.root)}


def _synthesize(context: Context) -> Counts:
    options = context.plan.synthesize
    chunks = context.rows("read/chunks.jsonl", Chunk)
    teacher = open_teacher(options, context.run.folder / "journal.sqlite", context.root)
    examples = synthesize_examples(chunks, teacher, options)
    counts = _keep(
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


def _prepare(context: Context) -> Counts:
    examples = read_rows(context.run.folder / "synthesize/examples.jsonl", Example)
    prepared = list(prepare_rows(examples, context.plan.prepare))
    counts: Counts = {}
    for split in SPLITS:
        rows = [row for row in prepared if isinstance(row, Row) and row.split == split]
        counts |= _keep(context, rows, {Row: f"prepare/{split}.jsonl"}, "rows")
    refused = [row for row in prepared if isinstance(row, Refused)]
    counts |= _keep(context, refused, {Refused: "prepare/refused.jsonl"}, "rows")
    leaks = find_leaks([row for row in prepared if isinstance(row, Row)])
    write_json(context.run.folder / "prepare/leaks.json", [as_row(leak) for leak in leaks])
    return counts | {"leaks": len(leaks)}


def _base_outside(context: Context) -> dict[str, str]:
    """The base model by its weights, so that a folder whose weights were replaced is another model."""
    return {"base model": weights_sha256(model_folder(context.plan.train.base))}


def _systems_outside(context: Context) -> dict[str, str]:
    """The base, and what was trained: an adapter or, with `method: full`, a whole model."""
    folder = context.run.folder / "train" / TUNED
    files = [*sorted(folder.glob("*.safetensors")), *sorted(folder.glob("*config.json"))]
    trained = {f"train/{TUNED}/{path.name}": file_fingerprint(path) for path in files}
    return _base_outside(context) | trained


def _train(context: Context) -> Counts:
    log = train_adapter(
        context.rows("prepare/train.jsonl", Row),
        context.rows("prepare/validation.jsonl", Row),
        context.run.folder / "train" / TUNED,
        context.plan.train,
        progress=context.progress,
    )
    write_json(context.run.folder / "train/log.json", as_row(log))
    return {"steps": log.steps, "trained_tokens": log.trained_tokens}


def _generate(context: Context) -> Counts:
    folder = context.run.folder / "generate"
    places = {system: folder / f"{system}.jsonl" for system in SYSTEMS}
    adapters = {BASE: None, TUNED: context.run.folder / "train" / TUNED}
    done = {(system, str(row["id"])) for system, place in places.items() for row in read_json_lines(place)}
    predictions = generate_predictions(
        context.rows("prepare/test.jsonl", Row),
        context.plan.train.base,
        {system: adapters[system] for system in context.plan.generate.systems},
        context.plan.generate,
        done=done,
        progress=context.progress,
    )
    writers = {system: RowWriter(place) for system, place in places.items()}
    try:
        for prediction in predictions:
            writers[prediction.system].write(prediction)
    finally:
        for writer in writers.values():
            writer.close()
    return {system: sum(1 for _ in read_json_lines(place)) for system, place in places.items()}


def _predictions(context: Context) -> list[Prediction]:
    """Both systems' answers in the order of the test set, so that a resumed run gives the same files."""
    order = {row.id: place for place, row in enumerate(context.rows("prepare/test.jsonl", Row))}
    found = [found for system in SYSTEMS for found in context.rows(f"generate/{system}.jsonl", Prediction)]
    return sorted(found, key=lambda prediction: (prediction.system, order[prediction.id]))


def _score(context: Context) -> Counts:
    scores = score_predictions(_predictions(context), open_metrics(context.plan.score))
    return _keep(context, scores, {Score: "score/scores.jsonl"}, "scores")


def _judge_outside(context: Context) -> dict[str, str]:
    """A judge in this process by its weights; what answers at an address cannot be told from here."""
    judge = None if context.plan.judge is None else context.plan.judge.judge
    return {"judge": weights_sha256(model_folder(judge.local))} if isinstance(judge, JudgeModel) else {}


def _judge(context: Context) -> Counts:
    plan, folder = context.plan, context.run.folder
    assert plan.judge is not None, "without a judge this step is left out"
    pairs = build_pairs(_predictions(context), BASE, TUNED, context.rows("prepare/test.jsonl", Row))
    judgements = judgements_of(pairs, plan.judge, folder / "judge.sqlite")
    counts = _keep(context, judgements, {Judgement: "judge/judgements.jsonl"}, "judgements")
    summary = judge_summary(
        context.rows("judge/judgements.jsonl", Judgement),
        contestants={"base model": plan.train.base, "teacher": plan.synthesize.teacher_name},
    )
    write_json(folder / "judge/summary.json", summary)
    return counts | {name: summary[name] for name in ("wins", "losses", "ties", "unparsed")}


def _compare(context: Context) -> Counts:
    scores = context.rows("score/scores.jsonl", Score)
    compared = compare_systems(scores, open_metrics(context.plan.score), context.plan.compare)
    return _keep(
        context,
        compared,
        {Summary: "compare/summaries.jsonl", Comparison: "compare/comparisons.jsonl"},
        "comparisons",
    )


def _summary_outside(context: Context) -> dict[str, str]:
    """Of the judge, where the plan has one."""
    name = "judge/summary.json"
    return {} if context.plan.judge is None else {name: file_fingerprint(context.run.folder / name)}


def _report(context: Context) -> Counts:
    from tunesmith.report.stage import metrics_csv, render_report, summary_markdown

    study = gather_study(context)
    folder = context.run.folder / "report"
    write_atomically(folder / "report.html", render_report(study))
    write_atomically(folder / "report.md", summary_markdown(study))
    write_atomically(folder / "metrics.csv", metrics_csv(study))
    return {"comparisons": len(study.comparisons)}


def gather_study(context: Context) -> Study:
    """Everything the run folder holds, as the report wants it."""
    folder, plan = context.run.folder, context.plan
    log = from_row(TrainingLog, json.loads((folder / "train/log.json").read_text(encoding="utf-8")))
    documents = read_rows(folder / "read/documents.jsonl", Document)
    states = {step.name: state for step in steps_of(plan) if (state := context.run.state(step.name))}
    rows = [row for split in SPLITS for row in context.rows(f"prepare/{split}.jsonl", Row)]
    predictions = _predictions(context)
    settings = plan.model_dump(mode="json")
    return Study(
        name=plan.name,
        created=plan.report.date or datetime.date.today().isoformat(),
        command=context.command,
        context=plan.prepare.context,
        teacher=plan.synthesize.teacher_name,
        base=plan.train.base,
        plan=settings,
        manifest={name: as_row(state) for name, state in states.items()},
        sources=count_sources(documents, read_rows(folder / "read/chunks.jsonl", Chunk)),
        notes=context.rows("read/notes.jsonl", Note),
        examples=context.rows("synthesize/examples.jsonl", Example),
        refused=context.rows("synthesize/refused.jsonl", Refused),
        rows=rows,
        refused_rows=context.rows("prepare/refused.jsonl", Refused),
        leaks=json.loads((folder / "prepare/leaks.json").read_text(encoding="utf-8")),
        training={TUNED: log},
        predictions=predictions,
        scores=context.rows("score/scores.jsonl", Score),
        summaries=context.rows("compare/summaries.jsonl", Summary),
        comparisons=context.rows("compare/comparisons.jsonl", Comparison),
        judge=None
        if plan.judge is None
        else json.loads((folder / "judge/summary.json").read_text(encoding="utf-8")),
        audit=audit_run(rows, predictions, settings),
    )


_READ = ("read/documents.jsonl", "read/notes.jsonl", "read/chunks.jsonl")
_SYNTHESIZED = ("synthesize/examples.jsonl", "synthesize/refused.jsonl")
_PREPARED = (*(f"prepare/{split}.jsonl" for split in SPLITS), "prepare/refused.jsonl", "prepare/leaks.json")
_GENERATED = tuple(f"generate/{system}.jsonl" for system in SYSTEMS)
_COMPARED = ("compare/summaries.jsonl", "compare/comparisons.jsonl")

STEPS: tuple[Step, ...] = (
    Step("read", (), _READ, ("read",), _read, _documents_outside),
    Step("synthesize", ("read/chunks.jsonl",), _SYNTHESIZED, ("synthesize",), _synthesize, _teacher_outside),
    Step("prepare", ("synthesize/examples.jsonl",), _PREPARED, ("prepare",), _prepare),
    Step(
        "train",
        ("prepare/train.jsonl", "prepare/validation.jsonl"),
        (f"train/{TUNED}", "train/log.json"),
        ("train", "tasks", "models/load.py"),
        _train,
        _base_outside,
    ),
    Step(
        "generate",
        ("prepare/test.jsonl",),
        _GENERATED,
        ("generate", "tasks", "models/load.py"),
        _generate,
        _systems_outside,
    ),
    Step("score", ("prepare/test.jsonl", *_GENERATED), ("score/scores.jsonl",), ("score",), _score),
    Step(
        "judge",
        ("prepare/test.jsonl", *_GENERATED),
        ("judge/judgements.jsonl", "judge/summary.json"),
        ("judging.py", "score", "compare", "synthesize/client.py", "synthesize/endpoint.py"),
        _judge,
        _judge_outside,
    ),
    Step("compare", ("score/scores.jsonl",), _COMPARED, ("compare", "score/metric.py"), _compare),
    Step(
        "report",
        (*_READ, *_SYNTHESIZED, *_PREPARED, "train/log.json", *_GENERATED, "score/scores.jsonl", *_COMPARED),
        ("report/report.html", "report/report.md", "report/metrics.csv"),
        ("report", "audit", "evidence.py", "unseen.py"),
        _report,
        _summary_outside,
    ),
)


def steps_of(plan: Plan) -> tuple[Step, ...]:
    """The steps that the plan asks for, in order: all but those whose key it leaves empty."""
    return tuple(step for step in STEPS if getattr(plan, step.name) is not None)
