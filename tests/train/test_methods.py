"""What is trained: bases in 4 bits, groups of layers, whole layers beside an adapter, tokens of one's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows, save_tiny_model
from tunesmith.errors import GateError, InputError, MissingError
from tunesmith.models.load import ComputeOptions, load_model, quiet
from tunesmith.records import Row
from tunesmith.tasks.base import open_task
from tunesmith.tasks.templates import trained_with
from tunesmith.train.families import FAMILIES, GROUPS, layers_of
from tunesmith.train.stage import TrainOptions, train_adapter

Options = Callable[..., TrainOptions]


@pytest.fixture
def options(tiny_base: Path) -> Options:
    def make(**changes: Any) -> TrainOptions:
        settings = {
            "base": str(tiny_base),
            "dtype": "float32",
            "device": "cpu",
            "learning_rate": 5e-3,
            "max_steps": 2,
        }
        return TrainOptions.model_validate(settings | changes)

    return make


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "adapter_model.safetensors"))


def has_bitsandbytes() -> bool:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.fixture(scope="module")
def wide_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 64 and 128 columns, as bitsandbytes needs them on a CPU."""
    return save_tiny_model(tmp_path_factory.mktemp("wide"), hidden=64)


needs_bitsandbytes = pytest.mark.skipif(not has_bitsandbytes(), reason="bitsandbytes is not installed")


