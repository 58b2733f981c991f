"""The section on a grid of scenarios: how often each level was planned, written, and kept."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from tunesmith.report.section import Section
from tunesmith.report.study import Study
from tunesmith.report.words import share


def grid_section(study: Study) -> Section | None:
    """The coverage table, attribute by attribute; left out where the study did not start from a grid."""
    if not study.coverage:
        return None
    attributes: list[dict[str, Any]] = []
    for name, lines in groupby(study.coverage, lambda line: line["attribute"]):
        levels = [dict(line) | {"share": share(line["kept"], line["planned"])} for line in lines]
        attributes.append({"name": name, "levels": levels, "most": max(level["planned"] for level in levels)})
    first = attributes[0]["levels"]
    totals = {key: sum(level[key] for level in first) for key in ("planned", "produced", "kept")}
    return Section("grid", "Grid of scenarios", "grid.html.j2", {"attributes": attributes, "totals": totals})
