"""Everything a study found, as one HTML page that opens from disk; and its table as Markdown and CSV.

The page holds no external address, needs no network and no JavaScript (a few lines of it filter the answers), and is
the same bytes for the same study. All text of models and documents is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING

from pydantic import Field

from tunesmith.options import Options
from tunesmith.report.section import Section
from tunesmith.report.study import Source, Study, count_sources, system_names
from tunesmith.report.tables import metrics_csv, summary_markdown
from tunesmith.report.validity import context_name

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = [
    "ReportOptions",
    "Source",
    "Study",
    "count_sources",
    "metrics_csv",
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

    templates = _templates()
    sections = [section for make in SECTIONS if (section := make(study)) is not None]
    script = _source(templates, "filter.js")
    page = templates.get_template("page.html.j2")
    return page.render(
        study=study,
        context=context_name(study),
        systems=system_names(study),
        sections=[(section, _render(templates, study, section)) for section in sections],
        style=_source(templates, "style.css"),
        script=script if any(section.id == "answers" for section in sections) else None,
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
    )


def _render(templates: Environment, study: Study, section: Section) -> str:
    from markupsafe import Markup

    return Markup(
        templates.get_template(section.template).render(study=study, section=section, **section.data)
    )


def _source(templates: Environment, name: str) -> str:
    """A file of our own that goes into the page as it is: no text of a user's ever passes here."""
    from markupsafe import Markup

    assert templates.loader is not None
    return Markup(templates.loader.get_source(templates, name)[0])


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from tunesmith.report import words

    environment = Environment(
        loader=PackageLoader("tunesmith.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=words.count, plural=words.plural)
    return environment
