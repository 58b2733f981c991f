"""The files of a study, read leniently, and what a finding is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tunesmith.errors import InputError
from tunesmith.records import Prediction, Row
from tunesmith.score.predictions import iterate_predictions
from tunesmith.tables import TableRow, read_table

Severity = Literal["high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")

QUESTION_COLUMNS = ("instruction", "question")
MATERIAL_COLUMNS = ("input", "context", "passage", "document", "dialogue", "article")
PROMPT_COLUMNS = ("prompt", *QUESTION_COLUMNS, *MATERIAL_COLUMNS, "source")
TARGET_COLUMNS = ("completion", "output", "response", "answer", "target", "summary", "label", "reference")
GROUP_COLUMNS = ("source_id", "group", "doc", "document_id", "product", "page")
BASE_NAMES = ("base", "zero", "original", "pretrained", "untuned", "vanilla")

MOST_LABELS = 20
LONGEST_LABEL = 4
"""Words. Longer references are texts, however few different ones there are."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or may be."""

    code: str
    severity: Severity
    """high: the conclusion cannot be drawn; medium: it is biased or weaker than it looks; low: to be told."""
    count: int
    n: int
    """`count` of `n` that were looked at."""
    evidence: tuple[str, ...]
    """Ids of the rows that show it; names of settings or columns where it is not about rows."""
    effect: str
    """What was found and what it does to the conclusion, in words."""


@dataclass(frozen=True, slots=True)
class TrainingRow:
    id: str
    prompt: str
    """All that the model is given, as far as the row tells."""
    target: str
    source_id: str | None = None
    question: str = ""
    """The bare question or instruction, where the row keeps it apart."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction with the other columns of its row."""

    prediction: Prediction
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def question(self) -> str:
        """What was asked, as bare as the row tells it."""
        return _first(self.columns, QUESTION_COLUMNS) or self.prediction.prompt

    @property
    def prompt(self) -> str:
        """All that the model was given, as far as the row tells it."""
        return self.prediction.prompt or _prompt(self.columns)

    @property
    def source(self) -> str | None:
        """The document or other group, if the row names one."""
        named = _first(self.columns, GROUP_COLUMNS)
        if named is not None:
            return named
        return self.prediction.source_id if self.prediction.source_id != self.prediction.id else None


@dataclass(frozen=True)
class AuditedStudy:
    """What there is to look at. Every part may be missing; what needs it is then not looked at."""

    answers: Sequence[Answer] = ()
    training: Sequence[TrainingRow] = ()
    verdicts: Sequence[TableRow] = ()
    ratings: Sequence[TableRow] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def systems(self) -> list[str]:
        """In the order of first appearance, the base first."""
        names = list(dict.fromkeys(answer.prediction.system for answer in self.answers))
        base = next((n for n in names if any(word in n.casefold() for word in BASE_NAMES)), None)
        return sorted(names, key=lambda name: name != base) if base else names

    @cached_property
    def by_system(self) -> dict[str, list[Answer]]:
        found: dict[str, list[Answer]] = {system: [] for system in self.systems}
        for answer in self.answers:
            found[answer.prediction.system].append(answer)
        return found

    @cached_property
    def texts(self) -> dict[tuple[str, str], str]:
        """(system, item id) to the first answer."""
        return {(a.prediction.system, a.prediction.id): a.prediction.text for a in reversed(self.answers)}

    @cached_property
    def items(self) -> dict[str, Answer]:
        """One answer for each item: for what is about the question and not about the answer."""
        return {answer.prediction.id: answer for answer in reversed(self.answers)}


