"""What flows from stage to stage.

Every record has an id made from its content and origin (never from its position), and carries `source_id` (the
document or product it came from) to the end, so that splits, leak checks and intervals can respect it. Missing is
`None`, never 0, -1 or NaN.
"""

from __future__ import annotations

import dataclasses
import hashlib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeVar, cast

Kind = Literal[
    "question_answer",
    "summary",
    "instruction",
    "classification",
    "conversation",
    "segmentation",
    "paraphrase",
]
SplitName = Literal["train", "validation", "test"]
Status = Literal["ok", "empty", "truncated", "error"]
Record = TypeVar("Record")


def content_id(*parts: str, length: int = 16) -> str:
    """A stable id: the first `length` hex digits of BLAKE2b over the parts, which are kept apart by their lengths."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:length]


@dataclass(frozen=True, slots=True)
class Note:
    """Something `read` cut, mended or could not use."""

    source_id: str
    """The document it is about: the path as shown to the user when there is no document."""
    rule: str
    """Which rule spoke: `repeated_line`, `references`, `encrypted`, `no_text`, …"""
    text: str
    """What it did, in words a person can check."""
    page: int | None = None
    """Page counted from 1; `None` where the format has no pages."""
    count: int = 1
    """How many times (lines dropped, words joined, …)."""
    is_refusal: bool = False
    """True when the whole file, or the row of a table, gave no document."""


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    """Made from the path relative to the folder the user named, and the text."""
    source_id: str
    """The path relative to the folder the user named: what people recognise. Of a row of a table: what its source
    column says, so that several documents may share it, else the table and the row's id."""
    title: str
    text: str
    """Cleaned text. Paragraphs are separated by a blank line; headings are lines that start with `# `, `## `, …"""
    page_starts: tuple[int, ...] = ()
    """Character offset in `text` at which each page starts; empty where the format has no pages."""
    notes: tuple[Note, ...] = ()
    file: str = ""
    """The table that the document is a row of; empty for a file of its own."""
    origin: str = ""
    """File and line (or row) of such a document, as they were when it was read."""


@dataclass(frozen=True, slots=True)
class Chunk:
    id: str
    source_id: str
    title: str
    """Title of the document."""
    heading: str | None
    """The heading the chunk stands under, if the document has headings."""
    text: str
    """Equal to `document.text[start:end]`."""
    start: int
    end: int
    first_page: int | None
    """Page counted from 1."""
    last_page: int | None
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One cell of a grid: what a teacher is to write about, in place of a passage."""

    id: str
    source_id: str
    """What is held out together with it: levels such as the product, or the cell itself."""
    instruction: str
    """The short prompt that the student learns from."""
    attributes: dict[str, str]
    """Attribute to level; attributes that are absent beside the others are left out."""
    texts: dict[str, str] = field(default_factory=dict)
    """Attribute to what the teacher is told of its level."""
    criteria: tuple[str, ...] = ()
    """What the text has to keep to: what holds for all first, then what belongs to the levels."""
    variant: int = 1
    """Counted from 1, where several texts are wanted for one cell."""
    variants: int = 1
    """How many are wanted."""


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to learn: what is asked, what is to be answered, and where that stands."""

    id: str
    source_id: str
    kind: Kind
    instruction: str
    """The question or instruction, without the passage."""
    target: str
    """The answer."""
    context: str | None = None
    """The passage the answer rests on."""
    chunk_id: str | None = None
    evidence_start: int | None = None
    """Character span of the evidence in the document's text."""
    evidence_end: int | None = None
    first_page: int | None = None
    last_page: int | None = None
    teacher: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    other_targets: tuple[str, ...] = ()
    """Further answers that are right too."""
    earlier: tuple[dict[str, str], ...] = ()
    """Of a conversation: the turns before the instruction as `{role, content}`, a system message first."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An example that a check turned down. Kept, counted, and shown in the report."""

    id: str
    source_id: str
    check: str
    """Name of the check: `near_duplicate`, `grounded`, `format`, …"""
    reason: str
    instruction: str | None = None
    target: str | None = None
    raw: str | None = None
    """What the teacher replied, when it could not be read as an example."""
    chunk_id: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One prepared row: exactly what the model is asked, and what it should answer."""

    id: str
    source_id: str
    prompt: str
    """The user's message, before the chat template is put round it."""
    completion: str
    split: SplitName
    group: str = ""
    """What was kept together when splitting: the source document, or the passage."""
    kind: Kind = "question_answer"
    instruction: str = ""
    """The bare question, for reports."""
    context: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    other_references: tuple[str, ...] = ()
    """Further answers that are right too: a model is scored against `completion` and these."""
    chunk_id: str | None = None
    """The passage it was made from, with the place of that in the document: `read/chunks.jsonl`."""
    evidence_start: int | None = None
    """Character span in the document's text of what the answer rests on."""
    evidence_end: int | None = None
    first_page: int | None = None
    """Pages of the passage, counted from 1."""
    last_page: int | None = None
    earlier: tuple[dict[str, str], ...] = ()
    """Of a conversation: the turns before the last message, `instruction`, as `{role, content}`, a system message
    first. `prompt` tells them as a text, for models that know no turns."""
    rank: int | None = None
    """Place of a training row in the order in which subsets are taken: the first n are a stratified sample of the
    training set, and part of every larger one. `None` in the other splits."""


