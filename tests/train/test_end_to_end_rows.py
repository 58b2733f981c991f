"""Rows end to end give the losses and gradients of rows side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.errors import InputError
from tunesmith.tasks.base import Rendered, open_task
from tunesmith.train.adapters import put_adapter
from tunesmith.train.layout import EndToEnd, Padded, arrange
from tunesmith.train.stage import TrainOptions, train_adapter


def opened(base: Path, **changes: Any) -> tuple[Any, Any, list[Rendered], TrainOptions]:
    import torch

    options = TrainOptions(base=str(base), dtype="float32", device="cpu", lora_r=4, **changes)
    task = open_task("causal", str(base), options)
    torch.manual_seed(0)
    model = put_adapter(task.load(str(base), options), options, task.adapter_type)
    for name, part in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(part, std=0.2)
    rows = [row for row in map(task.render, make_rows(9)) if isinstance(row, Rendered)]
    assert len({len(row.input_ids) for row in rows}) > 3
    return task, model, rows, options


def losses_and_gradients(model: Any, layout: Any, rows: list[Rendered]) -> tuple[Any, Any, list[Any]]:
    model.train()
    model.zero_grad()
    losses, places = layout.losses(model, layout.collate(rows))
    (losses.sum() / len(losses)).backward()
    return losses, places, [part.grad for part in model.parameters() if part.requires_grad]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_losses_and_gradients_equal_those_of_padded_rows(tiny_base: Path, checkpointing: bool) -> None:
    """Against transformers' own attention (SDPA with a mask), nothing of ours in the model."""
    import torch

    task, model, rows, options = opened(tiny_base)
    expected, rows_expected, slopes_expected = losses_and_gradients(model, Padded(task), rows)
    assert isinstance(arrange(model.get_base_model(), task, options), EndToEnd)
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    found, rows_found, slopes_found = losses_and_gradients(model, EndToEnd(), rows)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert rows_found.tolist() == rows_expected.tolist()
    assert len(slopes_found) == 28
    for ours, theirs in zip(slopes_found, slopes_expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_row_does_not_see_its_neighbours(tiny_base: Path) -> None:
    import torch

    task, model, rows, options = opened(tiny_base)
    layout = arrange(model.get_base_model(), task, options)
    among, places, _ = losses_and_gradients(model, layout, rows)
    for at in (0, 4, 8):
        alone, _, _ = losses_and_gradients(model, layout, [rows[at]])
        torch.testing.assert_close(among[places == at], alone, atol=1e-5, rtol=1e-5)


def test_the_option_decides(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    for kind in (EndToEnd, Padded):
        collate = kind.collate

        def noted(self: Any, rows: Any, collate: Any = collate, name: str = kind.__name__) -> Any:
            used.append(name)
            return collate(self, rows)

        monkeypatch.setattr(kind, "collate", noted)
    logs = {}
    for packing in (None, True, False):
        used.clear()
        options = TrainOptions(
            base=str(tiny_base), dtype="float32", device="cpu", lora_r=4, max_steps=4, packing=packing
        )
        logs[packing] = train_adapter(make_rows(12), [], tmp_path / str(packing), options)
        assert set(used) == {"Padded" if packing is False else "EndToEnd"}
    for (_, one), (_, other) in zip(logs[None].train_loss, logs[False].train_loss, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_packing_where_it_cannot_be_is_refused(tiny_base: Path) -> None:
    task, model, _, options = opened(tiny_base, packing=True)
    model.get_base_model().config.attention_dropout = 0.1
    with pytest.raises(InputError, match="would mix them"):
        arrange(model.get_base_model(), task, options)
