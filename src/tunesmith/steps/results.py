"""Steps from answers to a report: score, judge, compare, report."""

from __future__ import annotations

import datetime
import json
from itertools import chain
from pathlib import Path

from tunesmith.compare.stage import compare_under_settings
from tunesmith.errors import InputError
from tunesmith.evaluation import constant_summaries
from tunesmith.evidence import audit_run
from tunesmith.generate.classify import BASELINES
from tunesmith.judging.files import summed_up
from tunesmith.judging.server import OPTION
from tunesmith.judging.work import Material, judged
from tunesmith.models.load import check_before_the_run, model_folder, weights_sha256
from tunesmith.plan import BASE, TUNED, Plan
from tunesmith.records import (
    Chunk,
    Comparison,
    Document,
    Example,
    GenerationNote,
    Grade,
    Judgement,
    Note,
    Refused,
    Row,
    Score,
    Summary,
    TrainingLog,
    as_row,
    from_row,
    setting_of,
)
from tunesmith.report.study import Study, count_sources
from tunesmith.score.judging.pairs import build_pairs
from tunesmith.score.judging.pointwise import grade_metrics, grade_scores
from tunesmith.score.stage import open_metrics, score_predictions
from tunesmith.steps.base import SPLITS, Context, Counts, keep
from tunesmith.steps.models import NOTES, predictions_of, predictions_under_settings
from tunesmith.store import (
    file_fingerprint,
    read_rows,
    write_atomically,
    write_json,
)
from tunesmith.synthesize.engine import read_key


def score_step(context: Context) -> Counts:
    metrics = open_metrics(context.plan.score)
    scores = score_predictions(predictions_of(context), metrics)
    others = predictions_under_settings(context)
    # What does not look at the answers is the same under every decoding setting.
    of_answers = [metric for metric in metrics if metric.uses_text]
    if others and of_answers:
        scores = chain(scores, score_predictions(others, of_answers))
    return keep(context, scores, {Score: "score/scores.jsonl"}, "scores")


def judge_outside(context: Context) -> dict[str, str]:
    """A judge in this process by its weights; what answers at an address cannot be told from here. People's file."""
    judge = context.plan.judge
    if judge is None:
        return {}
    model = judge.local_model
    found = {} if model is None else {"judge": weights_sha256(model_folder(model.local))}
    if judge.people is not None:
        found["people"] = file_fingerprint(_people(judge.people, context.root))
    return found


def check_judge(plan: Plan, root: Path) -> None:
    """Raises now what would stop the judge after everything else was done: no key, no model, no file of people's."""
    if plan.judge is None:
        return
    if plan.judge.endpoint is not None:
        read_key(plan.judge.endpoint.api_key_env, OPTION)
    if plan.judge.local_model is not None:
        check_before_the_run(plan.judge.local_model.local)
    if plan.judge.people is not None:
        _people(plan.judge.people, root)


def _people(name: str, root: Path) -> Path:
    """The plan's file of people's ratings. Raises `InputError` when it is not there."""
    place = root / name
    if not place.is_file():
        raise InputError("there is no such file", where=str(place), do="mend judge.people")
    return place


def judge_material(context: Context) -> Material:
    """What the plan's judge is shown. Raises `InputError` when the two systems' answers do not match."""
    options, predictions = context.plan.judge, predictions_of(context)
    assert options is not None, "without a judge this step is left out"
    rows = context.rows("prepare/test.jsonl", Row)
    return Material(
        pairs=build_pairs(predictions, BASE, TUNED, rows) if options.is_pairwise else (),
        predictions=predictions if options.graded_modes else (),
        rows=rows,
    )


def judge_step(context: Context) -> Counts:
    plan, folder = context.plan, context.run.folder
    assert plan.judge is not None, "without a judge this step is left out"
    records = judged(judge_material(context), plan.judge, folder / "judge.sqlite")
    kept = {Judgement: "judge/judgements.jsonl", Grade: "judge/grades.jsonl"}
    counts = keep(context, records, kept, "judgements")
    judgements = context.rows(kept[Judgement], Judgement)
    grades = context.rows(kept[Grade], Grade)
    summary = summed_up(
        [*judgements, *grades],
        people=None if plan.judge.people is None else _people(plan.judge.people, context.root),
        contestants={"base model": plan.train.base, "teacher": plan.teacher_name},
        compared=False,
    )
    keep(context, grade_scores(grades), {Score: "judge/scores.jsonl"}, "scores")
    write_json(folder / "judge/summary.json", summary)
    if not plan.judge.is_pairwise:
        return counts
    return counts | {name: summary[name] for name in ("wins", "losses", "ties", "unparsed")}


