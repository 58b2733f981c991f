"""The whole chain on a tiny model: what runs, what does not run again, and what a kill leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tiny import save_tiny_model
from tunesmith.config import parse_plan
from tunesmith.pipeline import Standing, Watcher, run_plan
from tunesmith.plan import Plan
from tunesmith.records import Comparison, Prediction, Row
from tunesmith.steps.table import STEPS
from tunesmith.store import Run, StageState, read_rows

NAMES = [step.name for step in STEPS if step.name != "judge"]
"""Of a plan that names no judge."""
THINGS = [
    "valve",
    "pump",
    "boiler",
    "radiator",
    "thermostat",
    "chimney",
    "turbine",
    "filter",
    "gauge",
    "piston",
]


def write_documents(folder: Path) -> None:
    """Ten short documents of plain definitions, so that any teacher finds the same questions in them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, thing in enumerate(THINGS):
        text = (
            f"# The {thing}\n\n"
            f"A {thing} is a machine part that controls the flow of liquid number {number} in a building. "
            f"The {thing} weighs {number + 12} kilograms. "
            f"The {thing} was invented in {1700 + 17 * number}. "
            f"A {thing} consists of a body, a spring and {number + 3} screws.\n"
        )
        (folder / f"{thing}.md").write_text(text, encoding="utf-8")


PLAN = """
name: tiny
read: {{documents: documents}}
prepare: {{split: {{test: 0.3, validation: 0.1}}, leaks: drop, leak_meaning: 0}}
train:
  base: {model}
  lora_r: 4
  max_steps: 6
  save_steps: 2
  per_device_train_batch_size: 4
  dtype: float32
  device: cpu
  threads: 1
generate: {{max_new_tokens: 6, dtype: float32, device: cpu, threads: 1}}
score: {{metrics: [bleu, rougeL, token_f1, perplexity]}}
compare: {{draws: 500}}
"""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", context=1024)


@pytest.fixture
def root(tmp_path: Path, tiny_model: Path) -> Path:
    write_documents(tmp_path / "documents")
    (tmp_path / "plan.yaml").write_text(PLAN.format(model=tiny_model), encoding="utf-8")
    return tmp_path


class Listener(Watcher):
    def __init__(self) -> None:
        self.ran: list[str] = []
        self.cached: list[str] = []

    def stage_ends(self, name: str, state: StageState, was_cached: bool) -> None:
        (self.cached if was_cached else self.ran).append(name)

    def stage_begins(self, name: str, standing: Standing) -> None:
        pass


def run(root: Path, *overrides: str, until: str | None = None) -> Listener:
    text = (root / "plan.yaml").read_text(encoding="utf-8")
    plan = parse_plan(text, overrides, Plan, name="plan.yaml")
    listener = Listener()
    run_plan(
        plan,
        root,
        root / "runs" / plan.name,
        until=until,
        command="tunesmith run plan.yaml",
        watcher=listener,
    )
    return listener


def test_the_whole_chain_and_what_runs_again(root: Path) -> None:
    folder = root / "runs/tiny"
    assert run(root).ran == NAMES

    rows = {
        split: list(read_rows(folder / f"prepare/{split}.jsonl", Row))
        for split in ("train", "validation", "test")
    }
    sources = {split: {row.source_id for row in found} for split, found in rows.items()}
    assert all(sources.values())
    assert not sources["train"] & sources["test"]
    assert not sources["validation"] & sources["test"]

    base = list(read_rows(folder / "generate/base.jsonl", Prediction))
    tuned = list(read_rows(folder / "generate/tuned.jsonl", Prediction))
    asked = {row.id: row.prompt for row in rows["test"]}
    assert {one.id: one.prompt for one in base} == {one.id: one.prompt for one in tuned} == asked
    comparisons = list(read_rows(folder / "compare/comparisons.jsonl", Comparison))
    assert [one.metric for one in comparisons] == ["rougeL", "bleu", "token_f1", "perplexity"]
    assert {one.n for one in comparisons} == {len(asked)}
    assert [one.metric for one in comparisons if one.is_primary] == ["rougeL"]
    page = (folder / "report/report.html").read_text(encoding="utf-8")
    assert "tunesmith run plan.yaml" in page
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert list(manifest["stages"]) == NAMES
    assert all(state["status"] == "done" for state in manifest["stages"].values())

    again = run(root)
    assert (again.ran, again.cached) == ([], NAMES)
    other = run(root, "train.lora_r=2")
    assert other.cached == ["read", "synthesize", "prepare"]
    assert other.ran == ["train", "generate", "score", "compare", "report"]
    assert run(root).ran == [], "the earlier result was kept and comes back"
    assert run(root, "compare.draws=600").ran == ["compare", "report"]


