"""The faster forms compute what peft and transformers compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import MissingError
from tunesmith.models import fast, kernels
from tunesmith.models.load import load_model, quiet


def adapted(base: Path, **options: Any) -> Any:
    """A tiny model with an adapter whose B is not zero, so that the adapter shows."""
    import peft
    import torch

    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **options)
    with quiet():
        model: Any = peft.get_peft_model(load_model(str(base), dtype="float32", device="cpu"), config)
    for name, part in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(part, std=0.2)
    return model


def loss_and_gradients(model: Any, ids: Any, mask: Any) -> tuple[float, dict[str, Any]]:
    model.zero_grad()
    loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
    loss.backward()
    return loss.item(), {
        name: part.grad.clone() for name, part in model.named_parameters() if part.grad is not None
    }


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"use_rslora": True}])
def test_loss_and_gradients_stay_the_same(tiny_base: Path, options: dict[str, Any]) -> None:
    import torch

    model = adapted(tiny_base, **options)
    ids = torch.randint(6, 300, (3, 24), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 15:] = 0
    usual_loss, usual = loss_and_gradients(model, ids, mask)
    assert fast.speed_up_adapters(model) == 14  # 7 layers in each of 2 blocks
    assert fast.speed_up_adapters(model) == 0
    assert fast.speed_up_attention(model.get_base_model())
    fast_loss, faster = loss_and_gradients(model, ids, mask)
    assert fast_loss == pytest.approx(usual_loss, abs=1e-5)
    assert usual.keys() == faster.keys()
    assert len(usual) >= 28
    for name in usual:
        torch.testing.assert_close(faster[name], usual[name], atol=1e-5, rtol=1e-4)


def test_the_patched_functions_are_really_used(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model = adapted(tiny_base)
    fast.speed_up_adapters(model)
    fast.speed_up_attention(model.get_base_model())

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("used")

    ids = torch.randint(6, 300, (1, 8))
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "adapted_linear", broken)
        with pytest.raises(RuntimeError, match="used"):
            model(input_ids=ids)
    monkeypatch.setattr("transformers.integrations.sdpa_attention.sdpa_attention_forward", broken)
    model(input_ids=ids)
    with torch.no_grad(), pytest.raises(RuntimeError, match="used"):
        model(input_ids=ids)  # without gradients the fused kernel stays


def test_switched_off_adapters_stay_off(tiny_base: Path) -> None:
    import torch

    model = adapted(tiny_base)
    base = load_model(str(tiny_base), dtype="float32", device="cpu")
    fast.speed_up_adapters(model)
    ids = torch.randint(6, 300, (2, 9), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = base(input_ids=ids).logits
        assert not torch.allclose(model(input_ids=ids).logits, expected, atol=1e-3)
        with model.disable_adapter():
            torch.testing.assert_close(model(input_ids=ids).logits, expected)


def test_row_attention_is_refused_where_rows_would_mix(tiny_base: Path) -> None:
    """A model that does not hand the rows' bounds to its attention answers the question before training with no."""
    model = load_model(str(tiny_base), dtype="float32", device="cpu")
    assert fast.use_row_attention(model)
    deaf = load_model(str(tiny_base), dtype="float32", device="cpu")
    forward = deaf.forward

    def without_bounds(*arguments: Any, **keywords: Any) -> Any:
        return forward(
            *arguments, **{name: keywords[name] for name in keywords if not name.startswith("cu_seq")}
        )

    deaf.forward = without_bounds  # type: ignore[method-assign]
    assert not fast.use_row_attention(deaf)
    assert deaf.config._attn_implementation == "sdpa"


def test_what_needs_a_gpu_is_refused_without_one(tiny_base: Path) -> None:
    model = load_model(str(tiny_base), dtype="float32", device="cpu")
    with pytest.raises(MissingError, match="flash-attention needs a GPU"):
        fast.choose_attention(model, "flash_attention_2")
    with pytest.raises(MissingError, match="Liger"):
        fast.use_liger(model, True)
    assert not fast.use_liger(model, None)
    fast.choose_attention(model, "auto")
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("scaled", [False, True])
def test_losses_at_answers_are_those_of_all_logits(tiny_base: Path, scaled: bool) -> None:
    """Also where a model changes its logits after the head, as Gemma and Cohere do."""
    import torch
    from torch.nn.functional import cross_entropy

    model = adapted(tiny_base)
    base = model.get_base_model()
    if scaled:
        base.register_forward_hook(
            lambda _module, _inputs, out: out.__setitem__("logits", out.logits * 0.5) or out
        )
    ids = torch.randint(6, 300, (3, 24), generator=torch.Generator().manual_seed(1))
    learnt = torch.rand(3, 23, generator=torch.Generator().manual_seed(2)) < 0.4
    targets = ids[:, 1:][learnt]
    expected = cross_entropy(model(input_ids=ids).logits[:, :-1][learnt], targets, reduction="none")
    found = fast.answer_losses(model, learnt, targets, input_ids=ids)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_dropout_layers_draw_faster_and_only_while_training(tiny_base: Path) -> None:
    import torch

    model = adapted(tiny_base, lora_dropout=0.5)
    assert fast.speed_up_dropout(model.get_base_model()) == 14
    assert fast.speed_up_dropout(model.get_base_model()) == 0
    layer = next(part for part in model.modules() if type(part) is torch.nn.Dropout)
    x = torch.ones(1000)
    assert layer.eval()(x) is x
    assert set(layer.train()(x).tolist()) == {0.0, 2.0}
    ids = torch.randint(6, 300, (1, 8), generator=torch.Generator().manual_seed(1))
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(model.train()(input_ids=ids, labels=ids).loss.item())
    assert losses[0] == losses[1] != losses[2]


def test_attention_of_an_encoder_is_written_out_with_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """BERT drops attention weights; without dropout, losses and gradients are those of torch's kernel."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    model: Any = BertForSequenceClassification(config).train()
    model.set_attn_implementation("sdpa")
    ids = torch.randint(1, 50, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0

    def run(seed: int) -> tuple[float, Any]:
        torch.manual_seed(seed)
        model.zero_grad()
        loss = model(input_ids=ids, attention_mask=mask, labels=torch.tensor([0, 1])).loss
        loss.backward()
        return loss.item(), model.bert.embeddings.word_embeddings.weight.grad.clone()

    drops = [part for part in model.modules() if isinstance(part, torch.nn.Dropout)]
    for part in drops:
        part.p = 0.0
    expected, gradient = run(0)
    assert fast.speed_up_attention(model)
    used: list[float] = []
    written_out = kernels.attention

    def watched(*tensors: Any, **options: Any) -> Any:
        used.append(options["dropout"])
        return written_out(*tensors, **options)

    monkeypatch.setattr(kernels, "attention", watched)
    found, ours = run(0)
    assert found == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(ours, gradient, atol=1e-6, rtol=1e-4)
    for part in drops:
        part.p = 0.1
    assert run(1)[0] != run(2)[0]
    assert used == [0.0, 0.0, 0.1, 0.1, 0.1, 0.1]
