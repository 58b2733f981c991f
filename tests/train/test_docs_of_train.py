"""Every option of training stands in its page, with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
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


def test_the_example_of_step_counts_runs(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands in the page, with a hundredth of the steps and the tiny base."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "train_step_counts(" in block]
    for told, small in (
        ("(100, 200, 400, 800)", "(4, 5, 7, 9)"),
        ("warmup_steps=20", "warmup_steps=1"),
        ('"num_decay_steps": 40', '"num_decay_steps": 2'),
        ("TrainOptions(\n", f"TrainOptions(base={str(tiny_base)!r}, device='cpu', threads=1,\n"),
    ):
        assert told in code
        code = code.replace(told, small)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "train_rows": make_rows(8),
        "validation_rows": make_rows(4, split="validation"),
    }
    exec(code, names)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["4", "5", "7", "9"]
    assert "all 4 together take 15 steps" in names["logs"][9].notes[0]  # 7 and 4 times 2
    assert all((tmp_path / f"steps-{steps}" / "adapter_config.json").exists() for steps in (4, 5, 7, 9))