def test_rows_mended_by_hand_are_used(root: Path) -> None:
    """A wrong reference can be put right in the file, and only what follows from it runs again."""
    run(root, until="generate")
    place = root / "runs/tiny/prepare/test.jsonl"
    rows = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]
    rows[0]["completion"] = "a better answer"
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    again = run(root, until="generate")
    assert again.ran == ["generate"]
    found = {one.id: one.references for one in read_rows(root / "runs/tiny/generate/base.jsonl", Prediction)}
    assert found[rows[0]["id"]] == ("a better answer",)


def test_prepared_rows_load_with_datasets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(root / "cache"))
    run(root, until="prepare")
    from datasets import load_dataset

    places = {split: str(root / f"runs/tiny/prepare/{split}.jsonl") for split in ("train", "test")}
    loaded = load_dataset("json", data_files=places, cache_dir=str(root / "cache"))
    assert {"prompt", "completion"} <= set(loaded["train"].column_names)
    assert loaded["test"].num_rows == len(list(read_rows(root / "runs/tiny/prepare/test.jsonl", Row)))


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tunesmith", "run", str(root / "plan.yaml"), *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What runs in the background of a shell ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def interrupt_when(process: subprocess.Popen[str], place: Path, sign: signal.Signals) -> None:
    """Send the signal as soon as `place` is there."""
    deadline = time.monotonic() + 90
    while not place.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"{place} never came"
        time.sleep(0.01)
    process.send_signal(sign)


def outcome(root: Path) -> dict[str, bytes]:
    """What has to be the same, however often the run was killed: weights, scores, verdicts."""
    folder = root / "runs/tiny"
    names = (
        "synthesize/examples.jsonl",
        "prepare/train.jsonl",
        "train/tuned/adapter_model.safetensors",
        "score/scores.jsonl",
        "compare/comparisons.jsonl",
    )
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_result(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    places = [
        "read/stage.json",
        "synthesize/stage.json",
        "train/tuned/checkpoints",
        "generate/base.jsonl",
        "score/stage.json",
        "compare/stage.json",
    ]
    for place in places:
        process = start(root)
        interrupt_when(process, root / "runs/tiny" / place, signal.SIGKILL)
        process.communicate()
    process = start(root)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.strip().splitlines()[-1].endswith("runs/tiny/report/report.html")

    calm = tmp_path_factory.mktemp("calm")
    write_documents(calm / "documents")
    (calm / "plan.yaml").write_text((root / "plan.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    run(calm)
    assert outcome(root) == outcome(calm)


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(root: Path) -> None:
    process = start(root)
    interrupt_when(process, root / "runs/tiny/synthesize/stage.json", signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # A shell shows 130 for both: Python ends by the signal itself when it came in the middle of an import's exec().
    assert process.returncode in (130, -signal.SIGINT), errors
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors


def test_survey_writes_nothing(root: Path) -> None:
    from tunesmith.pipeline import survey

    plan = parse_plan((root / "plan.yaml").read_text(encoding="utf-8"), (), Plan, name="plan.yaml")
    stages = list(survey(plan, root, Run(root / "runs/tiny")))
    assert [(stage.name, stage.standing) for stage in stages][:2] == [
        ("read", "to run"),
        ("synthesize", "waits"),
    ]
    assert not (root / "runs").exists()


def test_full_training_gives_a_whole_model_and_a_verdict(root: Path) -> None:
    assert run(root, "train.method=full", "train.lora_r=16").ran == NAMES
    assert (root / "runs/tiny/train/tuned/model.safetensors").is_file()
    assert run(root, "train.method=full", "train.lora_r=16").ran == []
