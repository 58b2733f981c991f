"""Below float32 a run measures what the batch changes in its own answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.generate.stage import GenerateOptions, generate_predictions
from tunesmith.models.load import load_model, load_tokenizer
from tunesmith.records import GenerationNote, Prediction

ROWS = make_rows(18, split="test")


def answered(base: Path, **options: Any) -> tuple[list[Prediction], list[GenerationNote]]:
    notes: list[GenerationNote] = []
    given = {"dtype": "bfloat16", "device": "cpu", "max_new_tokens": 24} | options
    checked = GenerateOptions.model_validate(given)
    found = list(generate_predictions(ROWS, str(base), {"base": None}, checked, note=notes.append))
    return found, notes


def test_the_share_is_that_of_the_answers(tiny_base: Path) -> None:
    """The middle of three batches of six, longest prompts first, answered together and one by one."""
    together, notes = answered(tiny_base, batch_size=6, batch_check=6)
    alone = {item.id: item.text for item in answered(tiny_base, batch_size=1)[0]}
    middle = sorted(together, key=lambda item: (-(item.n_prompt_tokens or 0), item.id))[6:12]
    differ = sum(item.text != alone[item.id] for item in middle)
    (note,) = notes
    assert (note.system, note.rule) == ("base", "batch_effect")
    assert {name: note.values[name] for name in ("n", "n_differ", "share", "batch_size")} == {
        "n": 6,
        "n_differ": differ,
        "share": differ / 6,
        "batch_size": 6,
    }
    assert f"In bfloat16, {differ} of 6 answers of base differ" in note.text


def test_the_largest_difference_of_logits(tiny_base: Path) -> None:
    """The same prompts through the bare model: padded on the left with positions that begin at the text, and alone."""
    import torch

    together, notes = answered(tiny_base, batch_size=18, batch_check=18)
    tokenizer: Any = load_tokenizer(str(tiny_base))
    model: Any = load_model(str(tiny_base), dtype="bfloat16", device="cpu")
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": row.prompt}], add_generation_prompt=True)[
            "input_ids"
        ]
        for row in sorted(
            ROWS, key=lambda row: next(-(item.n_prompt_tokens or 0) for item in together if item.id == row.id)
        )
    ]
    longest = max(map(len, prompts))
    ids = torch.tensor([[5] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    with torch.no_grad():
        batched = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -1].float()
        single = [model(input_ids=torch.tensor([prompt])).logits[0, -1].float() for prompt in prompts]
    largest = max(float((one - row).abs().max()) for one, row in zip(single, batched, strict=True))
    assert largest > 0, "bfloat16 rounds differently in a batch, or there is nothing to measure"
    assert notes[0].values["largest_logit_difference"] == pytest.approx(largest)


@pytest.mark.parametrize("options", [{"dtype": "float32"}, {"batch_check": 0}, {"batch_size": 1}])
def test_nothing_is_measured_where_there_is_nothing_to_find(tiny_base: Path, options: dict[str, Any]) -> None:
    assert answered(tiny_base, max_new_tokens=2, **{"batch_size": 6} | options)[1] == []


def test_few_prompts_are_spread_over_the_batch(tiny_base: Path) -> None:
    _, notes = answered(tiny_base, max_new_tokens=2, settings={"beams": {"num_beams": 2}})
    assert [note.values["n"] for note in notes] == [4], "once for the system, under the main keys only"