@dataclass(frozen=True, slots=True)
class Prediction:
    id: str
    """The row's id."""
    source_id: str
    system: str
    prompt: str
    text: str
    """New tokens only, decoded. The prompt is never part of it."""
    references: tuple[str, ...]
    status: Status
    finish_reason: Literal["eos", "length", "error"] | None = None
    n_prompt_tokens: int | None = None
    n_new_tokens: int | None = None
    latency_ms: float | None = None
    """Wall time of the batch divided by its rows."""
    reference_nll: float | None = None
    """Sum of -ln p over the tokens of the first reference and its end token, under this system."""
    reference_tokens: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """Decoding settings, dtype, adapter hash: what would have to be equal for a fair comparison."""
    error: str | None = None
    key: str = ""
    """Content key: equal keys stand for the same weights, template, prompt tokens, decoding, seed and precision."""
    probabilities: dict[str, float] = field(default_factory=dict)
    """Of a classifier: label to its probability, in the order of the labels; empty where there are none."""


SETTING_MARK = "@"


def system_under(system: str, setting: str) -> str:
    """The name of a system under a decoding setting; the main setting has no name and leaves the system's as it is."""
    return f"{system}{SETTING_MARK}{setting}" if setting else system


def setting_of(system: str) -> str:
    """The decoding setting in a name that `system_under` made; empty for the main one."""
    return system.rpartition(SETTING_MARK)[2] if SETTING_MARK in system else ""


@dataclass(frozen=True, slots=True)
class GenerationNote:
    """Something about how a system's answers came about that a reader of them should know."""

    system: str
    rule: Literal["batch_effect", "prefilled_apart"]
    """`batch_effect`: what the batch changes below float32. `prefilled_apart`: the prompts could not be shared."""
    text: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """One metric's statistics for one prediction."""

    id: str
    source_id: str
    system: str
    metric: str
    stats: tuple[float, ...] | None
    """Additive statistics: the metric's `aggregate` turns their sum over items into its value. `None` when the item
    could not be scored; it is then counted, not averaged."""
    value: float | None
    """The metric of this item alone, for box plots and for finding the best and worst."""
    status: str = "ok"
    signature: str = ""
    """Number of references, library, version and options that made the number."""
    floor: tuple[float, ...] | None = None
    """The statistics of the same answer held against another item's references: what knowing nothing is worth. `None`
    where the metric does not compare, or there is no other item."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one system over all items, with its interval."""

    system: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_sources: int
    higher_is_better: bool
    signature: str
    """Library, version and options that made the number."""
    status: dict[str, int] = field(default_factory=dict)
    floor: float | None = None
    """The value when every answer is held against another item's references."""


