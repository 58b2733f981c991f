"""Every option and every check is on the page, with its default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.models.load import ComputeOptions
from tunesmith.synthesize.checks import CHECKS
from tunesmith.synthesize.options import LocalTeacher, SynthesizeOptions, TeacherOptions

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "synthesize.md").read_text(encoding="utf-8")


def rows() -> dict[str, str]:
    options = PAGE.split("## Checks")[0]
    lines = [line.split("|") for line in options.splitlines() if line.startswith("| `")]
    return {cells[1].strip(" `"): cells[2].strip(" `") for cells in lines}


def shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("options", [SynthesizeOptions, TeacherOptions])
def test_options_are_on_the_page(options: Any) -> None:
    page = rows()
    assert set(options.model_fields) <= set(page)
    for name, info in options.model_fields.items():
        if name in {"url", "model", "checks", "kinds"}:
            continue
        assert page[name] == shown(info.default), name
    assert all(info.description for info in options.model_fields.values())


def test_options_of_a_local_model_are_on_the_page() -> None:
    page = rows()
    for name in set(LocalTeacher.model_fields) - set(ComputeOptions.model_fields) - {"local"}:
        assert page[f"local.{name}"] == shown(LocalTeacher.model_fields[name].default), name


def test_checks_are_on_the_page_in_their_order() -> None:
    checks = PAGE.split("## Checks")[1]
    places = [checks.index(f"| `{name}` |") for name in CHECKS]
    assert places == sorted(places)
