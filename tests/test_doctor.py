"""The doctor sees what is there, shows what is learnt, and says no before a long run does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows, save_tiny_model
from tunesmith.cli import main
from tunesmith.display.doctor import picture
from tunesmith.doctor.check import Check, exit_code
from tunesmith.doctor.memory import estimate_training_bytes
from tunesmith.tasks.base import Rendered
from tunesmith.train.options import TrainOptions


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan that starts from finished rows."""
    folder = tmp_path_factory.mktemp("study")
    save_tiny_model(folder / "base")
    rows = [
        {"prompt": row.prompt, "completion": row.completion, "source_id": f"d{at}"}
        for at, row in enumerate(make_rows(30))
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")
    (folder / "plan.yaml").write_text(
        f"""
name: s
prepare: {{data: rows.jsonl, leaks: allow}}
train: {{base: {folder / "base"}, device: cpu, dtype: float32}}
generate: {{max_new_tokens: 32}}
""",
        encoding="utf-8",
    )
    return folder


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def standings(found: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["standing"] for check in found["checks"]}


def test_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask(capsys)
    assert code == 0
    assert {"python", "torch", "cpu", "bitsandbytes", "wordnet", "disk"} <= standings(found).keys()
    assert "hub" not in standings(found)  # it is asked only when that is wanted
    assert found["first_example"] == []


def test_a_plan_that_is_well(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask(capsys, str(study / "plan.yaml"))
    assert code == 0, found
    states = standings(found)
    for name in (
        "base",
        "template",
        "stop tokens",
        "end learnt",
        "truncation",
        "prompts",
        "padding",
        "context",
    ):
        assert states[name] == "ok", found
    (prompt, asked), (answer, learnt) = found["first_example"]
    assert (asked, learnt) == (False, True)
    assert prompt.startswith("<|begin|><|user|>\n")
    assert prompt.endswith("<|end|>\n<|assistant|>\n")
    assert answer.endswith("<|end|>")
    assert main(["doctor", str(study / "plan.yaml")]) == 0
    shown = capsys.readouterr().out
    assert f"⟦{answer}⟧" in shown
    assert "\x1b[" not in shown


def test_lost_answers_fail(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask(capsys, str(study / "plan.yaml"), "train.max_length=26")
    assert code == 3
    assert standings(found)["truncation"] == "failed"
    code, found = ask(capsys, str(study / "plan.yaml"), "train.max_length=26", "train.max_lost_answers=1")
    assert (code, standings(found)["truncation"]) == (0, "note")


def test_what_is_missing(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask(capsys, str(study / "plan.yaml"), f"train.base={tmp_path / 'nothing'}")
    assert code == 4
    assert standings(found)["base"] == "missing"


def test_an_option_of_the_template_without_effect(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask(capsys, str(study / "plan.yaml"), "train.thinking=off")
    assert code == 3
    assert standings(found)["template"] == "failed"


def test_the_picture() -> None:
    pieces = [("what? ", False), ("air", True)]
    assert picture(pieces, coloured=False).plain == "what? ⟦air⟧"
    coloured = picture(pieces, coloured=True)
    assert coloured.plain == "what? air"
    assert [(span.start, span.end) for span in coloured.spans] == [(6, 9)]


def test_exit_codes() -> None:
    fine, failed, missing = (Check("x", standing, "") for standing in ("note", "failed", "missing"))
    assert [exit_code(found) for found in ([fine], [fine, failed], [missing], [missing, failed])] == [
        0,
        3,
        4,
        3,
    ]


def test_memory_by_hand() -> None:
    """A Llama of 2 layers, hidden 32, feed-forward 64, 4 heads, 2 of them for keys, 325 tokens; a row of 10."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=325,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    row = Rendered("r", "s", tuple(range(10)), (-100,) * 6 + (1,) * 4, 6)
    options = TrainOptions(lora_r=4, per_device_train_batch_size=1)
    # A and B of q and o (32 to 32), k and v (32 to 16), gate and up (32 to 64), down (64 to 32)
    trained = 2 * 4 * (2 * 64 + 2 * 48 + 3 * 96)
    layer = 10 * (12 * 32 + 4 * 64 + 2 * 16) * 4
    logits = 3 * 4 * 4 * 325
    expected = 1000 * 4 + trained * 16 + 2 * layer + logits
    assert estimate_training_bytes(config, 1000, options, [row], 4) == expected
    saving = options.model_copy(update={"gradient_checkpointing": True})
    less = expected - 2 * layer + 2 * 10 * 32 * 4 + layer
    assert estimate_training_bytes(config, 1000, saving, [row], 4) == less
