"""Batches, beams and shared prompts on models of several families: what one prompt gets alone, it gets in company."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows, save_tokenizer
from tunesmith.generate.stage import GenerateOptions, generate_predictions
from tunesmith.models.load import load_model, load_tokenizer, quiet
from tunesmith.records import GenerationNote, Prediction

ROWS = make_rows(16, split="test")
SETTINGS = {
    "beams": {"num_beams": 3},
    "warm": {"do_sample": True, "temperature": 1.2},
    "drawn-beams": {"do_sample": True, "num_beams": 2},
    "penal": {"repetition_penalty": 1.8},
}


def config_of(family: str, ids: dict[str, int]) -> Any:
    import transformers as t

    small: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
    }
    makers: dict[str, Callable[[], Any]] = {
        "llama": lambda: t.LlamaConfig(**small, **ids),
        # absolute positions, learnt
        "gpt2": lambda: t.GPT2Config(
            n_embd=32, n_layer=2, n_head=4, n_positions=256, initializer_range=0.3, resid_pdrop=0.3, **ids
        ),
        "qwen3": lambda: t.Qwen3Config(**small, head_dim=8, **ids),
        # a window of 8 tokens, shorter than every prompt, in every other layer
        "gemma3": lambda: t.Gemma3TextConfig(
            **small,
            head_dim=8,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention"],
            query_pre_attn_scalar=8,
            **ids,
        ),
        # convolutions beside attention: its cache holds more than keys and values
        "lfm2": lambda: t.Lfm2Config(
            **small, layer_types=["conv", "full_attention"], block_multiple_of=16, **ids
        ),
    }
    return makers[family]()


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen3", "gemma3", "lfm2"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp(request.param)
    save_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(3)
    with quiet():
        AutoModelForCausalLM.from_config(config_of(request.param, ids)).save_pretrained(folder)
    return request.param, folder


def answers(
    folder: Path, batch_size: int, note: Callable[[GenerationNote], None], **options: Any
) -> dict[tuple[str, str], Prediction]:
    given = {"dtype": "float32", "device": "cpu", "max_new_tokens": 8, "batch_size": batch_size} | options
    found = generate_predictions(
        ROWS, str(folder), {"base": None}, GenerateOptions.model_validate(given), note=note
    )
    return {(item.system, item.id): item for item in found}


def test_one_by_one_equals_sixteen_at_once(family: tuple[str, Path]) -> None:
    name, folder = family
    notes: list[GenerationNote] = []
    alone = answers(folder, 1, notes.append, settings=SETTINGS)
    together = answers(folder, 16, notes.append, settings=SETTINGS)
    assert {key: item.text for key, item in alone.items()} == {
        key: item.text for key, item in together.items()
    }
    for key, item in alone.items():
        assert item.reference_nll == pytest.approx(together[key].reference_nll, abs=1e-4)
    assert len({item.text for item in together.values()}) > len(ROWS), "the answers say something"
    assert {note.rule for note in notes} == ({"prefilled_apart"} if name == "lfm2" else set())


@pytest.mark.parametrize("beams", [1, 3])
def test_answers_equal_transformers_one_by_one(family: tuple[str, Path], beams: int) -> None:
    """The oracle: transformers' own `generate`, one prompt at a time, no padding, nothing shared."""
    import torch

    _, folder = family
    found = answers(folder, 16, lambda note: None, num_beams=beams)
    tokenizer = load_tokenizer(str(folder))
    model: Any = load_model(str(folder), dtype="float32", device="cpu")
    end = tokenizer.eos_token_id
    for row in ROWS[:6]:
        message = [{"role": "user", "content": row.prompt}]
        ids = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_tensors="pt")[
            "input_ids"
        ]
        with torch.no_grad(), quiet():
            output = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, num_beams=beams
            )
        new = [token for token in output[0, ids.shape[1] :].tolist() if token != end]
        assert found["base", row.id].text == tokenizer.decode(new, skip_special_tokens=True).strip()
