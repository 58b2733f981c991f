"""How each stage is fed and kept: the table that joins pure stages to the files of a run folder.

    read -> synthesize -> prepare -> train -> generate -> score (-> judge) -> compare -> report

Every step reads rows that earlier steps wrote, calls one public function of its stage, and writes what comes out as it
comes. Nothing else in tunesmith touches these files.
"""

from __future__ import annotations

from dataclasses import replace

from tunesmith.plan import TUNED, Plan
from tunesmith.steps.base import SPLITS, SYSTEMS, Step
from tunesmith.steps.data import (
    documents_outside,
    read_step,
    synthesize_step,
    teacher_outside,
)
from tunesmith.steps.models import (
    NOTES,
    OTHER_SETTINGS,
    answers_file,
    before_outside,
    generate_step,
    systems_outside,
    train_step,
)
from tunesmith.steps.prepared import data_outside, prepare_step, subset_file
from tunesmith.steps.results import (
    compare_step,
    grades_outside,
    judge_outside,
    judge_step,
    report_step,
    score_step,
    summary_outside,
)

_READ = ("read/documents.jsonl", "read/notes.jsonl", "read/chunks.jsonl", "read/scenarios.jsonl")
_SYNTHESIZED = ("synthesize/examples.jsonl", "synthesize/refused.jsonl", "synthesize/coverage.json")
_PREPARED = (
    *(f"prepare/{split}.jsonl" for split in SPLITS),
    "prepare/refused.jsonl",
    "prepare/leaks.json",
    "prepare/data.json",
    "prepare/README.md",
)
_ANSWERS = tuple(answers_file(system) for system in SYSTEMS)
_GENERATED = (*_ANSWERS, OTHER_SETTINGS)
_COMPARED = ("compare/summaries.jsonl", "compare/comparisons.jsonl")

_MODELS = (
    "tasks",
    *(f"models/{name}.py" for name in ("load", "quantised", "vocabulary", "lineage", "classifier")),
)

STEPS: tuple[Step, ...] = (
    Step(
        "read",
        (),
        _READ,
        ("read", "tables.py", "data_sets.py", "sentences.py", "templates.py"),
        read_step,
        documents_outside,
    ),
    Step(
        "synthesize",
        ("read/chunks.jsonl", "read/scenarios.jsonl"),
        _SYNTHESIZED,
        ("synthesize", "duplicates.py", "sentences.py", "templates.py"),
        synthesize_step,
        teacher_outside,
    ),
    Step(
        "prepare",
        ("synthesize/examples.jsonl",),
        _PREPARED,
        ("prepare", "tables.py", "data_sets.py", "duplicates.py", "models/encoder.py"),
        prepare_step,
        data_outside,
    ),
    Step(
        "train",
        ("prepare/train.jsonl", "prepare/validation.jsonl"),
        (f"train/{TUNED}", "train/log.json"),
        ("train", *_MODELS),
        train_step,
        before_outside,
    ),
    Step(
        "generate",
        ("prepare/test.jsonl",),
        (*_GENERATED, NOTES),
        ("generate", *_MODELS),
        generate_step,
        systems_outside,
    ),
    Step(
        "score",
        ("prepare/test.jsonl", *_GENERATED),
        ("score/scores.jsonl",),
        ("score", "models/encoder.py"),
        score_step,
    ),
    Step(
        "judge",
        ("prepare/test.jsonl", *_ANSWERS),
        ("judge/judgements.jsonl", "judge/grades.jsonl", "judge/scores.jsonl", "judge/summary.json"),
        ("judging", "evaluation.py", "score", "compare", "synthesize/client.py", "synthesize/engine.py"),
        judge_step,
        judge_outside,
    ),
    Step(
        "compare",
        ("score/scores.jsonl",),
        _COMPARED,
        ("compare", "score/metric.py"),
        compare_step,
        grades_outside,
    ),
    Step(
        "report",
        (
            *_READ,
            *_SYNTHESIZED,
            *_PREPARED,
            "train/log.json",
            *_GENERATED,
            NOTES,
            "score/scores.jsonl",
            *_COMPARED,
        ),
        ("report/report.html", "report/report.md", "report/metrics.csv"),
        ("report", "audit", "evidence.py", "unseen.py"),
        report_step,
        summary_outside,
    ),
)


def steps_of(plan: Plan) -> tuple[Step, ...]:
    """The steps that the plan asks for, in order: all but those whose key it leaves empty.

    What a step would read from one that is left out is not waited for. What only this plan's options make a step
    write is among what it writes."""
    asked = [_as_planned(step, plan) for step in STEPS if getattr(plan, step.name) is not None]
    names = {step.name for step in asked}
    left_out = {name for step in STEPS if step.name not in names for name in step.writes}
    return tuple(
        replace(step, reads=tuple(name for name in step.reads if name not in left_out)) for step in asked
    )


def _as_planned(step: Step, plan: Plan) -> Step:
    if step.name != "prepare":
        return step
    return replace(step, writes=(*step.writes, *map(subset_file, plan.prepare.subsets)))
