"""Audit: a finished study in, ranked findings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.audit.judging import look_at_verdicts
from tunesmith.audit.outputs import look_at_outputs
from tunesmith.audit.rating import look_at_ratings
from tunesmith.audit.settings import look_at_settings
from tunesmith.audit.study import SEVERITIES, AuditedStudy, Finding, read_study
from tunesmith.audit.training import look_at_training
from tunesmith.records import as_row

CODES = (
    "eval_in_train",
    "near_duplicate_in_train",
    "same_group",
    "verbatim_reference",
    "empty_outputs",
    "dropped_verdicts",
    "fixed_order",
    "label_reveals_condition",
    "length_bias",
    "constraint_violated",
    "rerun_differs",
    "no_effect_parameter",
    "different_items",
    "missing_interval",
    "refusals_in_training",
    "truncated_targets",
    "weak_baseline",
    "definition_dependent",
)
"""Every code a finding can have."""


def audit_study(study: AuditedStudy) -> list[Finding]:
    """All findings, the worst first."""
    looks = (look_at_training, look_at_outputs, look_at_verdicts, look_at_ratings, look_at_settings)
    findings = [finding for look in looks for finding in look(study)]
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), -f.count / max(1, f.n), f.code))


def audit_files(
    *,
    predictions: Sequence[Path] = (),
    train: Sequence[Path] = (),
    verdicts: Sequence[Path] = (),
    ratings: Sequence[Path] = (),
    plan: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What `tunesmith audit --json` prints.

    Returns:
        `{"findings": [{code, severity, count, n, evidence: [ids], effect}]}`, of JSON types.

    Raises:
        InputError: a file cannot be read, or there is none.
    """
    study = read_study(
        predictions=predictions, train=train, verdicts=verdicts, ratings=ratings, plan=plan, columns=columns
    )
    return {
        "findings": [
            {**as_row(finding), "evidence": list(finding.evidence)} for finding in audit_study(study)
        ]
    }
