"""Encoder-decoders: what they read, what they learn, and that transformers agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny import WORDS, make_rows
from tests.tiny_tasks import Seq2SeqKind, save_tiny_seq2seq
from tunesmith.errors import InputError, MissingError
from tunesmith.generate.stage import GenerateOptions, generate_predictions
from tunesmith.models.load import ComputeOptions, quiet
from tunesmith.records import Refused, Row
from tunesmith.tasks.base import IGNORED, Rendered, base_for, open_task
from tunesmith.tasks.seq2seq import Seq2SeqTask, decoder_inputs
from tunesmith.train.stage import TrainOptions, train_adapter

COMPUTE = ComputeOptions(dtype="float32", device="cpu", threads=1)
KINDS: list[Seq2SeqKind] = ["t5", "flan-t5", "bart", "mbart", "pegasus"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save_tiny_seq2seq(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


def opened(folder: Path, **settings: Any) -> Seq2SeqTask:
    return Seq2SeqTask.open(str(folder), COMPUTE, **settings)


def rendered(task: Seq2SeqTask, rows: list[Row]) -> list[Rendered]:
    found = [task.render(row) for row in rows]
    assert all(isinstance(row, Rendered) for row in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("kind", KINDS)
def test_loss_equals_that_of_transformers(folders: dict[str, Path], kind: Seq2SeqKind) -> None:
    """The oracle is the model's own `labels=` on the same rows, and row by row the same without any padding."""
    import torch

    task = opened(folders[kind])
    model = task.load(str(folders[kind]), COMPUTE)
    batch = task.collate(rendered(task, make_rows(8)))
    with torch.no_grad():
        losses, owners = task.token_losses(model, batch)
        whole = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels)
        assert losses.mean().item() == pytest.approx(whole.loss.item(), abs=1e-6, rel=1e-6)
        for index, row in enumerate(make_rows(8)):
            single = task.collate(rendered(task, [row]))
            assert (single.labels != IGNORED).all()
            assert (single.attention_mask == 1).all()
            alone = model(input_ids=single.input_ids, labels=single.labels).loss
            assert losses[owners == index].mean().item() == pytest.approx(alone.item(), abs=2e-6)


def test_labels_of_t5_by_hand(folders: dict[str, Path]) -> None:
    task = opened(folders["t5"])
    tokenizer: Any = task.tokenizer
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    heat, pump, air = (
        tokenizer(word, add_special_tokens=False)["input_ids"] for word in ("heat", "pump", "air")
    )
    rows = [
        Row("a", "s", "pump air", "heat", "train"),
        Row("b", "s", "air", "pumpair", "train"),
    ]
    batch = task.collate(rendered(task, rows))
    first, second = [*heat, end], [*tokenizer("pumpair", add_special_tokens=False)["input_ids"], end]
    width = max(len(first), len(second))
    assert batch.labels.tolist() == [
        [*first, *[IGNORED] * (width - len(first))],
        [*second, *[IGNORED] * (width - len(second))],
    ]
    model = task.load(str(folders["t5"]), COMPUTE)
    # T5 begins with its padding token, and padding labels are read as padding
    assert decoder_inputs(model, batch.labels).tolist() == [
        [pad, *(pad if label == IGNORED else label for label in row[:-1])] for row in batch.labels.tolist()
    ]
    assert batch.input_ids[1, : len(air) + 1].tolist() == [*air, end]
    assert batch.attention_mask.sum(dim=1).tolist() == [len(row.input_ids) for row in rendered(task, rows)]
    assert pump  # the words are in the vocabulary


def test_decoder_begins_as_each_family_does(folders: dict[str, Path]) -> None:
    row = make_rows(1)[0]
    for kind, first in (
        ("t5", "<|pad|>"),
        ("bart", "<|end|>"),
        ("pegasus", "<|pad|>"),
        ("mbart", "<|system|>"),
    ):
        task = opened(folders[kind])
        model = task.load(str(folders[kind]), COMPUTE)
        batch = task.collate(rendered(task, [row]))
        given = decoder_inputs(model, batch.labels)[0].tolist()
        assert task.tokenizer.convert_ids_to_tokens(given[0]) == first
        # mBART's labels end with the language, which is what it begins with; the rest are moved by one
        assert given[1:] == batch.labels[0, :-1].tolist()
        end = task.tokenizer.eos_token_id
        assert batch.labels[0].tolist().count(end) == 1
        assert batch.labels[0, -2 if kind == "mbart" else -1] == end


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_padding_is_never_learnt(folders: dict[str, Path], kind: Seq2SeqKind) -> None:
    """Other padding ids, and more padding, change no loss and no gradient."""
    import torch

    task = opened(folders[kind])
    model = task.load(str(folders[kind]), COMPUTE)
    batch = task.collate(rendered(task, make_rows(5)))
    more, (n_rows, width) = 9, batch.labels.shape
    cut = type(batch)(
        batch.row_ids,
        torch.cat([batch.input_ids, torch.full((n_rows, more), 7)], dim=1),
        torch.cat([batch.attention_mask, torch.zeros((n_rows, more), dtype=torch.long)], dim=1),
        torch.cat([batch.labels, torch.full((n_rows, more), IGNORED)], dim=1),
    )
    cut.input_ids[cut.attention_mask == 0] = 7

    def gradient(of: Any) -> torch.Tensor:
        model.zero_grad()
        losses, _ = task.token_losses(model, of)
        losses.sum().backward()
        weight = model.get_input_embeddings().weight.grad
        assert weight is not None
        return weight.clone()

    assert cut.labels.shape[1] == width + more
    torch.testing.assert_close(gradient(cut), gradient(batch), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("truncate", "kept"), [("prompt_right", "first"), ("prompt_left", "last")])
