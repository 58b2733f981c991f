"""What an audit found, as the page shows it: plain records, and the mistakes in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["high", "medium", "low"]

ROWS_SHOWN = 5
"""Rows shown with their texts for each finding; of the others the ids are listed."""

SEVERITY_MEANING: dict[Severity, str] = {
    "high": "the conclusion cannot be drawn",
    "medium": "it is biased, or weaker than it looks",
    "low": "to be told with the result",
}

MISTAKES: dict[str, tuple[str, str]] = {
    "eval_in_train": (
        "Evaluation prompts stand in the training data",
        "A question that was trained on shows what the model remembers, not what it can do.",
    ),
    "near_duplicate_in_train": (
        "Evaluation prompts nearly stand in the training data",
        "The training data hold the same question in almost the same words.",
    ),
    "same_group": (
        "Test and training share their sources",
        "Questions about one document are alike: whoever learnt from some of them has an easier time with the others.",
    ),
    "verbatim_reference": (
        "Answers equal to the reference, word for word",
        "With longer texts this is seldom chance: the model has seen them, or columns were mixed up.",
    ),
    "empty_outputs": (
        "Empty answers",
        "Whether they count as nothing, are left out, or are taken for good decides the average.",
    ),
    "failed_items": (
        "Items that failed",
        "An item without an answer is in no average; who leaves many out measures the others.",
    ),
    "different_items": (
        "Systems tested on different items",
        "Two averages over different questions, or against different references, do not compare.",
    ),
    "constraint_violated": (
        "Answers that break what the prompt asks for",
        "The prompt states a number of sentences or words, or a form, and the answer does not keep it.",
    ),
    "rerun_differs": (
        "The same setting twice, other texts",
        "What changes from run to run by itself is noise, and no effect of a setting.",
    ),
    "no_effect_parameter": (
        "Settings that have no effect",
        "A value was set, or varied, that the decoding in use never looks at.",
    ),
    "weak_baseline": (
        "A base that is easily beaten",
        "The base does no better than an answer that knows nothing of the question, so a gain over it shows little.",
    ),
    "definition_dependent": (
        "A result that hangs on the definition of BLEU",
        "Several programs print a BLEU; they do not count the same.",
    ),
    "dropped_verdicts": (
        "Verdicts that fall out of the count",
        "A verdict in quotes or with a typing error is lost where labels are compared as they stand.",
    ),
    "fixed_order": (
        "The judge saw one system first, always",
        "Judges favour a place: the preference for a place cannot be told from the preference for a system.",
    ),
    "label_reveals_condition": (
        "The judge could tell which answer was whose",
        "A judge that reads a name may judge the name.",
    ),
    "length_bias": (
        "The longer answer wins",
        "A judge that rewards length rewards whoever says more.",
    ),
    "missing_interval": (
        "Numbers without an interval",
        "A number alone does not tell how much of it is chance.",
    ),
    "refusals_in_training": (
        "Training answers that refuse",
        "A model learns to say that the text does not tell, also where it does.",
    ),
    "truncated_targets": (
        "Training answers that are cut off",
        "A model that never sees an ending does not learn to end.",
    ),
}
"""Code of a finding: what it is called, and what it is, in words for people."""


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One row that shows a finding."""

    id: str
    texts: tuple[tuple[str, str], ...]
    """(what it is, the text), to be set side by side; no label comes twice."""


@dataclass(frozen=True, slots=True)
class AuditFinding:
    code: str
    """A key of `MISTAKES`."""
    severity: Severity
    count: int
    n: int
    """`count` of `n` that were looked at."""
    evidence: tuple[str, ...]
    """Ids of all rows that show it, or names of settings."""
    effect: str
    """What was found and what it does to the conclusion."""
    rows: tuple[EvidenceRow, ...] = ()
    """The first of `evidence`, with their texts."""


@dataclass(frozen=True, slots=True)
class AuditedFiles:
    """What was given for one purpose."""

    role: str
    """`predictions`, `train`, `verdicts`, `ratings`, `plan`."""
    names: tuple[str, ...]
    size: str
    """How much was in them, in words."""


@dataclass(frozen=True, slots=True)
class Audit:
    """A finished audit."""

    findings: tuple[AuditFinding, ...]
    """The worst first."""
    unseen: Mapping[str, str] = field(default_factory=dict)
    """Code of each mistake that could not be looked for, and why."""
    files: tuple[AuditedFiles, ...] = ()
    command: str = ""
