"""Steps from answers to a report: score, judge, compare, report."""

from __future__ import annotations

import datetime
import json
from itertools import chain

from tunesmith.compare.judged import judge_summary
from tunesmith.compare.stage import compare_under_settings
from tunesmith.evaluation import constant_summaries
from tunesmith.evidence import audit_run
from tunesmith.judging import judgements_of
from tunesmith.models.load import model_folder, weights_sha256
from tunesmith.plan import BASE, TUNED, Plan
from tunesmith.records import (
    Chunk,
    Comparison,
    Document,
    Example,
    GenerationNote,
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
from tunesmith.score.judge import JudgeModel
from tunesmith.score.judging.pairs import build_pairs
from tunesmith.score.stage import open_metrics, score_predictions
from tunesmith.steps.base import SPLITS, Context, Counts, keep
from tunesmith.steps.models import NOTES, predictions_of, predictions_under_settings
from tunesmith.store import (
    file_fingerprint,
    read_rows,
    write_atomically,
    write_json,
)


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
    """A judge in this process by its weights; what answers at an address cannot be told from here."""
    judge = None if context.plan.judge is None else context.plan.judge.judge
    return {"judge": weights_sha256(model_folder(judge.local))} if isinstance(judge, JudgeModel) else {}


def judge_step(context: Context) -> Counts:
    plan, folder = context.plan, context.run.folder
    assert plan.judge is not None, "without a judge this step is left out"
    pairs = build_pairs(predictions_of(context), BASE, TUNED, context.rows("prepare/test.jsonl", Row))
    judgements = judgements_of(pairs, plan.judge, folder / "judge.sqlite")
    counts = keep(context, judgements, {Judgement: "judge/judgements.jsonl"}, "judgements")
    summary = judge_summary(
        context.rows("judge/judgements.jsonl", Judgement),
        contestants={"base model": plan.train.base, "teacher": plan.teacher_name},
    )
    write_json(folder / "judge/summary.json", summary)
    return counts | {name: summary[name] for name in ("wins", "losses", "ties", "unparsed")}


def compare_step(context: Context) -> Counts:
    scores_of: dict[str, list[Score]] = {}
    for score in context.rows("score/scores.jsonl", Score):
        scores_of.setdefault(setting_of(score.system), []).append(score)
    compared = compare_under_settings(scores_of, open_metrics(context.plan.score), context.plan.compare)
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
        data=json.loads((folder / "prepare/data.json").read_text(encoding="utf-8"))["sets"],
        rows=rows,
        refused_rows=context.rows("prepare/refused.jsonl", Refused),
        leaks=json.loads((folder / "prepare/leaks.json").read_text(encoding="utf-8")),
        training={TUNED: log},
        predictions=predictions,
        scores=[one for one in context.rows("score/scores.jsonl", Score) if not setting_of(one.system)],
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