def test_long_sources_are_cut_and_counted(folders: dict[str, Path], truncate: Any, kept: str) -> None:
    words = " ".join(WORDS * 6)
    row = Row("long", "s", f"first {words} last", "heat", "train")
    refused = opened(folders["t5"], max_length=24).render(row)
    assert isinstance(refused, Refused)
    assert refused.check == "too_long"
    assert "the limit is 24" in refused.reason
    task = opened(folders["t5"], max_length=24, truncate=truncate)
    (found,) = rendered(task, [row])
    assert len(found.input_ids) in (23, 24)
    assert found.input_ids[-1] == task.tokenizer.eos_token_id
    assert kept in task.pieces(found)[0][0]
    full = opened(folders["t5"], max_length=4000)
    assert found.n_cut == len(rendered(full, [row])[0].input_ids) - len(found.input_ids)
    long_answer = Row("r", "s", "heat", words, "train")
    outcome = opened(folders["t5"], max_target_length=16, truncate=truncate).render(long_answer)
    assert isinstance(outcome, Refused)
    assert "never cut" in outcome.reason


def test_control_tokens_in_a_text_are_broken_up(folders: dict[str, Path]) -> None:
    task = opened(folders["bart"])
    (found,) = rendered(task, [Row("a", "s", "x <|end|> y", "v <|end|> w", "train")])
    assert found.input_ids.count(task.tokenizer.eos_token_id) == 1
    assert found.labels.count(task.tokenizer.eos_token_id) == 1


def options(folder: Path, **changes: Any) -> TrainOptions:
    settings = {
        "base": str(folder),
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "lora_r": 8,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "warmup_ratio": 0.0,
        "max_steps": 60,
        "eval_steps": 1000,
        "per_device_train_batch_size": 4,
    }
    return TrainOptions.model_validate(settings | changes)


FEW = [
    Row(f"r{index}", f"s{index}", prompt, answer, "train")
    for index, (prompt, answer) in enumerate(
        [("heat pump", "warmth"), ("old houses in winter", "rooms and tanks"), ("water", "air from outside")]
    )
]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("flan-t5", {}),
        ("flan-t5", {"method": "dora"}),
        ("bart", {"lora_r": 16, "learning_rate": 6e-3, "max_steps": 120}),
        ("bart", {"method": "full", "lora_r": 16, "learning_rate": 3e-3}),
    ],
)
def test_learns_a_few_rows_and_says_them(
    folders: dict[str, Path], tmp_path: Path, kind: Seq2SeqKind, changes: dict[str, Any]
) -> None:
    base = str(folders[kind])
    settings = options(folders[kind], **changes)
    log = train_adapter(FEW, FEW, tmp_path / "tuned", settings, task="seq2seq")
    # tied, frozen output weights of 32 numbers bound how sure a tiny BART with an adapter can be
    assert log.validation_loss[-1][1] < (0.05 if kind == "flan-t5" or changes.get("method") else 0.3)
    assert log.trained_tokens < log.total_tokens
    systems = {"base": None, "tuned": tmp_path / "tuned"}
    for decoding in ({}, {"num_beams": 3}):
        generate = GenerateOptions(
            max_new_tokens=24, dtype="float32", device="cpu", threads=1, batch_size=2, **decoding
        )
        found = list(generate_predictions(FEW, base, systems, generate, task="seq2seq"))
        answers = {item.id: item for item in found if item.system == "tuned"}
        assert {name: item.text for name, item in answers.items()} == {row.id: row.completion for row in FEW}
        assert all(item.finish_reason == "eos" for item in answers.values())
        assert all(item.text != row.completion for item, row in zip(found, FEW, strict=False))
    # the perplexity of the references is that of the validation loss
    total = sum(item.reference_nll or 0 for item in answers.values())
    count = sum(item.reference_tokens or 0 for item in answers.values())
    assert total / count == pytest.approx(log.validation_loss[-1][1], abs=1e-4)


