"""What a person sees: messages, exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.test_pipeline import PLAN, write_documents
from tests.tiny import save_tiny_model
from tunesmith.cli import main
from tunesmith.plan import Plan


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    write_documents(tmp_path / "documents")
    model = save_tiny_model(tmp_path / "model", context=1024)
    (tmp_path / "plan.yaml").write_text(PLAN.format(model=model), encoding="utf-8")
    return tmp_path / "plan.yaml"


def test_json_of_a_run(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(plan_file), "--json"]) == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert Path(result["report"]).is_file()
    assert [one["metric"] for one in result["comparisons"]] == ["rougeL", "bleu", "token_f1", "perplexity"]
    assert result["stages"]["train"]["counts"]["steps"] == 6

    assert main(["check", str(plan_file), "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert {stage["standing"] for stage in stages} == {"cached"}


def fails(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == code
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_a_missing_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such plan file" in fails(["run", str(tmp_path / "none.yaml")], 2, capsys)


def test_a_plan_with_five_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "name: two words\nread: {documents: x, chunk: {token: 5}}\n"
        "train: {lr_schedual: cosine, lora_r: 0}\nscore: {metrics: [bleu, rouge-l]}\n",
        encoding="utf-8",
    )
    message = fails(["run", str(plan)], 2, capsys)
    assert "5 problems" in message
    assert "line 2: read.chunk.token: unknown key; did you mean tokens?" in message
    assert "line 3: train.lr_schedual: unknown key; did you mean lr_scheduler_type?" in message
    assert "line 4" in message
    assert "rouge-l" in message


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_missing_or_empty_folder(name: str, plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plan_file.parent / "empty").mkdir()
    message = fails(["run", str(plan_file), f"read.documents={name}"], 2, capsys)
    assert name in message
    assert "read.documents" in message


def test_only_unreadable_files(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plan_file.parent / "bad").mkdir()
    (plan_file.parent / "bad/a.pdf").write_bytes(b"%PDF-1.4 nothing of the kind")
    message = fails(["run", str(plan_file), "read.documents=bad"], 2, capsys)
    assert "a.pdf" in message


def test_one_unreadable_file_among_good_ones_is_reported(plan_file: Path) -> None:
    (plan_file.parent / "documents/broken.pdf").write_bytes(b"%PDF-1.4 nothing of the kind")
    assert main(["run", str(plan_file), "--until", "read"]) == 0
    notes = (plan_file.parent / "runs/tiny/read/notes.jsonl").read_text(encoding="utf-8")
    assert "broken.pdf" in notes


def test_a_model_folder_without_weights(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plan_file.parent / "hollow").mkdir()
    (plan_file.parent / "hollow/config.json").write_text("{}", encoding="utf-8")
    message = fails(["run", str(plan_file), f"train.base={plan_file.parent / 'hollow'}"], 4, capsys)
    assert "hollow" in message
    assert "weights" in message


def test_an_unknown_stage(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(["run", str(plan_file), "--until", "trian"], 2, capsys)
    assert "trian" in message
    assert "train" in message


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 2
    assert main(["fly"]) == 2
    assert main(["--version"]) == 0
    assert "tunesmith 0." in capsys.readouterr().out


def test_init_writes_a_plan_that_is_valid_with_every_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "plan.yaml"
    assert main(["init", str(place), "--documents", "docs/*.pdf"]) == 0
    text = place.read_text(encoding="utf-8")
    as_written = Plan.model_validate(yaml.safe_load(text))
    assert as_written.read.documents == "docs/*.pdf"
    uncommented = "\n".join(line.removeprefix("# ") for line in text.split("\n\n", 1)[1].splitlines())
    assert Plan.model_validate(yaml.safe_load(uncommented)) == as_written
    for key in ("learning_rate", "lora_r", "max_new_tokens", "primary", "leaks"):
        assert f"{key}:" in text
    assert main(["init", str(place)]) == 2
    assert "--force" in capsys.readouterr().err


def test_a_run_that_stops_early_shows_no_older_verdict(
    plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(plan_file)]) == 0
    assert "rougeL" in capsys.readouterr().out
    assert main(["run", str(plan_file), "train.lora_r=2", "--until", "train"]) == 0
    assert capsys.readouterr().out.strip().endswith("runs/tiny")
    assert main(["run", str(plan_file), "train.lora_r=2", "--until", "train", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["report"], result["comparisons"]) == (None, [])


def test_a_run_folder_that_cannot_be_one(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(["run", str(plan_file), "--out", str(plan_file / "inside")], 2, capsys)
    assert "--out" in message


def test_a_document_the_teacher_cannot_read(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plan_file.parent / "zh").mkdir()
    (plan_file.parent / "zh/a.txt").write_text(
        "水是生命之源也是人類社會發展的重要資源" * 40, encoding="utf-8"
    )
    message = fails(["run", str(plan_file), "read.documents=zh"], 2, capsys)
    assert "synthesize.teacher" in message
    assert "English" in message
