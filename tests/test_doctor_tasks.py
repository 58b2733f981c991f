"""The doctor of encoder-decoders and classifiers, and what it makes of an estimate of memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_doctor import ask, standings
from tests.tiny import save_tiny_model
from tests.tiny_tasks import make_labelled, save_tiny_classifier_base, save_tiny_seq2seq
from tunesmith.doctor.memory import estimate_training_bytes
from tunesmith.doctor.room import judge_memory
from tunesmith.tasks.base import Rendered
from tunesmith.train.options import TrainOptions


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def words_of(found: dict[str, Any], name: str) -> str:
    (words,) = [check["words"] for check in found["checks"] if check["name"] == name]
    return str(words)


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources of 7 to 14 words and targets of 3, with a BART."""
    folder = tmp_path_factory.mktemp("summaries")
    save_tiny_seq2seq(folder / "base", "bart")
    rows = [
        {"document": f"{row.prompt} {'and so on ' * (at % 4)}{at}", "summary": f"{row.completion} it is"}
        for at, row in enumerate(make_labelled(24))
    ]
    write_rows(folder / "rows.jsonl", rows)
    (folder / "plan.yaml").write_text(
        f"""
name: s
task: seq2seq
prepare: {{data: rows.jsonl, leaks: allow, leak_meaning: 0}}
train: {{base: {folder / "base"}, device: cpu, dtype: float32}}
generate: {{max_new_tokens: 16}}
""",
        encoding="utf-8",
    )
    return folder / "plan.yaml"


