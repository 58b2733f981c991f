"""Everything a study found, as one HTML page that opens from disk; and its table as Markdown and CSV.

The page holds no external address, needs no network and no JavaScript (a few lines of it filter the answers), and is
the same bytes for the same study. All text of models and documents is escaped.
"""

from __future__ import annotations

import base64
import hashlib

from pydantic import Field

from tunesmith.options import Options
from tunesmith.report.audit_page import render_audit
from tunesmith.report.findings import Audit, AuditedFiles, AuditFinding, EvidenceRow
from tunesmith.report.rendering import inner, own_file, render
from tunesmith.report.study import Source, Study, context_name, count_sources, origin_words, system_names
from tunesmith.report.tables import metrics_csv, summary_markdown

__all__ = [
    "Audit",
    "AuditFinding",
    "AuditedFiles",
    "EvidenceRow",
    "ReportOptions",
    "Source",
    "Study",
    "count_sources",
    "metrics_csv",
    "render_audit",
    "render_report",
    "summary_markdown",
]


class ReportOptions(Options):
    date: str | None = Field(
        default=None, description="The date the report shows, in your own spelling; empty for none."
    )


def render_report(study: Study) -> str:
    """The whole page. Sections whose records are missing are left out."""
    from tunesmith.report.sections import SECTIONS

    sections = [section for make in SECTIONS if (section := make(study)) is not None]
    script = own_file("filter.js")
    return render(
        "page.html.j2",
        study=study,
        context=context_name(study),
        origin=origin_words(study),
        systems=system_names(study),
        sections=[
            (section, inner(section.template, study=study, section=section, **section.data))
            for section in sections
        ],
        style=own_file("style.css"),
        script=script if any(section.id == "answers" for section in sections) else None,
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
    )
