"""Findings of an audit with the rows that show them, and what could not be looked for: what the page needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.audit import judging, rating, settings
from tunesmith.audit.constraints import violated_constraint
from tunesmith.audit.stage import audit_study
from tunesmith.audit.study import (
    Answer,
    AuditedStudy,
    Finding,
    TrainingRow,
    read_study,
    settings_in,
    study_of_run,
    words_of,
)
from tunesmith.records import Prediction, Row
from tunesmith.report.findings import ROWS_SHOWN, Audit, AuditedFiles, AuditFinding, EvidenceRow
from tunesmith.tables import TableRow
from tunesmith.unseen import unseen_mistakes

Texts = tuple[tuple[str, str], ...]

OF_TRAINING_AND_TEST = ("eval_in_train", "near_duplicate_in_train", "same_group")
OF_TRAINING = ("refusals_in_training", "truncated_targets")
OF_VERDICTS = ("dropped_verdicts", "fixed_order", "label_reveals_condition", "length_bias")
OF_SETTINGS = ("no_effect_parameter", "missing_interval")
EXACT_IN_TRAINING = ("max_length",)
"""Limits of our own plan whose effect training counted to the row, so that nobody has to estimate it."""


def audit(study: AuditedStudy, *, files: Sequence[AuditedFiles] = (), command: str = "") -> Audit:
    """Every finding about a study, each with its first rows and their texts."""
    look_up = _Rows(study)
    findings = tuple(_with_rows(finding, look_up) for finding in audit_study(study))
    found = {finding.code for finding in findings}
    unseen = {code: why for code, why in unseen_mistakes(study) if code not in found}
    return Audit(findings, unseen, tuple(files), command)


def audit_files(
    *,
    predictions: Sequence[Path] = (),
    train: Sequence[Path] = (),
    verdicts: Sequence[Path] = (),
    ratings: Sequence[Path] = (),
    plan: Path | None = None,
    columns: Mapping[str, str] | None = None,
    command: str = "",
) -> Audit:
    """An audit of files made anywhere.

    Raises:
        InputError: a file cannot be read, or there is none.
    """
    study = read_study(
        predictions=predictions, train=train, verdicts=verdicts, ratings=ratings, plan=plan, columns=columns
    )
    systems = ", ".join(study.systems)
    given = (
        (
            "predictions",
            predictions,
            f"{len(study.answers):,} answers to {len(study.items):,} items, by {systems}",
        ),
        ("train", train, f"{len(study.training):,} rows"),
        ("verdicts", verdicts, f"{len(study.verdicts):,} rows"),
        ("ratings", ratings, f"{len(study.ratings):,} rows"),
        ("plan", (plan,) if plan else (), f"{sum(1 for _ in settings_in(study.plan)):,} values"),
    )
    files = [AuditedFiles(role, tuple(map(str, paths)), size) for role, paths, size in given if paths]
    return audit(study, files=files, command=command)


def audit_run(rows: Sequence[Row], predictions: Sequence[Prediction], plan: Mapping[str, Any]) -> Audit:
    """An audit of a run of our own, from its rows, the answers of its systems, and its plan."""
    study = study_of_run(rows, predictions)
    return audit(replace(study, plan=_without(plan, EXACT_IN_TRAINING)))


def as_json(found: Audit) -> dict[str, Any]:
    """What `tunesmith audit --json` prints: `{"findings": [{code, severity, count, n, evidence, effect}]}`."""
    return {
        "findings": [
            {
                "code": one.code,
                "severity": one.severity,
                "count": one.count,
                "n": one.n,
                "evidence": list(one.evidence),
                "effect": one.effect,
            }
            for one in found.findings
        ]
    }


def _without(content: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {
        key: _without(value, keys) if isinstance(value, Mapping) else value
        for key, value in content.items()
        if key not in keys
    }


def _with_rows(finding: Finding, look_up: _Rows) -> AuditFinding:
    rows = []
    if (
        finding.code != "definition_dependent"
    ):  # its evidence is four definitions, and the effect gives their values
        rows = [EvidenceRow(id, look_up(finding.code, id)) for id in finding.evidence[:ROWS_SHOWN]]
    return AuditFinding(
        finding.code,
        finding.severity,
        finding.count,
        finding.n,
        finding.evidence,
        finding.effect,
        tuple(rows),
    )


class _Rows:
    """Finds the texts behind the ids of a finding."""

    def __init__(self, study: AuditedStudy) -> None:
        self._study = study
        self._training = {row.id: row for row in reversed(study.training)}
        judged = [
            row for row in study.verdicts if not row.values.get("control") and not row.values.get("vote")
        ]
        self._verdicts = {row.text("id") or str(number): row for number, row in enumerate(judged, start=1)}
        self._ratings: dict[str, list[TableRow]] = {}
        for number, row in enumerate(study.ratings, start=1):
            self._ratings.setdefault(_first_of(row, rating.ITEM_COLUMNS) or str(number), []).append(row)
        self._places = dict(_places("plan", study.plan))
        self._trained_words: list[tuple[set[str], TrainingRow]] | None = None

    def __call__(self, code: str, id: str) -> Texts:
        if code in OF_TRAINING_AND_TEST:
            return self._training_and_test(code, id)
        if code in OF_TRAINING:
            row = self._training.get(id)
            return (("prompt", row.question or row.prompt), ("training answer", row.target)) if row else ()
        if code in OF_VERDICTS:
            return (*self._verdict(id), *self._rated(id)) if code == "dropped_verdicts" else self._verdict(id)
        if code in OF_SETTINGS and id not in self._study.items:
            place = id if id in self._places else f"plan.{id}"
            return (("in the plan", self._places[place]),) if place in self._places else ()
        return (
            (*self._item(code, id), *self._rated(id)) if code == "different_items" else self._item(code, id)
        )

    def _item(self, code: str, id: str) -> Texts:
        """The question, the reference, and all answers to it."""
        item = self._study.items.get(id)
        if item is None:
            return ()
        texts = [("question", item.question), ("reference", "\n".join(item.prediction.references))]
        for system, answers in self._study.by_system.items():
            own = [answer for answer in answers if answer.prediction.id == id]
            for run, answer in enumerate(own, start=1):
                label = f"{system}, run {run}" if len(own) > 1 else system
                texts.append((label, answer.prediction.text))
                if code == "constraint_violated":
                    texts.append((f"{label} breaks", violated_constraint(answer) or "nothing"))
        if code == "no_effect_parameter":
            used = item.prediction.settings or item.columns
            names = (*settings.SAMPLING, *settings.BEAMS, "do_sample", "num_beams")
            texts.append(("settings", ", ".join(f"{name} {used[name]}" for name in names if name in used)))
        # a question or reference that is not there is no evidence; an answer without text is
        return tuple(part for part in texts if part[1] or part[0] not in ("question", "reference"))

    def _training_and_test(self, code: str, id: str) -> Texts:
        """The evaluation question, and the training row that gives it away."""
        item = self._study.items.get(id)
        if item is None:
            return ()
        trained = self._of_source(item.source) if code == "same_group" else self._nearest(item)
        texts = [("asked in the evaluation", item.question)]
        if trained:
            texts.append(("training row", trained.id))
            texts.append(("asked in training", trained.question or trained.prompt))
            texts.append(("answer in training", trained.target))
        if code == "same_group":
            texts.append(("source of both", item.source or ""))
        return tuple(texts)

    def _of_source(self, source: str | None) -> TrainingRow | None:
        return next((row for row in self._study.training if row.source_id == source), None)

    def _nearest(self, item: Answer) -> TrainingRow | None:
        """The training row that shares most words with what was asked."""
        if self._trained_words is None:
            self._trained_words = [
                (set(words_of(row.question or row.prompt)), row) for row in self._study.training
            ]
        asked = set(words_of(item.question))

        def alike(pair: tuple[set[str], TrainingRow]) -> float:
            return len(asked & pair[0]) / max(1, len(asked | pair[0]))

        return max(self._trained_words, key=alike)[1] if self._trained_words else None

    def _verdict(self, id: str) -> Texts:
        row = self._verdicts.get(id)
        if row is None:
            return ()
        texts = [
            (str(name), value)
            for name, value in row.values.items()
            if isinstance(value, str) and name != "id"
        ]
        named = {name for name, _ in texts}
        if not all(named & set(columns) for columns in judging.TEXT_COLUMNS.values()):
            texts += [part for part in self._item("", id) if part[0] not in named]
        return tuple(texts)

    def _rated(self, id: str) -> Texts:
        """What people gave the item, one column for each row of it."""
        texts: dict[str, str] = {}
        for row in self._ratings.get(id, ()):
            system = _first_of(row, rating.SYSTEM_COLUMNS)
            label = f"rating of {system}" if system else "rating"
            values = [
                f"{name} {row.values[name]}"
                for name in rating.VALUE_COLUMNS
                if row.values.get(name) is not None
            ]
            texts[f"{label}, {len(texts) + 1}" if label in texts else label] = ", ".join(values) or "no value"
        return tuple(texts.items())


def _first_of(row: TableRow, names: Sequence[str]) -> str | None:
    """The first of the columns that holds something."""
    return next((row.text(name) for name in names if row.values.get(name) not in (None, "")), None)


def _places(name: str, content: Any) -> Iterator[tuple[str, str]]:
    """Every part of a plan by its path, in words."""
    if isinstance(content, Mapping):
        yield name, ", ".join(f"{key}: {_short(value)}" for key, value in content.items())
        for key, value in content.items():
            yield from _places(f"{name}.{key}", value)
    elif isinstance(content, list):
        for number, part in enumerate(content):
            yield from _places(f"{name}[{number}]", part)
    else:
        yield name, str(content)


def _short(value: Any) -> str:
    return "…" if isinstance(value, Mapping) else str(value)
