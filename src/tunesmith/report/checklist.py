"""The checks of a result together with what an audit of the same records found, each matter told once."""

from __future__ import annotations

from tunesmith.report import answer_checks, validity
from tunesmith.report.check import Check, worst_first
from tunesmith.report.findings import AuditFinding
from tunesmith.report.study import Study

_CHECK_OF_FINDING = {
    "eval_in_train": validity.LEAKS,
    "near_duplicate_in_train": validity.LEAKS,
    "same_group": validity.SOURCES,
    "different_items": answer_checks.ITEMS,
    "empty_outputs": answer_checks.EMPTY,
    "failed_items": answer_checks.FAILED,
    "verbatim_reference": answer_checks.EQUAL,
    "truncated_targets": validity.CUT_ROWS,
}
"""Code of a finding to the check that is about the same: it is told there and nowhere else."""
_SAYS_MORE = (
    validity.SOURCES,
    answer_checks.ITEMS,
    answer_checks.EMPTY,
    answer_checks.FAILED,
    answer_checks.EQUAL,
)
"""Checks that count what the finding counts too: the finding's words, which give the effect as well, stand instead."""

_WORDS_OF_THE_PASSAGE = (
    "The passage was shown with the question: an answer in its words can be right without being learnt."
)


def checklist(study: Study) -> list[Check]:
    """The checks, each with the findings on its matter; the worst first."""
    return worst_first([_with_findings(check, study) for check in validity.checks(study)])


def told_by_checks(study: Study) -> list[AuditFinding]:
    """The findings of the study's audit that stand in one of the checks."""
    if study.audit is None:
        return []
    titles = {check.title for check in validity.checks(study)}
    return [item for item in study.audit.findings if _CHECK_OF_FINDING.get(item.code) in titles]


def _with_findings(check: Check, study: Study) -> Check:
    """The check with the words of the findings on its matter, and at least as bad as they are."""
    findings = study.audit.findings if study.audit else ()
    ours = [item for item in findings if _CHECK_OF_FINDING.get(item.code) == check.title]
    if not ours:
        return check
    told = [f"{item.effect.rstrip('.')}." for item in ours]
    detail = " ".join(told if check.title in _SAYS_MORE else [check.detail, *told])
    if check.title == answer_checks.EQUAL and study.context == "passage":
        return Check("look", check.title, f"{detail} {_WORDS_OF_THE_PASSAGE}")
    severities = {item.severity for item in ours}
    if "high" in severities or check.outcome == "problem":
        return Check("problem", check.title, detail)
    return Check("look" if "medium" in severities else check.outcome, check.title, detail)
