"""Findings of an audit with the rows that show them, and what could not be looked for and why: what the page needs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tunesmith.audit import judging, outputs, settings
from tunesmith.audit.constraints import violated_constraint
from tunesmith.audit.stage import audit_study
from tunesmith.audit.study import (
    Answer,
    AuditedStudy,
    Finding,
    TrainingRow,
    read_study,
    words_of,
)
from tunesmith.audit.training import settings_in
from tunesmith.records import Prediction, Row
from tunesmith.report.findings import ROWS_SHOWN, Audit, AuditedFiles, AuditFinding, EvidenceRow
from tunesmith.tables import TableRow

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
    unseen = {code: why for code, why in _unseen(study) if code not in found}
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
        ("ratings", ratings, f"{len(study.ratings):,} rows; no mistake on the list can be seen in ratings"),
        ("plan", (plan,) if plan else (), f"{sum(1 for _ in settings_in(study.plan)):,} values"),
    )
    files = [AuditedFiles(role, tuple(map(str, paths)), size) for role, paths, size in given if paths]
    return audit(study, files=files, command=command)


def audit_run(rows: Sequence[Row], predictions: Sequence[Prediction], plan: Mapping[str, Any]) -> Audit:
    """An audit of a run of our own, from its rows, the answers of its systems, and its plan."""
    asked = {row.id: {"instruction": row.instruction} for row in rows if row.split == "test"}
    return audit(
        AuditedStudy(
            answers=[Answer(one, asked.get(one.id, {})) for one in predictions],
            training=[
                TrainingRow(row.id, row.prompt, row.completion, row.source_id, row.instruction)
                for row in rows
                if row.split == "train"
            ],
            plan=_without(plan, EXACT_IN_TRAINING),
        )
    )


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
        self._verdicts = {row.text("id") or str(n): row for n, row in enumerate(study.verdicts, start=1)}
        self._places = dict(_places("plan", study.plan))
        self._trained_words: list[tuple[set[str], TrainingRow]] | None = None

    def __call__(self, code: str, id: str) -> Texts:
        if code in OF_TRAINING_AND_TEST:
            return self._training_and_test(code, id)
        if code in OF_TRAINING:
            row = self._training.get(id)
            return (("prompt", row.question or row.prompt), ("training answer", row.target)) if row else ()
        if code in OF_VERDICTS:
            return self._verdict(id)
        if code in OF_SETTINGS and id not in self._study.items:
            place = id if id in self._places else f"plan.{id}"
            return (("in the plan", self._places[place]),) if place in self._places else ()
        return self._item(code, id)

    def _item(self, code: str, id: str) -> Texts:
        """The question, the reference, and all answers to it."""
        item = self._study.items.get(id)
        if item is None:
            return ()
        texts = [("question", item.question), ("reference", "\n".join(item.prediction.references))]
        for system, answers in self._study.by_system.items():
            for answer in answers:
                if answer.prediction.id == id:
                    broken = violated_constraint(answer) if code == "constraint_violated" else ""
                    texts.append((f"{system}: {broken}" if broken else system, answer.prediction.text))
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
            texts.append((f"training row {trained.id}", trained.question or trained.prompt))
            texts.append(("its answer", trained.target))
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
        both = [several for several in judging.TEXT_COLUMNS.values() if not named & set(several)]
        if both and id in self._study.items:
            for system, answers in self._study.by_system.items():
                texts += [
                    (system, answer.prediction.text) for answer in answers if answer.prediction.id == id
                ]
        return tuple(texts)


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


def _unseen(study: AuditedStudy) -> Iterator[tuple[str, str]]:
    """Code of each mistake that the study's files cannot show, and why not."""
    for codes, looks in _NEEDS:
        why = next((reason for reason in (look(study) for look in looks) if reason), None)
        if why:
            yield from ((code, why) for code in codes)


Look = Callable[[AuditedStudy], str]


def _predictions(study: AuditedStudy) -> str:
    return "" if study.answers else "no predictions were given"


def _training_rows(study: AuditedStudy) -> str:
    return "" if study.training else "no training rows were given"


def _verdict_rows(study: AuditedStudy) -> str:
    return "" if study.verdicts else "no verdicts were given"


def _prompts(study: AuditedStudy) -> str:
    return "" if any(answer.prompt for answer in study.answers) else "the predictions carry no prompt"


def _sources(study: AuditedStudy) -> str:
    if not any(answer.source for answer in study.answers):
        return "the predictions do not name their source (source_id)"
    return (
        "" if any(row.source_id for row in study.training) else "the training rows do not name their source"
    )


