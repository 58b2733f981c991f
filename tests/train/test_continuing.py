"""An adapter trained on top of another: both count, in training and in use; the second is nothing without the first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows, save_tiny_model
from tests.train.test_methods import needs_bitsandbytes
from tunesmith.errors import InputError, MissingError
from tunesmith.generate.stage import GenerateOptions, generate_predictions
from tunesmith.models.lineage import load_merged, stands_on
from tunesmith.models.load import load_model, quiet, weights_sha256
from tunesmith.records import Prediction
from tunesmith.tasks.base import open_task
from tunesmith.train.stage import TrainOptions, train_adapter


def options_for(base: Path, **changes: Any) -> TrainOptions:
    settings = {"base": str(base), "dtype": "float32", "device": "cpu", "learning_rate": 2e-2, "max_steps": 6}
    return TrainOptions.model_validate(settings | changes)


@pytest.fixture(scope="module")
def trained(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first adapter, one on top of it, and one on top of that."""
    place = tmp_path_factory.mktemp("lineage")
    before = None
    for at, name in enumerate(["first", "second", "third"]):
        options = options_for(
            tiny_base, seed=at, continue_from=before, method="rslora" if at == 1 else "lora"
        )
        train_adapter(make_rows(24)[8 * at : 8 * at + 8], [], place / name, options)
        before = str(place / name)
    return place


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.arange(20, 60).view(2, 20)).logits


def deltas(folder: Path) -> dict[str, Any]:
    """scale x B A of each layer, straight from the adapter's file."""
    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    root = config["r"] ** 0.5 if config["use_rslora"] else config["r"]
    tensors = load_file(folder / "adapter_model.safetensors")
    found = {}
    for name, a in tensors.items():
        if name.endswith("lora_A.weight"):
            layer = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            found[layer] = tensors[name.replace("lora_A", "lora_B")] @ a * config["lora_alpha"] / root
    return found


def by_hand(base: Path, *folders: Path) -> Any:
    """Logits of the base with W + sum of scale x B A."""
    model = load_model(str(base), dtype="float32", device="cpu")
    for folder in folders:
        for layer, delta in deltas(folder).items():
            part: Any = model.get_submodule(layer)
            part.weight.data += delta
    return logits(model)


def answers(base: Path, adapters: dict[str, Path | None], **changes: Any) -> dict[str, list[Prediction]]:
    settings = {"dtype": "float32", "device": "cpu", "max_new_tokens": 6, "systems": list(adapters)} | changes
    rows = make_rows(4, split="test")
    found: dict[str, list[Prediction]] = {system: [] for system in adapters}
    for prediction in generate_predictions(
        rows, str(base), adapters, GenerateOptions.model_validate(settings)
    ):
        found[prediction.system].append(prediction)
    return found


def test_both_count(tiny_base: Path, trained: Path) -> None:
    import peft
    import torch

    first, second, third = trained / "first", trained / "second", trained / "third"
    options = options_for(tiny_base)
    task = open_task("causal", str(tiny_base), options)
    assert [path.relative_to(trained) for path in stands_on(third)] == [
        Path("third/before/before"),
        Path("third/before"),
    ]
    base = load_merged(task.load, str(tiny_base), options, stands_on(second))
    with quiet():
        together = logits(peft.PeftModel.from_pretrained(base, second).eval())
    torch.testing.assert_close(together, by_hand(tiny_base, first, second), atol=1e-4, rtol=1e-4)
    for alone in (by_hand(tiny_base), by_hand(tiny_base, first), by_hand(tiny_base, second)):
        assert (together - alone).abs().max() > 0.1
    base = load_merged(task.load, str(tiny_base), options, stands_on(third))
    with quiet():
        all_three = logits(peft.PeftModel.from_pretrained(base, third).eval())
    torch.testing.assert_close(all_three, by_hand(tiny_base, first, second, third), atol=1e-4, rtol=1e-4)


def test_training_began_where_the_first_ended(tiny_base: Path, trained: Path, tmp_path: Path) -> None:
    """A fresh adapter does nothing: the first loss of the second training is the loss of base and first adapter."""
    import torch

    rows = make_rows(8)
    log = train_adapter(
        rows, [], tmp_path, options_for(tiny_base, continue_from=str(trained / "first"), max_steps=1)
    )
    task = open_task("causal", str(tiny_base), options_for(tiny_base))
    model = load_model(str(tiny_base), dtype="float32", device="cpu")
    for layer, delta in deltas(trained / "first").items():
        part: Any = model.get_submodule(layer)
        part.weight.data += delta
    batch = task.collate([task.render(row) for row in rows])  # type: ignore[misc]
    with torch.no_grad():
        output = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels)
    assert log.train_loss[0][1] == pytest.approx(output.loss.item(), abs=1e-4)


