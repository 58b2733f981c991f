"""Every option of training stands in its page, with its default."""

from __future__ import annotations

from pathlib import Path

from tunesmith.train.stage import TrainOptions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "train.md"


def test_every_option_is_documented_with_its_default() -> None:
    rows = [
        line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    documented = {cells[1].strip(" `"): cells[2].strip(" `") for cells in rows}
    assert documented.keys() == TrainOptions.model_fields.keys()
    for name, default in TrainOptions().model_dump().items():
        shown = (
            "empty"
            if default is None
            else str(default).lower()
            if isinstance(default, bool)
            else str(default)
        )
        number = isinstance(default, float)
        assert float(documented[name]) == default if number else documented[name] == shown, name