def test_plain_peft_loads_the_adapter(folders: dict[str, Path], tmp_path: Path) -> None:
    import peft
    import torch
    from transformers import AutoModelForSeq2SeqLM

    log = train_adapter(
        FEW, FEW, tmp_path, options(folders["t5"], target_modules=["q", "v"], max_steps=5), task="seq2seq"
    )
    with quiet():
        model = peft.PeftModel.from_pretrained(
            AutoModelForSeq2SeqLM.from_pretrained(folders["t5"], dtype=torch.float32), tmp_path
        )
    assert model.peft_config["default"].task_type == "SEQ_2_SEQ_LM"
    task = opened(folders["t5"])
    batch = task.collate(rendered(task, FEW))
    with torch.no_grad():
        loss = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
    assert loss.item() == pytest.approx(log.validation_loss[-1][1], abs=1e-5)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_one_at_a_time_and_sixteen_at_once(folders: dict[str, Path], kind: Seq2SeqKind) -> None:
    rows = make_rows(16, split="test")
    found = []
    for size in (1, 16):
        generate = GenerateOptions(
            systems=["base"], max_new_tokens=8, dtype="float32", device="cpu", threads=1, batch_size=size
        )
        answers = generate_predictions(rows, str(folders[kind]), {"base": None}, generate, task="seq2seq")
        found.append({item.id: item for item in answers})
    assert {name: item.text for name, item in found[0].items()} == {
        n: item.text for n, item in found[1].items()
    }
    for name, item in found[0].items():
        assert item.reference_nll == pytest.approx(found[1][name].reference_nll, abs=1e-4)


def test_half_precision_says_what_the_batch_changes(folders: dict[str, Path]) -> None:
    notes: list[Any] = []
    generate = GenerateOptions(
        systems=["base"], max_new_tokens=4, dtype="bfloat16", device="cpu", threads=1, batch_size=4
    )
    rows = make_rows(4, split="test")
    base = str(folders["bart"])
    list(generate_predictions(rows, base, {"base": None}, generate, task="seq2seq", note=notes.append))
    assert [note.rule for note in notes] == ["batch_effect"]
    assert notes[0].values["batch_size"] == 4


def test_greedy_answers_equal_those_of_transformers(folders: dict[str, Path]) -> None:
    import torch

    for kind in ("t5", "bart"):
        task = opened(folders[kind])
        model = task.load(str(folders[kind]), COMPUTE)
        rows = make_rows(4, split="test")
        generate = GenerateOptions(
            systems=["base"], max_new_tokens=8, dtype="float32", device="cpu", threads=1, batch_size=4
        )
        ours = {
            item.id: item.text
            for item in generate_predictions(
                rows, str(folders[kind]), {"base": None}, generate, task="seq2seq"
            )
        }
        for row in rows:
            ids = torch.tensor([task.tokenizer(row.prompt)["input_ids"]])
            output = model.generate(input_ids=ids, max_new_tokens=8, num_beams=1, do_sample=False)
            assert ours[row.id] == task.tokenizer.decode(output[0], skip_special_tokens=True).strip()


def test_goes_on_after_an_interruption(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    settings = options(folders["t5"], max_steps=8, save_steps=2, eval_steps=None)

    def stop(done: int, total: int | None, what: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_adapter(make_rows(20), [], tmp_path / "a", settings, task="seq2seq", progress=stop)
    log = train_adapter(make_rows(20), [], tmp_path / "a", settings, task="seq2seq")
    assert log.resumed_from_step == 4
    train_adapter(make_rows(20), [], tmp_path / "b", settings, task="seq2seq")
    one, other = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("a", "b"))
    assert all((one[name] == other[name]).all() for name in one)


def test_eight_times_one_equals_one_times_eight(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    states = []
    for batch, accumulation in ((8, 1), (1, 8)):
        settings = options(
            folders["t5"],
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            max_steps=3,
            optim="adafactor",
            eval_steps=None,
        )
        train_adapter(make_rows(20), [], tmp_path / str(batch), settings, task="seq2seq")
        states.append(load_file(tmp_path / str(batch) / "adapter_model.safetensors"))
    assert max((states[0][name] - states[1][name]).abs().max().item() for name in states[0]) < 1e-5


def test_a_decoder_is_no_encoder_decoder(tiny_base: Path) -> None:
    with pytest.raises(InputError, match="no encoder-decoder"):
        open_task("seq2seq", str(tiny_base), COMPUTE)
    with pytest.raises(MissingError, match="no model for the task seq2seq"):
        base_for("seq2seq", "builtin")
    with pytest.raises(InputError, match="max_target_length has no effect with task: causal"):
        train_adapter(FEW, [], Path("unused"), options(tiny_base, max_target_length=8))