def test_generation_applies_both(tiny_base: Path, trained: Path, tmp_path: Path) -> None:
    """The oracle is a base into which the first adapter was written by hand, with the second on it."""
    model = load_model(str(tiny_base), dtype="float32", device="cpu")
    for layer, delta in deltas(trained / "first").items():
        part: Any = model.get_submodule(layer)
        part.weight.data += delta
    merged = Path(shutil.copytree(tiny_base, tmp_path / "merged"))
    model.save_pretrained(merged)
    plain = Path(shutil.copytree(trained / "second", tmp_path / "second"))
    shutil.rmtree(plain / "before")
    (plain / "tunesmith.json").unlink()
    expected = answers(merged, {"tuned": plain})["tuned"]
    wrong = answers(tiny_base, {"tuned": plain})["tuned"]
    found = answers(tiny_base, {"base": None, "first": trained / "first", "tuned": trained / "second"})
    for mine, right, without in zip(found["tuned"], expected, wrong, strict=True):
        assert mine.text == right.text
        assert mine.reference_nll == pytest.approx(right.reference_nll, abs=1e-3)
        assert mine.reference_nll != pytest.approx(without.reference_nll, abs=1e-2)
    # The others stand on the base alone, before and after.
    alone = answers(tiny_base, {"base": None, "first": trained / "first"})
    for system in ("base", "first"):
        assert [one.reference_nll for one in found[system]] == [one.reference_nll for one in alone[system]]


def test_the_card_tells_the_lineage(tiny_base: Path, trained: Path) -> None:
    card = json.loads((trained / "third" / "tunesmith.json").read_text(encoding="utf-8"))
    assert card["base_sha256"] == weights_sha256(tiny_base)
    assert card["continues"] == [
        {"name": name, "sha256": weights_sha256(trained / name)} for name in ("first", "second")
    ]


def test_the_second_without_the_first(tiny_base: Path, trained: Path, tmp_path: Path) -> None:
    second = Path(shutil.copytree(trained / "second", tmp_path / "second"))
    shutil.rmtree(second / "before")
    with pytest.raises(MissingError, match="on top of another one, first, and means nothing without it"):
        answers(tiny_base, {"tuned": second})
    with pytest.raises(MissingError, match="first"):
        train_adapter(make_rows(8), [], tmp_path / "x", options_for(tiny_base, continue_from=str(second)))
    shutil.copytree(trained / "third", second / "before")
    with pytest.raises(InputError, match="another one is in its place"):
        answers(tiny_base, {"tuned": second})


def test_what_cannot_be_continued_from(tiny_base: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="this is a whole model"):
        train_adapter(make_rows(8), [], tmp_path / "a", options_for(tiny_base, continue_from=str(tiny_base)))
    with pytest.raises(MissingError, match="there is no adapter in this folder"):
        train_adapter(make_rows(8), [], tmp_path / "b", options_for(tiny_base, continue_from=str(tmp_path)))
    other = save_tiny_model(tmp_path / "other", seed=5)
    with pytest.raises(InputError, match="trained on other base weights"):
        train_adapter(
            make_rows(8), [], tmp_path / "c", options_for(other, continue_from=str(trained / "first"))
        )


def test_added_tokens_come_along(tiny_base: Path, tmp_path: Path) -> None:
    first = options_for(tiny_base, added_tokens=["<stop>"])
    train_adapter(make_rows(8), [], tmp_path / "first", first)
    with pytest.raises(InputError, match="knows added tokens: <stop>"):
        train_adapter(
            make_rows(8), [], tmp_path / "x", options_for(tiny_base, continue_from=str(tmp_path / "first"))
        )
    second = options_for(tiny_base, added_tokens=["<stop>", "<go>"], continue_from=str(tmp_path / "first"))
    train_adapter(make_rows(8), [], tmp_path / "second", second)
    assert len(answers(tiny_base, {"tuned": tmp_path / "second"})["tuned"]) == 4


@needs_bitsandbytes
def test_on_a_base_in_four_bits(tmp_path: Path) -> None:
    """The first adapter is merged before the weights are rounded to 4 bits, and the answers come from 4 bits, too."""
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    base = save_tiny_model(tmp_path / "base", hidden=64)
    train_adapter(make_rows(8), [], tmp_path / "first", options_for(base, method="qlora"))
    made = options_for(base, method="qlora", continue_from=str(tmp_path / "first"))
    train_adapter(make_rows(8), [], tmp_path / "second", made)
    task = open_task("causal", str(base), made)
    merged = load_merged(task.load, str(base), made, stands_on(tmp_path / "second"))
    plain = load_model(str(base), dtype="float32", device="cpu")
    for name, delta in deltas(tmp_path / "first").items():
        layer: Any = merged.get_submodule(name)
        weight: Any = plain.get_submodule(name)
        right = quantize_4bit(
            weight.weight.data + delta, quant_type="nf4", compress_statistics=True, blocksize=64
        )
        torch.testing.assert_close(
            dequantize_4bit(layer.weight.data, layer.weight.quant_state),
            dequantize_4bit(*right),
            atol=1e-3,
            rtol=1e-3,
        )
    found = answers(base, {"base": None, "tuned": tmp_path / "second"})
    assert {one.settings["load_in_4bit"] for system in found.values() for one in system} == {True}
    unrounded = answers(base, {"tuned": tmp_path / "second"}, load_in_4bit=False)
    assert unrounded["tuned"][0].reference_nll != pytest.approx(found["tuned"][0].reference_nll, abs=1e-3)
