"""Audit: a finished study in, ranked findings out."""

from __future__ import annotations

from tunesmith.audit.judging import look_at_verdicts
from tunesmith.audit.outputs import look_at_outputs
from tunesmith.audit.rating import look_at_ratings
from tunesmith.audit.scores import look_at_scores
from tunesmith.audit.settings import look_at_settings
from tunesmith.audit.study import SEVERITIES, AuditedStudy, Finding
from tunesmith.audit.training import look_at_training

CODES = (
    "eval_in_train",
    "near_duplicate_in_train",
    "same_group",
    "verbatim_reference",
    "empty_outputs",
    "failed_items",
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
    looks = (
        look_at_training,
        look_at_outputs,
        look_at_scores,
        look_at_verdicts,
        look_at_ratings,
        look_at_settings,
    )
    findings = [finding for look in looks for finding in look(study)]
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), -f.count / max(1, f.n), f.code))
