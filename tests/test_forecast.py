from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_pipeline import PLAN, write_documents
from tests.tiny import save_tiny_model
from tunesmith.config import parse_plan
from tunesmith.forecast import Outlook, count_weights, forecast, matrix_speed
from tunesmith.plan import Plan
from tunesmith.store import Run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), context=1024)


def outlook(root: Path, model: Path, *overrides: str) -> Outlook:
    plan = parse_plan(PLAN.format(model=model), overrides, Plan, name="plan.yaml")
    return forecast(plan, root, Run(root / "runs/tiny"))


def test_weights_are_counted_from_the_headers(model: Path) -> None:
    """Llama with tied embeddings: vocabulary x hidden, per layer q, k, v, o, gate, up, down and two norms, one norm."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model)
    hidden, inner, keys = 32, 64, 16
    layer = 2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * inner + 2 * hidden
    assert count_weights(str(model)) == config.vocab_size * hidden + 2 * layer + hidden


def test_a_hub_model_is_not_counted_and_said_so(tmp_path: Path, model: Path) -> None:
    assert count_weights("some-owner/some-model") is None
    write_documents(tmp_path / "documents")
    found = outlook(tmp_path, model, "train.base=some-owner/some-model")
    train = next(stage for stage in found.stages if stage.name == "train")
    assert train.time_in_words == "not known"
    assert any("some-owner/some-model is not on this disk" in remark for remark in found.remarks)


def test_sizes_come_from_the_documents(tmp_path: Path, model: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "documents/bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    found = outlook(tmp_path, model)
    sizes = {stage.name: stage.size for stage in found.stages}
    assert sizes["read"].startswith("11 files")
    assert sizes["synthesize"].startswith("10 passages")
    assert any(remark.startswith("Will be refused: bad.pdf") for remark in found.remarks)
    assert not (tmp_path / "runs").exists()


def test_training_time_grows_with_the_epochs(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.forecast.matrix_speed", lambda: 1e6)
    monkeypatch.setattr("tunesmith.forecast.shutil.which", lambda name: None)
    write_documents(tmp_path / "documents")
    times = []
    for epochs in (1, 3):
        found = outlook(tmp_path, model, f"train.num_train_epochs={epochs}", "train.max_steps=null")
        times.append(next(stage.seconds for stage in found.stages if stage.name == "train"))
    assert times[0] is not None
    assert times[1] is not None
    assert times[1] - 10 == pytest.approx(3 * (times[0] - 10))


def test_generation_time_grows_with_what_is_decoded(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting of three beams beside the main one decodes as much as four beams; prompts go through once."""
    monkeypatch.setattr("tunesmith.forecast.matrix_speed", lambda: 1e6)
    monkeypatch.setattr("tunesmith.forecast.shutil.which", lambda name: None)
    write_documents(tmp_path / "documents")
    times = []
    for override in ("num_beams=1", "num_beams=4", "settings={beams: {num_beams: 3}}"):
        found = outlook(tmp_path, model, f"generate.{override}")
        times.append(next(stage.seconds for stage in found.stages if stage.name == "generate"))
    one, four, both = times
    assert one is not None
    assert four is not None
    assert one < four < 4 * one
    assert both == four


def test_the_machine_multiplies_matrices() -> None:
    assert 1e8 < matrix_speed() < 1e15