def test_an_encoder_decoder(summaries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask(capsys, str(summaries))
    assert code == 0, found
    names = (
        "decoder start",
        "stop tokens",
        "truncation",
        "prompts",
        "end learnt",
        "padding",
        "context",
        "memory",
    )
    assert {standings(found)[name] for name in names} == {"ok"}, found
    # BART's decoder starts with its end token
    assert words_of(found, "decoder start") == "the decoder starts with '<|end|>'"
    (source, asked), (target, learnt) = found["first_example"]
    assert (asked, learnt) == (False, True)
    assert source.startswith("<|begin|>")
    assert source.endswith("<|end|>")
    assert target.startswith("<|begin|>")
    assert target.endswith("it is<|end|>")


def test_a_source_that_is_cut_is_told_and_a_target_that_is_lost_fails(
    summaries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = ask(capsys, str(summaries), "train.max_length=8")
    assert (code, standings(found)["truncation"]) == (0, "note")
    assert "prompts cut" in words_of(found, "truncation")
    assert "8 tokens a source, of at most 8" in words_of(found, "context").replace("8 to 8 (median 8)", "8")
    code, found = ask(capsys, str(summaries), "train.max_target_length=3")
    assert (code, standings(found)["truncation"]) == (3, "failed")
    (check,) = [check for check in found["checks"] if check["name"] == "truncation"]
    assert "raise max_target_length" in check["do"]
    assert "max_lost_answers" in check["do"]


def test_a_decoder_that_begins_otherwise_in_use(
    summaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = save_tiny_seq2seq(tmp_path / "base", "t5")
    told = json.loads((base / "generation_config.json").read_text(encoding="utf-8"))
    told["decoder_start_token_id"] = 1
    (base / "generation_config.json").write_text(json.dumps(told), encoding="utf-8")
    code, found = ask(capsys, str(summaries), f"train.base={base}")
    assert (code, standings(found)["decoder start"]) == (3, "failed")
    assert "'<|pad|>' (config.json), in use with '<|end|>'" in words_of(found, "decoder start")


def test_a_causal_model_is_no_encoder_decoder(
    summaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = ask(capsys, str(summaries), f"train.base={save_tiny_model(tmp_path / 'llama')}")
    assert (code, standings(found)["base"]) == (3, "failed")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    save_tiny_classifier_base(folder / "base", "sentence-bert")
    for split, n in (("train", 40), ("test", 20)):
        rows = [
            {"text": f"{row.prompt} {split} {at}", "label": row.completion}
            for at, row in enumerate(make_labelled(n))
        ]
        if split == "test":
            rows.append({"text": "neither this nor that", "label": "mild"})
        write_rows(folder / f"{split}.jsonl", rows)
    (folder / "plan.yaml").write_text(
        f"""
name: l
task: classify
prepare: {{data: train.jsonl, test_data: test.jsonl, leaks: allow, leak_meaning: 0, split: {{validation: 0}}}}
train: {{base: {folder / "base"}, device: cpu, dtype: float32}}
""",
        encoding="utf-8",
    )
    return folder / "plan.yaml"


def test_a_classifier(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask(capsys, str(labelled))
    assert code == 3
    states = standings(found)
    names = ("labels", "head", "truncation", "prompts", "padding", "context", "memory", "disk")
    assert {states[name] for name in names} == {"ok"}, found
    n_cold = sum(row.completion == "cold" for row in make_labelled(40))
    assert words_of(found, "labels") == f"0 = 'cold' ({n_cold} rows), 1 = 'warm' ({40 - n_cold} rows)"
    assert words_of(found, "other labels") == (
        "1 of 21 validation and test rows have other labels: 'mild' (1); their answers can only be wrong"
    )
    assert "the mean of the tokens" in words_of(found, "head")
    (text, asked), (label, learnt) = found["first_example"]
    assert (asked, learnt) == (False, True)
    assert text.startswith("<|begin|>")
    assert label.strip(" →") in ("cold", "warm")


def test_labels_that_have_no_rows_are_rare_or_are_alone(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = ask(capsys, str(labelled), "train.labels=[cold,warm,mild]")
    assert (code, standings(found)["labels"], standings(found)["other labels"]) == (3, "failed", "ok")
    assert "no training row has the label 'mild'" in words_of(found, "labels")
    code, found = ask(capsys, str(labelled), "train.labels=[warm,mild]")
    assert "training rows have other labels: 'cold'" in " ".join(
        check["words"] for check in found["checks"] if check["name"] == "other labels"
    )
    text = labelled.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in (labelled.parent / "train.jsonl").read_text("utf-8").splitlines()]
    plan = tmp_path / "plan.yaml"
    plan.write_text(text, encoding="utf-8")
    write_rows(tmp_path / "test.jsonl", rows[:4])
    warm = [row for row in rows if row["label"] == "warm"]
    cold = next(row for row in rows if row["label"] == "cold")
    write_rows(tmp_path / "train.jsonl", [*warm, cold])
    code, found = ask(capsys, str(plan))
    assert (code, standings(found)["labels"]) == (0, "note")
    assert words_of(found, "labels").endswith("'cold' is rare")
    code, found = ask(capsys, str(plan), "train.class_weights=balanced")
    assert standings(found)["labels"] == "ok"
    write_rows(tmp_path / "train.jsonl", warm)
    code, found = ask(capsys, str(plan))
    assert (code, standings(found)["labels"]) == (3, "failed")
    assert "only one label" in words_of(found, "labels")


@pytest.mark.parametrize(
    ("needed", "least", "free", "total", "can_halve", "standing"),
    [
        (5, 1, 8, 10, False, "ok"),
        (9, 1, 8, 10, False, "note"),  # it would fit, were other programs not there
        (11, 1, 8, 10, False, "failed"),
        (11, 1, 8, 10, True, "note"),
        (30, 11, 8, 10, True, "failed"),
        (30, 11, None, None, True, "note"),
    ],
)
def test_what_an_estimate_of_memory_means(
    needed: int, least: int, free: int | None, total: int | None, can_halve: bool, standing: str
) -> None:
    gib = 1 << 30
    scaled = [None if value is None else value * gib for value in (free, total)]
    check = judge_memory(needed * gib, least * gib, *scaled, can_halve=can_halve)
    assert check.standing == standing


def test_too_large_a_batch_fails_before_it_is_run(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tunesmith.doctor.room.total_memory", lambda: 1000)
    monkeypatch.setattr("tunesmith.doctor.room.available_memory", lambda: 900)
    code, found = ask(capsys, str(labelled), "train.labels=[cold,warm,mild]")
    assert (code, standings(found)["memory"]) == (3, "failed")
    assert "too little" in words_of(found, "memory")


def test_memory_of_an_encoder_by_hand() -> None:
    """A BERT of 2 layers, hidden 32, feed-forward 64, 4 heads, without dropout; two rows, of 10 and 6 tokens."""
    from transformers import BertConfig

    config = BertConfig(
        vocab_size=325,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        attention_probs_dropout_prob=0.0,
    )
    rows = [Rendered("r", "s", tuple(range(n)), (1,), n) for n in (10, 6)]
    options = TrainOptions(lora_r=4, per_device_train_batch_size=2)
    trained = (
        2 * 4 * (8 * 32 + 2 * 96)
    )  # A and B of q, k, v, o (32 to 32), and of the two of 32 to 64 and back
    layer = 20 * (12 * 32 + 4 * 64 + 2 * 32)
    expected = 1000 * 4 + trained * 16 + 2 * layer * 4  # and no logits to speak of
    assert estimate_training_bytes(config, 1000, options, rows, 4) == expected
    weights = 2 * 4 * 2 * 10 * 10 * 4  # layers, heads, rows, positions, positions, bytes
    assert estimate_training_bytes(config, 1000, options, rows, 4, keeps_attention=True) == expected + weights
    config.attention_probs_dropout_prob = 0.1
    dropping = estimate_training_bytes(config, 1000, options, rows, 4, keeps_attention=True)
    assert dropping == expected + 2 * weights


def test_memory_of_an_encoder_decoder_by_hand() -> None:
    """A T5 of 2 and 1 layers, hidden 32, plain feed-forward 64, 4 heads; a source of 10 tokens, a target of 4."""
    from transformers import T5Config

    config = T5Config(
        vocab_size=325,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=1,
        num_heads=4,
        feed_forward_proj="relu",
        dropout_rate=0.0,
    )
    row = Rendered("r", "s", tuple(range(10)), (5, 6, 7, 1), 10, n_target=4)
    options = TrainOptions(lora_r=4, per_device_train_batch_size=1)
    attention, forward = 8 * 32, 2 * 96
    trained = 4 * (2 * (attention + forward) + (2 * attention + forward))
    a_token = 12 * 32 + 4 * 64 + 2 * 32
    kept = 2 * 10 * a_token + 4 * (a_token + 6 * 32) + 10 * 2 * 32
    logits = 3 * 4 * 4 * 325
    expected = 1000 * 4 + trained * 16 + kept * 4 + logits
    assert estimate_training_bytes(config, 1000, options, [row], 4) == expected
    weights = 2 * 4 * 100 + 4 * (16 + 40)  # of the encoder, of the decoder to itself and to the source
    with_attention = estimate_training_bytes(config, 1000, options, [row], 4, keeps_attention=True)
    assert with_attention == expected + weights * 4
