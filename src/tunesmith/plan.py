"""The whole plan as one checked object: each stage's options under the stage's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tunesmith import config, plugins
from tunesmith.compare.stage import CompareOptions
from tunesmith.generate.stage import GenerateOptions
from tunesmith.options import Options
from tunesmith.prepare.stage import PrepareOptions
from tunesmith.read.stage import ReadOptions
from tunesmith.report.stage import ReportOptions
from tunesmith.score.judge import JudgeOptions
from tunesmith.score.judging.pointwise import grade_name, is_grade
from tunesmith.score.metric import METRICS
from tunesmith.score.stage import ScoreOptions
from tunesmith.synthesize.stage import SynthesizeOptions
from tunesmith.train.stage import TrainOptions

BASE, TUNED = "base", "tuned"


class Plan(Options):
    """Everything a run does. What is left out has the default that `tunesmith init` shows."""

    name: str = Field("study", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run folder")
    task: Literal["causal"] = Field("causal", description="the kind of model that is tuned")
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


def load_plan(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """The checked plan of a YAML file. Raises `InputError` or `PlanError`, the latter with every mistake at once."""
    return config.load_plan(path, overrides, Plan)