def read_study(
    *,
    predictions: Sequence[Path] = (),
    train: Sequence[Path] = (),
    verdicts: Sequence[Path] = (),
    ratings: Sequence[Path] = (),
    plan: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> AuditedStudy:
    """A study out of its files.

    Raises:
        InputError: a file cannot be read, or there is nothing to look at.
    """
    study = AuditedStudy(
        answers=[
            Answer(prediction, row.values)
            for path in predictions
            for prediction, row in iterate_predictions(path, columns=columns)
        ],
        training=[
            training_row(row, f"{path.name}:{n}")
            for path in train
            for n, row in enumerate(read_table(path), 1)
        ],
        verdicts=[row for path in verdicts for row in read_table(path)],
        ratings=[row for path in ratings for row in read_table(path)],
        plan=_read_plan(plan) if plan else {},
    )
    if not (study.answers or study.training or study.verdicts or study.ratings or study.plan):
        raise InputError(
            "there is nothing to audit", do="name at least --predictions, --train, --verdicts or --plan"
        )
    return study


def study_of_run(rows: Iterable[Row], predictions: Iterable[Prediction]) -> AuditedStudy:
    """A run of our own, out of its records: the rows of all splits, and the answers to the test rows."""
    prepared = list(rows)
    asked = {row.id: row for row in prepared if row.split == "test"}
    return AuditedStudy(
        answers=[
            Answer(one, {"instruction": asked[one.id].instruction} if one.id in asked else {})
            for one in predictions
        ],
        training=[
            TrainingRow(row.id, row.prompt, row.completion, row.source_id, row.instruction)
            for row in prepared
            if row.split == "train"
        ],
    )


def training_row(row: TableRow, name: str) -> TrainingRow:
    """A training row of any usual layout: prompt and completion, Alpaca, messages, text and label.

    Raises:
        InputError: the row has none of the columns.
    """
    messages = row.values.get("messages") or row.values.get("conversations")
    if isinstance(messages, list):
        said = [(m.get("role") or m.get("from"), m.get("content") or m.get("value") or "") for m in messages]
        prompt = "\n".join(str(text) for who, text in said if who in ("user", "human"))
        target = "\n".join(str(text) for who, text in said if who in ("assistant", "gpt"))
    else:
        prompt = _prompt(row.values)
        target = _first(row.values, TARGET_COLUMNS) or ""
        text = _first(row.values, ("text",)) or ""
        prompt, target = (prompt or text, target) if target else (prompt, text)
    if not prompt and not target:
        raise InputError(
            f"no column looks like a prompt or a target; there are: {', '.join(map(str, row.values))}",
            where=row.where,
            do=f"name them {PROMPT_COLUMNS[0]} and {TARGET_COLUMNS[0]}",
        )
    return TrainingRow(
        _first(row.values, ("id",)) or name,
        prompt,
        target,
        _first(row.values, GROUP_COLUMNS),
        _first(row.values, QUESTION_COLUMNS) or "",
    )


def _prompt(values: Mapping[str, Any]) -> str:
    """The prompt, or the question with the material that belongs to it."""
    whole = _first(values, ("prompt",))
    if whole is not None:
        return whole
    parts = [_first(values, QUESTION_COLUMNS), *(_first(values, (name,)) for name in MATERIAL_COLUMNS)]
    return "\n".join(part for part in parts if part) or _first(values, ("source",)) or ""


def settings_in(content: Any) -> Iterator[tuple[str, Any]]:
    """Every named value of a plan, however deep."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            if isinstance(value, Mapping | list):
                yield from settings_in(value)
            else:
                yield str(key), value
    elif isinstance(content, Iterable) and not isinstance(content, str):
        for part in content:
            yield from settings_in(part)


def labels_of(answers: Sequence[Answer]) -> Counter[str]:
    """How often each label is a reference, where the references are labels: few different ones, and short."""
    found = Counter(
        " ".join(words_of(answer.prediction.references[0]))
        for answer in answers
        if answer.prediction.references
    )
    few = len(found) <= min(MOST_LABELS, found.total() / 5)
    return found if few and all(len(label.split()) <= LONGEST_LABEL for label in found) else Counter()


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def _first(values: Mapping[str, Any], names: Iterable[str]) -> str | None:
    for name in names:
        value = values.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def _read_plan(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except FileNotFoundError:
        raise InputError("there is no such file", where=str(path), do="check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            f"this is not YAML or JSON: {str(error).splitlines()[0]}", where=str(path), do="mend it"
        ) from None
    if not isinstance(content, dict):
        raise InputError("a plan is a set of named settings", where=str(path), do="write name: value")
    return content
