"""Every option of generation stands in its page."""

from __future__ import annotations

from pathlib import Path

from tunesmith.generate.stage import GenerateOptions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "generate.md"


def test_every_option_is_documented() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Options")[2]
    missing = [name for name in GenerateOptions.model_fields if f"`{name}`" not in table]
    assert not missing
