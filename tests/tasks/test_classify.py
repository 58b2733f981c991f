"""Classifiers: what stands for a text, what is learnt and kept, and what they are held against."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import WORDS, make_rows
from tests.tiny_tasks import ClassifierKind, make_labelled, save_tiny_classifier_base
from tunesmith.errors import GateError, InputError
from tunesmith.generate.classify import classify_texts
from tunesmith.generate.stage import GenerateOptions
from tunesmith.models.classifier import choose_pooling, class_logits, head_modules, pooled_states
from tunesmith.models.load import ComputeOptions, load_tokenizer, quiet
from tunesmith.records import Prediction, Refused, Row
from tunesmith.tasks.base import Rendered, base_for
from tunesmith.tasks.classify import ClassifyTask, Head
from tunesmith.tasks.labels import find_labels, weigh_labels
from tunesmith.train.stage import TrainOptions, train_adapter

COMPUTE = ComputeOptions(dtype="float32", device="cpu", threads=1)
KINDS: list[ClassifierKind] = ["bert", "distilbert", "roberta", "llama", "qwen3", "sentence-bert"]
LABELS = Head(("cold", "warm"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save_tiny_classifier_base(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


def opened(folder: Path, head: Head = LABELS, **settings: Any) -> ClassifyTask:
    return ClassifyTask.open(str(folder), COMPUTE, head=head, **settings)


def rendered(task: ClassifyTask, rows: list[Row]) -> list[Rendered]:
    found = [task.render(row) for row in rows]
    assert all(isinstance(row, Rendered) for row in found)
    return found  # type: ignore[return-value]


def options(folder: Path, **changes: Any) -> TrainOptions:
    settings = {
        "base": str(folder),
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "lora_r": 4,
        "learning_rate": 5e-3,
        "num_train_epochs": 3,
        "metric_for_best_model": "f1",
    }
    return TrainOptions.model_validate(settings | changes)


GENERATE = GenerateOptions(dtype="float32", device="cpu", threads=1, batch_size=16)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "llama", "qwen3"])
def test_logits_equal_those_of_transformers(folders: dict[str, Path], kind: ClassifierKind) -> None:
    """Where the model's own pooling is right, the oracle is its own forward; alone and in company alike."""
    import torch

    task = opened(folders[kind])
    model = task.load(str(folders[kind]), COMPUTE)
    batch = task.collate(rendered(task, make_labelled(6)))
    with torch.no_grad():
        ours = task.logits(model, batch)
        theirs = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
        losses, owners = task.token_losses(model, batch)
        for index, row in enumerate(make_labelled(6)):
            alone = task.logits(model, task.collate(rendered(task, [row])))
            torch.testing.assert_close(alone[0], ours[index], atol=1e-5, rtol=1e-4)
    assert owners.tolist() == [0, 1, 2, 3, 4, 5]
    expected = torch.nn.CrossEntropyLoss()(theirs, batch.labels[:, 0])
    assert losses.mean().item() == pytest.approx(expected.item(), abs=1e-6)
    assert (model.config.id2label, model.config.label2id) == (
        {0: "cold", 1: "warm"},
        {"cold": 0, "warm": 1},
    )


def test_last_token_is_found_by_place_and_not_by_id(folders: dict[str, Path]) -> None:
    """A text that ends with the padding token: transformers looks one token too early, and we do not."""
    import torch

    task = opened(folders["llama"])
    model = task.load(str(folders["llama"]), COMPUTE)
    ids = torch.tensor([[50, 60, model.config.pad_token_id]])
    mask = torch.ones_like(ids)
    with torch.no_grad():
        states = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        ours = class_logits(model, ids, mask, "last")
        torch.testing.assert_close(ours, model.score(states[:, 2]), atol=1e-6, rtol=1e-5)
        assert (model(input_ids=ids, attention_mask=mask).logits - ours).abs().max() > 1e-3