def grades_outside(context: Context) -> dict[str, str]:
    """The judge's grades, where the plan has any."""
    name = "judge/scores.jsonl"
    if not context.plan.graded_metrics:
        return {}
    return {name: file_fingerprint(context.run.folder / name)}


def all_scores(context: Context) -> list[Score]:
    """Those of the metrics, then the judge's grades where the plan has any."""
    scores = context.rows("score/scores.jsonl", Score)
    return scores + (context.rows("judge/scores.jsonl", Score) if context.plan.graded_metrics else [])


def compare_step(context: Context) -> Counts:
    plan = context.plan
    graded = () if plan.judge is None else plan.judge.graded_criteria
    metrics = [*open_metrics(plan.score), *grade_metrics(graded)]
    scores_of: dict[str, list[Score]] = {}
    for score in all_scores(context):
        scores_of.setdefault(setting_of(score.system), []).append(score)
    baselines = BASELINES if plan.task == "classify" else ()
    compared = compare_under_settings(scores_of, metrics, plan.compare, baselines=baselines)
    return keep(
        context,
        compared,
        {Summary: "compare/summaries.jsonl", Comparison: "compare/comparisons.jsonl"},
        "comparisons",
    )


def summary_outside(context: Context) -> dict[str, str]:
    """Of the judge, where the plan has one."""
    name = "judge/summary.json"
    return {} if context.plan.judge is None else {name: file_fingerprint(context.run.folder / name)}


def report_step(context: Context) -> Counts:
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
    names = [name for name in Plan.model_fields if getattr(plan, name) is not None]
    states = {name: state for name in names if (state := context.run.state(name))}
    rows = [row for split in SPLITS for row in context.rows(f"prepare/{split}.jsonl", Row)]
    predictions = predictions_of(context)
    settings = plan.model_dump(mode="json")
    prepared = json.loads((folder / "prepare/data.json").read_text(encoding="utf-8"))
    summaries = context.rows("compare/summaries.jsonl", Summary)
    comparisons = context.rows("compare/comparisons.jsonl", Comparison)
    return Study(
        name=plan.name,
        created=plan.report.date or datetime.date.today().isoformat(),
        command=context.command,
        context=plan.prepare.context if plan.read else "given",
        teacher=plan.teacher_name if plan.synthesize else "",
        base=plan.train.base,
        plan=settings,
        manifest={name: as_row(state) for name, state in states.items()},
        sources=count_sources(documents, read_rows(folder / "read/chunks.jsonl", Chunk)),
        notes=context.rows("read/notes.jsonl", Note),
        examples=context.rows("synthesize/examples.jsonl", Example),
        refused=context.rows("synthesize/refused.jsonl", Refused),
        coverage=json.loads((folder / "synthesize/coverage.json").read_text(encoding="utf-8"))
        if plan.synthesize
        else (),
        data=prepared["sets"],
        lengths=prepared["lengths"],
        window=prepared["window"],
        rows=rows,
        refused_rows=context.rows("prepare/refused.jsonl", Refused),
        leaks=json.loads((folder / "prepare/leaks.json").read_text(encoding="utf-8")),
        training={TUNED: log},
        predictions=predictions,
        scores=[one for one in all_scores(context) if not setting_of(one.system)],
        summaries=[one for one in summaries if not setting_of(one.system)],
        comparisons=[one for one in comparisons if not setting_of(one.tuned)],
        setting_summaries=[one for one in summaries if setting_of(one.system)],
        setting_comparisons=[one for one in comparisons if setting_of(one.tuned)],
        generation_notes=context.rows(NOTES, GenerationNote),
        baselines=constant_summaries(predictions, plan.score, plan.compare),
        judge=None
        if plan.judge is None
        else json.loads((folder / "judge/summary.json").read_text(encoding="utf-8")),
        audit=audit_run(rows, predictions, settings),
    )