class TestFourBits:
    @needs_bitsandbytes
    def test_weights_are_nf4_with_double_quantisation(self, wide_base: Path, options: Options) -> None:
        """Dequantised by bitsandbytes, every weight is one of the 16 NF4 values times the scale of its block of 64."""
        import bitsandbytes
        import torch

        # Appendix E of Dettmers et al. 2023.
        nf4 = torch.tensor(
            [
                *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
                *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
                *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941),
                *(0.7229568362236023, 1.0),
            ]
        )
        model = load_model(
            str(wide_base),
            dtype="float32",
            device="cpu",
            compute=options(base=str(wide_base), method="qlora"),
        )
        plain = load_model(str(wide_base), dtype="float32", device="cpu")
        layer: Any = model.get_submodule("model.layers.0.mlp.up_proj")
        assert type(layer).__name__ == "Linear4bit"
        assert layer.weight.dtype == torch.uint8
        state = layer.weight.quant_state
        assert (state.quant_type, state.nested, state.blocksize) == ("nf4", True, 64)
        original: Any = plain.get_submodule("model.layers.0.mlp.up_proj")
        back = bitsandbytes.functional.dequantize_4bit(layer.weight.data, state)
        blocks, exact = back.reshape(-1, 64), original.weight.detach().reshape(-1, 64)
        scales = exact.abs().amax(dim=1, keepdim=True)
        nearest = nf4[(exact / scales).unsqueeze(-1).sub(nf4).abs().argmin(-1)] * scales
        # Double quantisation holds the scales in 8 bits: they come back within one or two per cent.
        assert ((blocks - nearest).abs() <= 0.02 * scales).all()
        assert layer.compute_dtype == torch.float32

    @needs_bitsandbytes
    def test_learns_on_it_and_plain_peft_agrees(
        self, wide_base: Path, options: Options, tmp_path: Path
    ) -> None:
        import peft
        import torch

        validation = make_rows(6, split="validation")
        made = options(base=str(wide_base), method="qlora", max_steps=12)
        log = train_adapter(make_rows(24), validation, tmp_path, made)
        first, last = log.train_loss[0][1], log.train_loss[-1][1]
        assert last < first - 0.3
        plain = load_model(str(wide_base), dtype="float32", device="cpu")
        n_base = sum(part.numel() for part in plain.parameters())
        assert log.total_parameters == n_base + log.trainable_parameters
        card = json.loads((tmp_path / "tunesmith.json").read_text(encoding="utf-8"))
        assert card["train"]["load_in_4bit"] is True
        with quiet():
            model = peft.PeftModel.from_pretrained(
                load_model(str(wide_base), dtype="float32", device="cpu", compute=made), tmp_path
            )
        task = open_task("causal", str(wide_base), made)
        batch = task.collate([task.render(row) for row in validation])  # type: ignore[misc]
        with torch.no_grad():
            output = model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels
            )
        assert output.loss.item() == pytest.approx(min(loss for _, loss in log.validation_loss), abs=1e-4)

    @needs_bitsandbytes
    def test_shapes_that_the_cpu_kernel_reads_wrongly(self, options: Options, tmp_path: Path) -> None:
        with pytest.raises(MissingError, match="needs a multiple of 64"):
            train_adapter(make_rows(8), [], tmp_path, options(method="qlora"))

    @needs_bitsandbytes
    def test_a_look_at_the_validation_rows_does_not_change_the_base(
        self, options: Options, tmp_path: Path
    ) -> None:
        """bitsandbytes repacks weights at the first look without gradients, and rounds their scales."""
        import torch
        from bitsandbytes.nn import Linear4bit, Params4bit

        from tunesmith.models.quantised import keep_as_quantised

        torch.manual_seed(0)
        layer = Linear4bit(128, 64, bias=False, compute_dtype=torch.float32)
        layer.weight = Params4bit(torch.randn(64, 128), requires_grad=False, quant_type="nf4")
        layer.to("cpu")
        keep_as_quantised(layer)
        before = layer.weight.data.clone()
        layer.eval()
        with torch.no_grad():
            layer(torch.randn(2, 128))
        assert torch.equal(layer.weight.data, before)

    def test_without_the_package(
        self, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "bitsandbytes", None)
        for changes, key in (
            ({"method": "qlora"}, "train.method"),
            ({"optim": "paged_adamw_8bit"}, "train.optim"),
        ):
            with pytest.raises(MissingError, match="needs the package bitsandbytes") as caught:
                train_adapter(make_rows(8), [], tmp_path, options(**changes))
            assert caught.value.exit_code == 4
            assert caught.value.where == key
            assert "pip install" in str(caught.value.do)

    @needs_bitsandbytes
    def test_where_the_device_cannot(
        self, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import bitsandbytes

        def no_kernel(*_: Any, **__: Any) -> None:
            raise NotImplementedError("no kernel for this device\nand more")

        monkeypatch.setattr(bitsandbytes.functional, "quantize_4bit", no_kernel)
        with pytest.raises(MissingError, match=r"cannot be had on cpu \(no kernel for this device\)"):
            train_adapter(make_rows(8), [], tmp_path, options(method="qlora"))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"method": "full", "load_in_4bit": True}, "weights in 4 bits cannot be trained"),
            ({"method": "qlora", "load_in_4bit": False}, "load_in_4bit is false"),
            ({"bnb_4bit_quant_type": "fp4"}, "bnb_4bit_quant_type has no effect"),
            (
                {"method": "full", "modules_to_save": ["lm_head"]},
                "modules_to_save has no effect with method: full",
            ),
        ],
    )
    def test_what_goes_together(self, options: Options, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            options(**changes)


@needs_bitsandbytes
@pytest.mark.parametrize("optim", ["adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"])
def test_bitsandbytes_optimisers(options: Options, tmp_path: Path, optim: str) -> None:
    """Paged AdamW in 32 bits is AdamW; those in 8 bits keep small tensors, such as all of these, in 32 bits."""
    rows = make_rows(16)
    train_adapter(rows, [], tmp_path / "a", options(max_steps=4))
    train_adapter(rows, [], tmp_path / "b", options(max_steps=4, optim=optim))
    one, other = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 1e-4


def test_betas_and_epsilon_have_an_effect(options: Options, tmp_path: Path) -> None:
    rows = make_rows(16)
    settings: list[dict[str, Any]] = [{}, {"adam_beta1": 0.5}, {"adam_beta2": 0.9}, {"adam_epsilon": 1e-2}]
    settings += [{"weight_decay": 0.5}, {"max_grad_norm": 0.01, "adam_epsilon": 1e-3}, {"optim": "adafactor"}]
    found = []
    for at, changes in enumerate(settings):
        train_adapter(rows, [], tmp_path / str(at), options(max_steps=3, **changes))
        found.append(weights(tmp_path / str(at)))
    for at in range(1, len(found)):
        assert max((found[0][name] - found[at][name]).abs().max().item() for name in found[0]) > 1e-6, (
            settings[at]
        )
    with pytest.raises(ValueError, match="adam_beta1 has no effect with optim: adafactor"):
        options(optim="adafactor", adam_beta1=0.8)


@pytest.mark.parametrize(
    ("group", "layers"),
    [
        ("attention", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("query_value", {"q_proj", "v_proj"}),
        ("feed_forward", {"gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_groups_of_layers(options: Options, tmp_path: Path, group: str, layers: set[str]) -> None:
    train_adapter(make_rows(8), [], tmp_path, options(target_modules=group, max_steps=1))
    assert {name.split(".")[-3] for name in weights(tmp_path)} == layers


CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2},
    "gptj": {"n_embd": 16, "n_layer": 1, "n_head": 2, "rotary_dim": 4},
    "bloom": {"hidden_size": 16, "n_layer": 1, "n_head": 2},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2},
    "mt5": {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2},
    "distilbert": {"dim": 16, "hidden_dim": 16, "n_layers": 1, "n_heads": 2},
}
"""How small models are described, where a family has names of its own for that."""
BY_BART = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_table_of_families_is_that_of_transformers(family: str) -> None:
    """A small model of the family: attention and feed-forward together are all its linear layers but the head."""
    import torch
    import transformers
    from transformers import AutoConfig

    usual = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 16,
        "ffn_dim": 16,
        "word_embed_proj_dim": 16,
        "embedding_size": 16,
    }
    sizes = CONFIGS.get(family) or (BY_BART if family in {"bart", "mbart", "pegasus"} else usual)
    config = AutoConfig.for_model(family, vocab_size=64, pad_token_id=0, **sizes)
    if family in {"t5", "mt5"}:
        config.dense_act_fn, config.is_gated_act = "gelu_new", family == "mt5"
    kinds = {
        "t5": "Seq2SeqLM",
        "mt5": "Seq2SeqLM",
        "bart": "Seq2SeqLM",
        "mbart": "Seq2SeqLM",
        "pegasus": "Seq2SeqLM",
    }
    kinds |= dict.fromkeys(("bert", "roberta", "electra", "distilbert"), "MaskedLM")
    loader: Any = getattr(transformers, f"AutoModelFor{kinds.get(family, 'CausalLM')}")
    with torch.device("meta"):
        model = loader.from_config(config)
    body = [
        name
        for name, part in model.named_modules()
        if (isinstance(part, torch.nn.Linear) or type(part).__name__ == "Conv1D")
        and ("layer" in name or ".h." in name or "block" in name)
        and "embedding_hidden" not in name
    ]
    assert body

    def matched(names: list[str] | None) -> set[str]:
        return {
            layer for layer in body for name in names or [] if layer == name or layer.endswith(f".{name}")
        }

    attention, forward = matched(layers_of(family, "attention")), matched(layers_of(family, "feed_forward"))
    overlap = {layer for layer in attention & forward if not layer.endswith("attention.output.dense")}
    assert not overlap
    assert attention | forward == set(body)
    assert matched(layers_of(family, "query_value")) < attention
    assert all(layers_of("never heard of", group) is None for group in GROUPS)


def test_a_layer_trained_as_a_whole(options: Options, tmp_path: Path, tiny_base: Path) -> None:
    """Beside the adapter; in bfloat16, too, where it is trained in float32 all the same."""
    import torch

    name = "base_model.model.model.norm.weight"
    for dtype in ("float32", "bfloat16"):
        folder = tmp_path / dtype
        train_adapter(make_rows(8), [], folder, options(modules_to_save=["norm"], dtype=dtype))
        saved = weights(folder)[name]
        assert saved.dtype == torch.float32
        before: Any = load_model(str(tiny_base), dtype="float32", device="cpu").get_submodule("model.norm")
        # AdamW's first step of 5e-3 is lost in bfloat16, where 1 is followed by 1.0078.
        assert 1e-3 < (saved - before.weight).abs().max().item() < 0.02
    with pytest.raises(InputError, match="no layer 'head_of_all'") as caught:
        train_adapter(make_rows(8), [], tmp_path, options(modules_to_save=["head_of_all"]))
    assert "lm_head" in str(caught.value.do)


class TestAddedTokens:
    rows = [
        Row(f"t{at}", "s", f"{words}?", f"{words}<stop>now", "train")
        for at, words in enumerate(["warm air", "cold water", "old houses", "heat pump"])
    ]

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_its_logits_survive_a_reload(
        self, options: Options, tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
    ) -> None:
        import peft
        import torch

        from tunesmith.train import trainer

        made = options(added_tokens=["<stop>"], max_steps=6, learning_rate=5e-2, dtype=dtype)
        seen: list[Any] = []
        save = trainer.save_trained
        new = 325  # the tiny tokenizer has 325 tokens
        ids = torch.tensor([[10, 20, 30, new, 40]])

        def look_then_save(model: Any, folder: Path) -> None:
            model.eval()
            with torch.no_grad():
                seen.append(model(input_ids=ids).logits.float())
            save(model, folder)

        monkeypatch.setattr(trainer, "save_trained", look_then_save)
        train_adapter(self.rows, [], tmp_path, made)
        task = open_task("causal", str(tiny_base), made, template=trained_with([tmp_path]))
        assert task.new_ids == (new,)
        base = task.load(str(tiny_base), made)
        with quiet(), torch.no_grad():
            before = base(input_ids=ids).logits.float()
            after = peft.PeftModel.from_pretrained(base, tmp_path).eval()(input_ids=ids).logits.float()
        close = (
            1e-4 if dtype == "float32" else 0.1
        )  # peft's own LoRA layers round bfloat16 at other places than ours
        torch.testing.assert_close(after, seen[-1], atol=close, rtol=close)
        assert (after - before)[..., new].abs().max() > 0.15

    def test_new_rows(self, options: Options, tmp_path: Path, tiny_base: Path) -> None:
        import torch

        made = options(added_tokens=["<stop>"])
        task = open_task("causal", str(tiny_base), made, template=made)
        model = task.load(str(tiny_base), made)
        rows = model.get_input_embeddings().weight.detach()  # type: ignore[union-attr]
        assert rows.shape[0] == 326
        torch.testing.assert_close(rows[325], rows[:325].mean(0), atol=1e-6, rtol=1e-5)
        train_adapter(self.rows, [], tmp_path, made)
        trained = [name for name in weights(tmp_path) if "token_adapter" in name]
        assert [weights(tmp_path)[name].shape for name in trained] == [(1, 32)]
        assert (tmp_path / "tokenizer.json").is_file()

    def test_a_tokenizer_that_has_outgrown_its_model(
        self, options: Options, tmp_path: Path, tiny_base: Path
    ) -> None:
        import shutil

        from transformers import AutoTokenizer

        folder = Path(shutil.copytree(tiny_base, tmp_path / "base"))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(["<stop>", "<go>"])
        tokenizer.save_pretrained(folder)
        made = options(base=str(folder))
        assert open_task("causal", str(folder), made).new_ids == (325, 326)
        train_adapter(self.rows, [], tmp_path / "tuned", made)
        (rows,) = [part for name, part in weights(tmp_path / "tuned").items() if "token_adapter" in name]
        assert rows.shape == (2, 32)


def test_too_many_lost_answers_stop_the_run(options: Options, tmp_path: Path) -> None:
    rows = [Row(f"r{at}", "s", "heat?", "warm air", "train") for at in range(40)]
    long = Row("long", "s", " ".join(["heat"] * 80), "warm air", "train")
    task = open_task("causal", options().base, ComputeOptions())
    answer = task.answer_length(long)
    share = answer / (41 * answer)
    assert share > 0.01
    with pytest.raises(GateError, match=r"2\.4% of the answers' tokens would be lost") as caught:
        train_adapter([*rows, long], [], tmp_path, options(max_length=64, max_steps=1))
    assert caught.value.exit_code == 3
    allowed = train_adapter(
        [*rows, long], [], tmp_path, options(max_length=64, max_steps=1, max_lost_answers=0.05)
    )
    assert len(allowed.refused) == 1


def test_early_stopping_needs_validation_rows(options: Options, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="early_stopping_patience has no effect: there are no validation rows"
    ):
        train_adapter(make_rows(8), [], tmp_path, options(early_stopping_patience=2))
