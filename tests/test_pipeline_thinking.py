"""Thoughts by one key of the plan, from the rows to the predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tasks.families import FAMILIES, save_family
from tests.tiny import make_rows
from tunesmith.config import parse_plan
from tunesmith.pipeline import run_plan
from tunesmith.plan import Plan
from tunesmith.records import Prediction
from tunesmith.store import read_rows

ASKED = "<|im_start|>user\nwhere is number 0?<|im_end|>\n<|im_start|>assistant\n"
THOUGHT, NONE = "<think>\nnumber 0\n</think>\n\n", "<think>\n\n</think>\n\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with a tokenizer in the manner of Qwen 3, and rows whose answers have thoughts."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("thinking")
    save_family(folder / "base", FAMILIES["qwen3"])
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    for split, n in (("train", 12), ("test", 3)):
        rows = [
            {
                "prompt": f"where is number {at}?",
                "completion": f"<think>\nnumber {at}\n</think>\n\n{row.completion}",
                "source_id": f"{split}{at}",
            }
            for at, row in enumerate(make_rows(n))
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("thinking", "prompt", "learnt"),
    [("keep", ASKED, THOUGHT), ("strip", ASKED, NONE), ("off", ASKED + NONE, "")],
)
def test_a_plan(study: Path, tmp_path: Path, thinking: str, prompt: str, learnt: str) -> None:
    text = f"""
name: t
prepare: {{data: train.jsonl, test_data: test.jsonl, split: {{validation: 0}}, leaks: allow, leak_meaning: 0}}
train: {{base: {study / "base"}, max_steps: 1, thinking: {thinking}, dtype: float32, device: cpu, threads: 1}}
generate: {{max_new_tokens: 4, dtype: float32, device: cpu, threads: 1}}
"""
    folder = run_plan(parse_plan(text, (), Plan, name="plan.yaml"), study, tmp_path / "run", until="generate")
    answer = make_rows(1)[0].completion
    log = json.loads((folder / "train/log.json").read_text(encoding="utf-8"))
    assert log["first_example"] == [[prompt, False], [f"{learnt}{answer}<|im_end|>", True]]
    for system in ("base", "tuned"):
        found = {item.id: item for item in read_rows(folder / f"generate/{system}.jsonl", Prediction)}
        wanted = {f"{THOUGHT if thinking == 'keep' else ''}{row.completion}" for row in make_rows(3)}
        references = {
            item.references[0].replace("number 1", "number 0").replace("number 2", "number 0")
            for item in found.values()
        }
        assert references == wanted