def test_mean_of_the_tokens_by_hand(folders: dict[str, Path]) -> None:
    import torch

    folder = folders["sentence-bert"]
    assert choose_pooling(str(folder)) == "mean"
    assert [choose_pooling(str(folders[kind])) for kind in ("bert", "llama")] == ["own", "last"]
    task = opened(folder)
    model = task.load(str(folder), COMPUTE)
    batch = task.collate(rendered(task, make_labelled(5)))
    with torch.no_grad():
        states = model.bert(input_ids=batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        means = torch.stack(
            [
                row[: int(mask.sum())].mean(dim=0)
                for row, mask in zip(states, batch.attention_mask, strict=True)
            ]
        )
        torch.testing.assert_close(
            pooled_states(model, batch.input_ids, batch.attention_mask, "mean"), means, atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(task.logits(model, batch), model.classifier(means), atol=1e-5, rtol=1e-4)


def test_labels_are_found_in_a_fixed_order() -> None:
    rows = [
        replace(row, completion=label)
        for row, label in zip(make_labelled(4), ["10", "2", "b", "a"], strict=True)
    ]
    assert find_labels(rows, None) == ("2", "10", "a", "b")
    assert find_labels(rows[::-1], None) == ("2", "10", "a", "b")
    assert find_labels(rows, ["b", "a", "2", "10"]) == ("b", "a", "2", "10")
    assert find_labels(rows, None, known=("a", "b", "10", "2")) == ("a", "b", "10", "2")
    assert find_labels(rows, None, known=("a", "b", "c", "2")) == ("2", "10", "a", "b")
    with pytest.raises(GateError, match="only one label"):
        find_labels(rows[:1], None)
    with pytest.raises(InputError, match="51 different texts"):
        find_labels([replace(rows[0], completion=str(number)) for number in range(51)], None)


def test_class_weights_equal_those_of_scikit_learn() -> None:
    import numpy
    from sklearn.utils.class_weight import compute_class_weight

    rows = make_labelled(20, every=5)
    answers = [row.completion for row in rows]
    expected = compute_class_weight("balanced", classes=numpy.array(["cold", "warm"]), y=answers)
    found = weigh_labels(("cold", "warm"), rows, "balanced")
    assert found == pytest.approx(tuple(expected))
    assert found == pytest.approx((20 / (2 * 4), 20 / (2 * 16)))
    given = weigh_labels(("cold", "warm"), rows, {"warm": 1, "cold": 4})
    assert given == pytest.approx(found)
    assert weigh_labels(("cold", "warm"), rows, None) is None
    with pytest.raises(InputError, match="the labels are cold, warm"):
        weigh_labels(("cold", "warm"), rows, {"warm": 1, "hot": 4})


def test_weighted_loss_equals_that_of_torch(folders: dict[str, Path]) -> None:
    import torch

    rows = make_labelled(10, every=5)
    weights = weigh_labels(LABELS.labels, rows, "balanced")
    task = opened(folders["bert"], Head(LABELS.labels, weights))
    model = task.load(str(folders["bert"]), COMPUTE)
    batch = task.collate(rendered(task, rows))
    with torch.no_grad():
        losses, _ = task.token_losses(model, batch)
        logits = task.logits(model, batch)
    oracle = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))(logits, batch.labels[:, 0])
    assert losses.mean().item() == pytest.approx(oracle.item(), abs=1e-6)


@pytest.mark.parametrize("kind", ["sentence-bert", "distilbert", "llama"])
def test_learns_and_plain_peft_loads_head_and_adapter(
    folders: dict[str, Path], tmp_path: Path, kind: ClassifierKind
) -> None:
    import peft
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification

    train, held_out = make_labelled(48), make_labelled(20, split="validation")
    log = train_adapter(train, held_out, tmp_path, options(folders[kind]), task="classify")
    curve = dict(log.validation_metrics["f1"])
    assert log.best_by == "f1"
    assert log.best_step == min(step for step, value in curve.items() if value == max(curve.values()))
    assert max(curve.values()) > 0.85
    card = json.loads((tmp_path / "tunesmith.json").read_text(encoding="utf-8"))
    assert card["labels"] == ["cold", "warm"]
    task = opened(folders[kind])
    heads = head_modules(task.load(str(folders[kind]), COMPUTE))
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert all(any(f".{head}." in name and "lora" not in name for name in saved) for head in heads)
    assert not any("pooler" in name for name in saved)
    with quiet():
        base = AutoModelForSequenceClassification.from_pretrained(
            folders[kind], num_labels=2, dtype=torch.float32
        )
        model = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    batch = task.collate(rendered(task, held_out))
    with torch.no_grad():
        found = task.logits(model, batch).argmax(dim=-1)
    right = (found == batch.labels[:, 0]).float().mean().item()
    assert right == pytest.approx(dict(log.validation_metrics["accuracy"])[log.best_step], abs=1e-6)