def _two_systems(study: AuditedStudy) -> str:
    return "" if len(study.systems) > 1 else "it takes the answers of two systems"


def _references(study: AuditedStudy) -> str:
    return "" if _reference_lengths(study) else "the predictions come without references"


def _reference_lengths(study: AuditedStudy) -> list[int]:
    """Words of each item's first reference."""
    found = [answer.prediction.references for answer in study.items.values()]
    return [len(references[0].split()) for references in found if references]


def _long_references(study: AuditedStudy) -> str:
    longest = max(_reference_lengths(study), default=0)
    least = outputs.SHORTEST_COPY
    return "" if longest >= least else f"no reference has {least} words or more"


def _references_for_bleu(study: AuditedStudy) -> str:
    least = outputs.SHORTEST_BLEU
    if median(_reference_lengths(study) or [0]) >= least:
        return ""
    return f"half of the references have fewer than {least} words, too few for BLEU"


def _constraints(study: AuditedStudy) -> str:
    stated = any(violated_constraint(answer) is not None for answer in study.answers)
    return "" if stated else "no prompt states a number of sentences or words, or a form, that can be checked"


def _repeats(study: AuditedStudy) -> str:
    runs = Counter((answer.prediction.system, answer.prediction.id) for answer in study.answers)
    return "" if max(runs.values(), default=0) > 1 else "no system answered an item twice"


def _order(study: AuditedStudy) -> str:
    told = sum(_tells_order(row) for row in study.verdicts)
    if told >= judging.FEWEST:
        return ""
    return f"fewer than {judging.FEWEST} verdicts tell which answer the judge saw first"


def _tells_order(row: TableRow) -> bool:
    named = (row.values.get(name) for name in judging.FIRST_COLUMNS)
    if any(isinstance(value, str) and 0 < len(value.strip()) < judging.LONGEST_NAME for value in named):
        return True
    return any(isinstance(row.values.get(name), str) for name in judging.PROMPT_COLUMNS)


def _both_answers(study: AuditedStudy) -> str:
    answered = [{answer.prediction.id for answer in study.by_system[system]} for system in study.systems[:2]]
    known = set.intersection(*answered) if len(answered) == 2 else set()
    told = sum(
        row.text("id") in known
        or all(
            any(isinstance(row.values.get(name), str) for name in names)
            for names in judging.TEXT_COLUMNS.values()
        )
        for row in study.verdicts
    )
    if told >= judging.FEWEST:
        return ""
    return f"fewer than {judging.FEWEST} verdicts come with both answers"


def _decoding(study: AuditedStudy) -> str:
    names = {*settings.SAMPLING, *settings.BEAMS}
    in_answers = any(names & set(answer.prediction.settings or answer.columns) for answer in study.answers)
    in_plan = any(key in names for key, _ in settings_in(study.plan))
    return "" if in_answers or in_plan else "neither plan nor predictions hold settings of the decoding"


def _reported(study: AuditedStudy) -> str:
    if any(
        re.match(settings.RESULT, key) and isinstance(value, int | float)
        for key, value in settings_in(study.plan)
    ):
        return ""
    return "no reported numbers were given (they may stand in the plan)"


_NEEDS: tuple[tuple[tuple[str, ...], tuple[Look, ...]], ...] = (
    (("eval_in_train", "near_duplicate_in_train"), (_predictions, _training_rows, _prompts)),
    (("same_group",), (_predictions, _training_rows, _sources)),
    (("verbatim_reference",), (_predictions, _references, _long_references)),
    (("empty_outputs",), (_predictions,)),
    (("different_items",), (_predictions, _two_systems)),
    (("constraint_violated",), (_predictions, _constraints)),
    (("rerun_differs",), (_predictions, _repeats)),
    (("weak_baseline",), (_predictions, _two_systems, _references)),
    (("definition_dependent",), (_predictions, _references, _references_for_bleu)),
    (("dropped_verdicts", "label_reveals_condition"), (_verdict_rows,)),
    (("fixed_order",), (_verdict_rows, _order)),
    (("length_bias",), (_verdict_rows, _both_answers)),
    (("no_effect_parameter",), (_decoding,)),
    (("missing_interval",), (_reported,)),
    (("refusals_in_training", "truncated_targets"), (_training_rows,)),
)
"""Codes, and what has to be there for them to be looked for; a look gives the reason when it is not."""
