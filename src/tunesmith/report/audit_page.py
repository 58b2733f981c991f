"""What an audit found: a page of its own for any study, and a section in the report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tunesmith.report.checklist import told_by_checks
from tunesmith.report.findings import MISTAKES, SEVERITY_MEANING, Audit, AuditFinding, EvidenceRow
from tunesmith.report.rendering import own_file, render
from tunesmith.report.section import Section
from tunesmith.report.study import Study
from tunesmith.report.words import count, plural, shortened

TEXT_LETTERS = 400
IDS_LISTED = 200
"""Ids of further rows that are listed; beyond these they are counted."""


def render_audit(audit: Audit) -> str:
    """One HTML page: the findings, the worst first, each with its rows, and what was clean or could not be seen."""
    return render(
        "audit_page.html.j2",
        audit=audit,
        headline=headline(audit.findings),
        found_of=_seen(audit),
        findings=_all_shown(audit.findings, is_open=True),
        looked=_looked(audit),
        meanings=_meanings(audit.findings),
        style=own_file("style.css"),
        script=None,
        script_hash=None,
    )


def audit_section(study: Study) -> Section | None:
    """Findings about the run itself; those that belong to a check of the list above are told there."""
    if study.audit is None:
        return None
    told = told_by_checks(study)
    own = [finding for finding in study.audit.findings if finding not in told]
    return Section(
        "audit",
        "Audit of this run",
        "audit.html.j2",
        {
            "headline": headline(study.audit.findings),
            "findings": _all_shown(own, is_open=False),
            "n_told": len(told),
            "looked": _looked(study.audit),
            "meanings": _meanings(own),
        },
    )


def headline(findings: Sequence[AuditFinding]) -> str:
    """`3 findings: 2 high, 1 medium`, or that there are none."""
    if not findings:
        return "No finding"
    counted = Counter(finding.severity for finding in findings)
    parts = ", ".join(f"{counted[name]} {name}" for name in SEVERITY_MEANING if counted[name])
    return f"{plural(len(findings), 'finding')}: {parts}"


def _seen(audit: Audit) -> str:
    looked = len(MISTAKES) - len(audit.unseen)
    return f"{looked} of {plural(len(MISTAKES), 'known mistake')} could be looked for in these files."


def _all_shown(findings: Sequence[AuditFinding], *, is_open: bool) -> list[dict[str, Any]]:
    """What the template needs; `is_open`: whether the rows are unfolded from the start."""
    return [
        _shown(finding) | {"place": place, "is_open": is_open} for place, finding in enumerate(findings, 1)
    ]


def _shown(finding: AuditFinding) -> dict[str, Any]:
    title, meaning = MISTAKES[finding.code]
    rest = finding.evidence[len(finding.rows) :]
    labels = list(dict.fromkeys(label for row in finding.rows for label, _ in row.texts))
    return {
        "code": finding.code,
        "severity": finding.severity,
        "title": title,
        "meaning": meaning,
        "size": f"{count(finding.count)} of {count(finding.n)}",
        "effect": finding.effect,
        "labels": labels,
        "rows": [{"id": row.id, "cells": _cells(row, labels)} for row in finding.rows],
        "n_evidence": len(finding.evidence),
        "rest": rest[:IDS_LISTED],
        "n_rest": len(rest),
        "n_unlisted": max(0, len(rest) - IDS_LISTED),
    }


def _cells(row: EvidenceRow, labels: Sequence[str]) -> list[tuple[str, str | None]]:
    """The row's texts under the labels of the table, cut at a length; `None` where the row has none."""
    texts = dict(row.texts)
    return [(label, shortened(texts[label], TEXT_LETTERS) if label in texts else None) for label in labels]


def _meanings(findings: Sequence[AuditFinding]) -> list[tuple[str, str]]:
    """What the severities that occur mean."""
    used = {finding.severity for finding in findings}
    return [(name, words) for name, words in SEVERITY_MEANING.items() if name in used]


def _looked(audit: Audit) -> dict[str, list[dict[str, str]]]:
    """Every mistake on the list: found, clean, or not to be seen and why."""
    found = Counter(finding.code for finding in audit.findings)
    lines: dict[str, list[dict[str, str]]] = {"found": [], "clean": [], "unseen": []}
    for code, (title, _) in MISTAKES.items():
        if code in found:
            lines["found"].append({"code": code, "title": title, "why": ""})
        elif code in audit.unseen:
            lines["unseen"].append({"code": code, "title": title, "why": audit.unseen[code]})
        else:
            lines["clean"].append({"code": code, "title": title, "why": ""})
    return lines