def test_best_epoch_is_that_of_the_metric(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.train.trainer import AnswerTrainer

    def train(**changes: Any) -> int | None:
        found = iter([(0.5, 0.6), (0.3, 0.7), (0.4, 0.9), (0.2, 0.9)])
        monkeypatch.setattr(
            AnswerTrainer, "validate", lambda _: dict(zip(("loss", "f1"), next(found), strict=True))
        )
        settings = options(folders["bert"], num_train_epochs=4, per_device_train_batch_size=16, **changes)
        rows = make_labelled(16)
        return train_adapter(rows, rows, tmp_path / str(changes), settings, task="classify").best_step

    assert train() == 3
    assert train(metric_for_best_model="loss") == 4


def test_eight_times_one_equals_one_times_eight(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    states = []
    for batch, accumulation in ((8, 1), (1, 8)):
        settings = options(
            folders["bert"],
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            max_steps=3,
            optim="adafactor",
            class_weights="balanced",
        )
        train_adapter(make_labelled(20, every=4), [], tmp_path / str(batch), settings, task="classify")
        states.append(load_file(tmp_path / str(batch) / "adapter_model.safetensors"))
    assert max((states[0][name] - states[1][name]).abs().max().item() for name in states[0]) < 1e-5


def test_long_texts_keep_their_beginning_and_end(folders: dict[str, Path]) -> None:
    text = f"first {' '.join(WORDS * 8)} last"
    row = Row("long", "s", text, "warm", "train")
    assert isinstance(opened(folders["bert"]).render(row), Refused)
    task = opened(folders["bert"], truncate="prompt_middle", max_length=40)
    (found,) = rendered(task, [row])
    words = task.pieces(found)[0][0]
    assert "first" in words
    assert "last" in words
    assert 38 <= len(found.input_ids) <= 40
    assert found.n_cut == len(task._ids(text)) - len(found.input_ids)
    begin, end = task.tokenizer.bos_token_id, task.tokenizer.eos_token_id
    assert (found.input_ids[0], found.input_ids[-1]) == (begin, end)
    # a quarter of what is kept stands before the cut
    kept = words.replace("<|begin|>", "").replace("<|end|>", "")
    head = len(text) - len(text.removeprefix(kept[: kept.index(" ", 8)]))
    assert 0 < head < len(kept) / 2
    assert (
        opened(folders["roberta"]).context_length
        == 70 - load_tokenizer(str(folders["roberta"])).pad_token_id - 1
    )


def test_a_label_nobody_named_is_refused_and_counted(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = [*make_labelled(8), replace(make_labelled(1)[0], id="odd", completion="lukewarm")]
    settings = options(folders["bert"], labels=["warm", "cold"], max_steps=1)
    log = train_adapter(rows, [], tmp_path, settings, task="classify")
    assert [(item.id, item.check) for item in log.refused] == [("odd", "unknown_label")]
    assert json.loads((tmp_path / "tunesmith.json").read_text(encoding="utf-8"))["labels"] == ["warm", "cold"]
    with pytest.raises(InputError, match="labels has no effect with task: causal"):
        train_adapter(make_rows(2), [], tmp_path, settings)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_held_against_what_needs_no_tuning(folders: dict[str, Path], tmp_path: Path, method: str) -> None:
    """The frozen base with scikit-learn's logistic regression, a random head and the majority, on the same texts."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folder = folders["sentence-bert"]
    train, test = make_labelled(40, every=3), make_labelled(20, split="test")
    lr = 1e-3 if method == "full" else 5e-3
    rank = {"lora_r": 16} if method == "full" else {}
    settings = options(folder, method=method, learning_rate=lr, num_train_epochs=8, **rank)
    train_adapter(train, train, tmp_path, settings, task="classify")
    systems = {"base": None, "tuned": tmp_path}
    found = list(classify_texts(test, str(folder), systems, GENERATE, train=train))
    by_system: dict[str, list[Prediction]] = {}
    for item in found:
        by_system.setdefault(item.system, []).append(item)
    assert list(by_system) == ["majority", "random head", "base", "tuned"]
    assert all([item.id for item in items] == [row.id for row in test] for items in by_system.values())
    assert {item.text for item in by_system["majority"]} == {"warm"}
    assert by_system["majority"][0].probabilities == {"cold": 14 / 40, "warm": 26 / 40}
    for item in found:
        assert sum(item.probabilities.values()) == pytest.approx(1)
        assert item.text == max(item.probabilities, key=lambda label: item.probabilities[label])
        assert item.reference_nll == pytest.approx(-math.log(item.probabilities[item.references[0]]))
    task = opened(folder)
    model = task.load(str(folder), COMPUTE)
    with torch.no_grad():
        learnt, asked = (
            task.states(model, task.collate(rendered(task, rows))).double().numpy() for rows in (train, test)
        )
        untrained = task.logits(model, task.collate(rendered(task, test))).softmax(dim=-1)
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=5000))
    oracle.fit(learnt, [row.completion for row in train])
    for item, expected in zip(by_system["base"], oracle.predict_proba(asked), strict=True):
        assert list(item.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-3)
    for item, expected in zip(by_system["random head"], untrained.tolist(), strict=True):
        assert list(item.probabilities.values()) == pytest.approx(expected, abs=1e-5)
    right = sum(item.text == item.references[0] for item in by_system["tuned"])
    assert right >= 18
    alone = GENERATE.model_copy(update={"batch_size": 1})
    again = list(classify_texts(test, str(folder), systems, alone, train=train))
    assert [item.text for item in again] == [item.text for item in found]


def test_builtin_is_the_sentence_encoder() -> None:
    assert base_for("classify", "builtin") == "builtin-encoder"
    assert choose_pooling("builtin-encoder") == "mean"
    task = ClassifyTask.open("builtin-encoder", COMPUTE, head=LABELS)
    assert (task.context_length, task.max_length) == (512, 256)