Verdict = Literal["better", "worse", "equivalent", "no evidence", "too small", "identical", "invalid"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tuned against base on one metric, over the same items."""

    metric: str
    base: str
    tuned: str
    base_value: float | None
    tuned_value: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    n: int
    n_sources: int
    smallest_detectable: float | None
    """The smallest true difference that this test set would have shown with 80 % power at 5 %."""
    n_better: int | None
    n_worse: int | None
    is_primary: bool
    higher_is_better: bool
    verdict: Verdict
    words: str
    """The verdict in one sentence."""
    signature: str
    warnings: tuple[str, ...] = ()
    standard_error: float | None = None
    """Of the difference, over sources; `None` where it could not be measured."""
    margin: float | None = None
    """The smallest difference that matters, if it was named before the run for this metric."""
    p_equivalence: float | None = None
    """p-value of a difference as large as the margin: small means that it is smaller."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules that work took."""

    joules: float
    estimated: bool
    """Whether a part of it was not read from the machine."""
    how: str
    """What was read, and what was assumed, in words."""


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """What training did, for the report and the manifest."""

    adapter: str
    """Folder, relative to the run."""
    steps: int
    epochs: float
    train_loss: tuple[tuple[int, float], ...]
    """(step, mean loss per trained token since the last entry)."""
    validation_loss: tuple[tuple[int, float], ...]
    trained_tokens: int
    total_tokens: int
    """Non-padding tokens that went through the model."""
    seconds: float
    peak_memory_mb: float
    trainable_parameters: int
    total_parameters: int
    n_truncated: int
    dtype: str
    device: str
    first_example: tuple[tuple[str, bool], ...] = ()
    """The first rendered row as (text, is trained) pieces, so that a person can see what is learnt."""
    best_step: int | None = None
    resumed_from_step: int | None = None
    refused: tuple[Refused, ...] = ()
    """Rows that were not trained on (or validated on), each with its reason."""
    notes: tuple[str, ...] = ()
    """What training had to do otherwise than asked, such as halving the batch when memory ran out."""
    validation_metrics: dict[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    """Name to (step, value) of what the task measures on the validation rows beside the loss."""
    best_by: str = "loss"
    """What the best step was chosen by."""
    processes: int = 1
    rows_per_step: int | None = None
    """Rows of a full step, over all processes and batches."""
    energy: Energy | None = None
    operations: float | None = None
    """Floating-point operations, forward and backward, by the count in `train.arithmetic`; without validation."""
    matrix_speed: float | None = None
    """Operations a second of a matrix product in the run's precision, measured after it, over all processes."""

    @property
    def tokens_per_second(self) -> float | None:
        return self.total_tokens / self.seconds if self.seconds > 0 else None

    @property
    def share_of_matrix_speed(self) -> float | None:
        """How much of the machine's measured speed the run turned into useful work; between 0 and 1."""
        if not self.operations or not self.matrix_speed or self.seconds <= 0:
            return None
        return self.operations / self.seconds / self.matrix_speed


@cache
def _field_types(record_type: type) -> dict[str, Any]:
    return typing.get_type_hints(record_type)


def as_row(record: Any) -> dict[str, Any]:
    """A record as plain JSON types (tuples become lists on writing)."""
    return dataclasses.asdict(record)


def from_row(record_type: type[Record], row: Mapping[str, Any]) -> Record:
    """The record that `as_row` was given. Raises `TypeError` on unknown or missing fields."""
    hints = _field_types(cast(type, record_type))
    unknown = row.keys() - hints.keys()
    if unknown:
        raise TypeError(f"{record_type.__name__} has no field {', '.join(sorted(unknown))}")
    return record_type(**{name: _restore(hints[name], value) for name, value in row.items()})


def _restore(hint: Any, value: Any) -> Any:
    """JSON has no tuples and no nested records: put them back where the field's type asks for them."""
    if value is None:
        return None
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return _restore(inner[0], value) if len(inner) == 1 else value
    if origin is tuple:
        items = arguments[:1] * len(value) if len(arguments) == 2 and arguments[1] is Ellipsis else arguments
        return tuple(_restore(item, part) for item, part in zip(items, value, strict=True))
    if origin is dict and len(arguments) == 2 and typing.get_origin(arguments[1]) is tuple:
        return {name: _restore(arguments[1], part) for name, part in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_row(hint, value)
    return value


JudgedAs = Literal["win", "loss", "tie", "unparsed"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge said once about one pair of answers, seen from the tuned system's side."""

    id: str
    """The item's id."""
    source_id: str
    base: str
    tuned: str
    """Names of the systems. The judge never sees them."""
    order: Literal["base first", "tuned first"] | None
    """Which answer the judge saw first; `None` when it was not shown an order: a judge that has none, or an item that
    was settled without asking."""
    verdict: JudgedAs
    """`unparsed` is every reply that gave no verdict, and an item of which one answer could not be had."""
    status: str
    """`ok`; why there is no verdict (`off menu`, `cut off`, `echo`, `no reply`, `failed answer`); or why nobody was
    asked (`duplicate answers`, `empty answer`)."""
    raw: str
    """The judge's whole reply."""
    reason: str
    judge: str
    prompt_hash: str
    """Names the words that the judge was asked with; empty when it was not asked in words."""
    base_length: int
    tuned_length: int
    """Characters of the stripped answers."""
    vote: int = 0
    """0 for the first judgement; 1, 2, … when a flipped item was asked again."""
    control: str = ""
    """Empty for the judge proper; otherwise the control that this belongs to: `self`, `corrupted`, `longest`,
    `random`."""
    attributes: dict[str, str] = field(default_factory=dict)
    preference: float | None = None
    """How likely the judge was to prefer the tuned system's answer, a tie as half, 0 to 1; `None` where it did not
    tell."""


@dataclass(frozen=True, slots=True)
class Grade:
    """What a judge gave one answer on one criterion, without seeing any other answer."""

    id: str
    source_id: str
    system: str
    mode: Literal["correctness", "rubric"]
    """`correctness`: how the answer stands to the reference; `rubric`: how it meets a criterion."""
    criterion: str
    value: float | None
    """0 to 1; `None` when there is no grade, and `status` says why."""
    status: str
    raw: str
    reason: str
    judge: str
    prompt_hash: str
    length: int
    """Characters of the stripped answer."""
    attributes: dict[str, str] = field(default_factory=dict)
