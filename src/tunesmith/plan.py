"""The whole plan as one checked object: each stage's options under the stage's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from tunesmith import config, plugins
from tunesmith.compare.stage import CompareOptions
from tunesmith.generate.stage import GenerateOptions
from tunesmith.models.load import BUILTIN, ComputeOptions
from tunesmith.options import Options
from tunesmith.prepare.stage import PrepareOptions
from tunesmith.read.stage import ReadOptions
from tunesmith.report.stage import ReportOptions
from tunesmith.score.judge import JudgeOptions
from tunesmith.score.judging.pointwise import grade_name, is_grade
from tunesmith.score.labels import LABEL_METRICS
from tunesmith.score.metric import METRICS
from tunesmith.score.stage import ScoreOptions
from tunesmith.synthesize.stage import SynthesizeOptions
from tunesmith.tasks.base import TaskName, base_for
from tunesmith.train.stage import TrainOptions

BASE, TUNED = "base", "tuned"

DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "seq2seq": {
        "train": {"truncate": "prompt_right"},
        "generate": {"truncate": "prompt_right"},
    },
    "classify": {
        "train": {
            "truncate": "prompt_middle",
            "metric_for_best_model": "f1",
            "per_device_train_batch_size": 16,
        },
        "score": {"metrics": ["f1", "accuracy", "precision", "recall", "mcc"]},
    },
}
"""Defaults that are others than those `tunesmith init` shows, by task, stage and key."""


class Plan(Options):
    """Everything a run does. What is left out has the default that `tunesmith init` shows."""

    name: str = Field("study", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run folder")
    task: TaskName = Field(
        "causal",
        description="what is tuned: causal (a language model), seq2seq (T5, BART), classify (labels)",
    )
    read: ReadOptions | None = Field(
        None, description="the documents to start from; left out where prepare.data names finished rows"
    )
    synthesize: SynthesizeOptions | None = Field(
        None, description="who writes the examples; left out where prepare.data names finished rows"
    )
    prepare: PrepareOptions = PrepareOptions()
    train: TrainOptions = TrainOptions()
    generate: GenerateOptions = GenerateOptions()
    score: ScoreOptions = ScoreOptions()
    judge: JudgeOptions | None = Field(
        None, description="who judges the two systems' answers, by the keys below; null: nobody"
    )
    compare: CompareOptions = CompareOptions()
    report: ReportOptions = ReportOptions()

    @model_validator(mode="before")
    @classmethod
    def _task_has_defaults(cls, values: Any) -> Any:
        """The task's own defaults, wherever nothing was said; the model it means by `builtin`."""
        task = values.get("task") if isinstance(values, dict) else None
        if not isinstance(task, str) or task not in DEFAULTS:
            return values
        filled = dict(values)
        for stage, keys in DEFAULTS[task].items():
            given = filled.get(stage) or {}
            filled[stage] = {**keys, **given} if isinstance(given, dict) else given
        if task == "classify":
            filled = _with_labels(filled)
        return filled

    @model_validator(mode="after")
    def _keys_have_an_effect(self) -> Plan:
        problems = [f"train.{problem}" for problem in self.train.idle(self.task)]
        if self.task == "seq2seq" and self.train.base == BUILTIN:
            problems.append(
                "train.base: no model for task: seq2seq comes with tunesmith; name a folder or a hub id, such as"
                " google/flan-t5-small"
            )
        if self.task == "classify":
            problems += _problems_of_classifying(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="before")
    @classmethod
    def _documents_are_synthesized_from(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("read") is not None and values.get("synthesize") is None:
            return {**values, "synthesize": {}}
        return values

    @model_validator(mode="after")
    def _starts_from_one_thing(self) -> Plan:
        if self.read is None and not self.prepare.data:
            raise ValueError(
                "read is required: name your documents with read.documents, or finished rows with prepare.data"
            )
        if self.read is not None and self.prepare.data:
            raise ValueError(
                "give read or prepare.data, not both; rows to mix in with those from documents go to prepare.mix"
            )
        if self.read is None and self.synthesize is not None:
            raise ValueError("synthesize has no effect: prepare.data starts from finished rows")
        if self.read is None and self.prepare.licenses is not None:
            raise ValueError(
                "prepare.licenses is of documents; finished rows say theirs in prepare.data: {license: …}"
            )
        return self

    @model_validator(mode="after")
    def _scenarios_are_written_about(self) -> Plan:
        if self.read is None or self.read.scenarios is None or self.synthesize is None:
            return self
        options = self.synthesize
        idle = sorted(
            name
            for name in ("kinds", "per_chunk", "calls", "segment", "unanswerable", "labels", "turns")
            if getattr(options, name) != type(options).model_fields[name].default
        )
        if idle:
            raise ValueError(
                f"synthesize.{', synthesize.'.join(idle)} has no effect on scenarios: each gives one text,"
                " an instruction with its response (read.scenarios.variants asks for more)"
            )
        if options.teacher == "builtin":
            raise ValueError(
                "the built-in teacher cannot write about scenarios: name a model with synthesize.teacher"
            )
        return self

    @property
    def teacher_name(self) -> str:
        """Who wrote questions and references, for reports."""
        if self.synthesize is not None:
            return self.synthesize.teacher_name
        return ", ".join(source.name for source in self.prepare.data)

    @field_validator("score")
    @classmethod
    def _metrics_exist(cls, score: ScoreOptions) -> ScoreOptions:
        known = plugins.names("metric", METRICS)
        problems = [
            f"metrics: {name!r} is not a metric{config.suggest(name, known)}"
            for name in score.metrics
            if name not in known
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return score

    @field_validator("compare")
    @classmethod
    def _primary_exists(cls, compare: CompareOptions) -> CompareOptions:
        known = plugins.names("metric", METRICS)
        # a judge's grades are metrics too; whether this plan has them is checked with the whole of it
        if compare.primary is not None and not is_grade(compare.primary) and compare.primary not in known:
            raise ValueError(
                f"primary: {compare.primary!r} is not a metric{config.suggest(compare.primary, known)}"
            )
        return compare

    @model_validator(mode="after")
    def _systems_exist(self) -> Plan:
        unknown = sorted(set(self.generate.systems) - {BASE, TUNED})
        if unknown:
            raise ValueError(f"generate.systems: no system {', '.join(unknown)}; there are {BASE}, {TUNED}")
        return self

    @model_validator(mode="after")
    def _judge_compares(self) -> Plan:
        if self.judge is None:
            return self
        if self.judge.is_pairwise and len(set(self.generate.systems)) < 2:
            raise ValueError(
                "judge: mode pairwise needs two systems, generate.systems has"
                f" {', '.join(self.generate.systems)}"
            )
        return self

    @model_validator(mode="after")
    def _primary_is_scored(self) -> Plan:
        primary, graded = self.compare.primary, self.graded_metrics
        if primary is None or primary in (*self.score.metrics, *graded):
            return self
        if is_grade(primary):
            raise ValueError(
                f"compare.primary is {primary}, which this plan's judge does not grade:"
                f" {', '.join(graded) or 'judge.mode has neither correctness nor rubric'}"
            )
        raise ValueError(
            f"compare.primary is {primary}, which score.metrics does not list: {', '.join(self.score.metrics)}"
        )

    @property
    def graded_metrics(self) -> tuple[str, ...]:
        """What the judge's grades are called among the metrics."""
        criteria = () if self.judge is None else self.judge.graded_criteria
        return tuple(grade_name(mode, criterion) for mode, criterion in criteria)


def _with_labels(values: dict[str, Any]) -> dict[str, Any]:
    """A classification: the sentence encoder is its built-in model; labels and the deciding metric are said once."""
    train, score, compare = (values.get(stage) or {} for stage in ("train", "score", "compare"))
    if isinstance(train, dict):
        values["train"] = train = {**train, "base": base_for("classify", train.get("base", BUILTIN))}
    if isinstance(score, dict) and isinstance(train, dict) and train.get("labels"):
        values["score"] = score = {"labels": train["labels"], **score}
    if isinstance(compare, dict) and isinstance(score, dict) and "primary" not in compare:
        metrics = score.get("metrics")
        names = metrics.split(",") if isinstance(metrics, str) else list(metrics or ())
        if names:
            values["compare"] = {**compare, "primary": "f1" if "f1" in names else str(names[0]).strip()}
    return values


def _problems_of_classifying(plan: Plan) -> list[str]:
    """What was asked for and says nothing about labels."""
    allowed = {"systems", "batch_size", *ComputeOptions.model_fields}
    idle = [
        name
        for name, info in GenerateOptions.model_fields.items()
        if name not in allowed and getattr(plan.generate, name) != info.get_default(call_default_factory=True)
    ]
    problems = [f"generate.{name} has no effect with task: classify, which gives labels" for name in idle]
    about_texts = [name for name in plan.score.metrics if name in METRICS and name not in LABEL_METRICS]
    if about_texts:
        problems.append(
            f"score.metrics: {', '.join(about_texts)} says nothing about labels, which task: classify gives; take some"
            f" of {', '.join(LABEL_METRICS)}"
        )
    if plan.judge is not None:
        problems.append("judge compares texts, and task: classify gives labels; leave it out")
    return problems


def load_plan(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """The checked plan of a YAML file. Raises `InputError` or `PlanError`, the latter with every mistake at once."""
    return config.load_plan(path, overrides, Plan)
