"""Base and adapters answer the same prompts under the same conditions, and each answer says how it came about."""

from __future__ import annotations

import collections
import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows, save_tiny_model
from tunesmith.errors import InputError, MissingError
from tunesmith.generate.stage import GenerateOptions, generate_predictions
from tunesmith.models.load import load_model, load_tokenizer, quiet, weights_sha256
from tunesmith.records import Prediction
from tunesmith.tasks.causal import CausalTask
from tunesmith.train.stage import TrainOptions, train_adapter

ROWS = make_rows(18, split="test")
Answer = Callable[..., list[Prediction]]


@pytest.fixture(scope="module")
def adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained with dropout, so that dropout left on would show."""
    folder = tmp_path_factory.mktemp("tuned")
    options = TrainOptions(
        base=str(tiny_base), dtype="float32", device="cpu", lora_dropout=0.5, learning_rate=2e-2, max_steps=25
    )
    train_adapter(make_rows(40), [], folder, options)
    return folder


@pytest.fixture
def answer(tiny_base: Path, adapter: Path) -> Answer:
    def run(
        systems: tuple[str, ...] = ("base", "tuned"),
        rows: Any = ROWS,
        done: Collection[str] = (),
        **options: Any,
    ) -> list[Prediction]:
        settings = {"dtype": "float32", "device": "cpu", "max_new_tokens": 12} | options
        folders = {system: adapter if system.startswith("tuned") else None for system in systems}
        checked = GenerateOptions.model_validate(settings)
        return list(generate_predictions(rows, str(tiny_base), folders, checked, done=done))

    return run


def texts(predictions: list[Prediction]) -> dict[tuple[str, str], str]:
    found = {(item.system, item.id): item.text for item in predictions}
    assert len(found) == len(predictions)
    return found


def test_every_system_answers_every_row(answer: Answer, tiny_base: Path, adapter: Path) -> None:
    predictions = answer()
    by_system = collections.Counter(item.system for item in predictions)
    assert by_system == {"base": 18, "tuned": 18}
    rows = {row.id: row for row in ROWS}
    for item in predictions:
        assert item.prompt == rows[item.id].prompt
        assert item.references == (rows[item.id].completion,)
        assert item.source_id == rows[item.id].source_id
        assert item.prompt not in item.text
        assert item.latency_ms is not None
        assert item.latency_ms > 0
        assert item.settings["base_sha256"] == weights_sha256(tiny_base)
        assert item.settings["dtype"] == "float32"
        tuned = weights_sha256(adapter) if item.system == "tuned" else None
        assert item.settings["adapter_sha256"] == tuned
    different = {system: item.settings for item in predictions if (system := item.system)}
    assert {**different["base"], "adapter_sha256": 0} == {**different["tuned"], "adapter_sha256": 0}


def test_greedy_answers_equal_transformers_one_by_one(answer: Answer, tiny_base: Path, adapter: Path) -> None:
    """The oracle: plain transformers and peft, one prompt at a time, no padding."""
    import peft
    import torch

    found = {(item.system, item.id): item for item in answer()}
    tokenizer = load_tokenizer(str(tiny_base))
    model: Any = load_model(str(tiny_base), dtype="float32", device="cpu")
    for system in ("base", "tuned"):
        if system == "tuned":
            with quiet():
                model = peft.PeftModel.from_pretrained(model, adapter).eval()
        for row in ROWS[:8]:
            message = [{"role": "user", "content": row.prompt}]
            ids = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_tensors="pt")[
                "input_ids"
            ]
            with torch.no_grad(), quiet():
                output = model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
                )
            new = output[0, ids.shape[1] :].tolist()
            end = tokenizer.eos_token_id
            item = found[system, row.id]
            assert (
                item.text
                == tokenizer.decode(
                    [token for token in new if token != end], skip_special_tokens=True
                ).strip()
            )
            assert item.n_prompt_tokens == ids.shape[1]
            assert item.n_new_tokens == len(new)
            assert item.finish_reason == ("eos" if new[-1] == end else "length")
    assert any(item.finish_reason == "eos" for (system, _), item in found.items() if system == "tuned")


def test_reference_loss_equals_transformers_loss(answer: Answer, tiny_base: Path) -> None:
    import torch

    model = load_model(str(tiny_base), dtype="float32", device="cpu")
    task = CausalTask.open(str(tiny_base), GenerateOptions())
    for item in answer(("base",))[:6]:
        row = next(row for row in ROWS if row.id == item.id)
        batch = task.collate([task.render(row)])  # type: ignore[list-item]
        with torch.no_grad():
            loss = model(input_ids=batch.input_ids, labels=batch.labels).loss
        assert item.reference_tokens == int((batch.labels != -100).sum())
        assert item.reference_nll == pytest.approx(loss.item() * item.reference_tokens, abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_sample": True, "top_k": 20, "seed": 5},
        {"num_beams": 3},
        {"num_beams": 3, "do_sample": True, "temperature": 1.3, "seed": 5},
        {"repetition_penalty": 1.5},
    ],
)
def test_batch_of_one_equals_batch_of_sixteen(answer: Answer, options: dict[str, Any]) -> None:
    alone, together = answer(batch_size=1, **options), answer(batch_size=16, **options)
    assert texts(alone) == texts(together)
    losses = {(item.system, item.id): item.reference_nll for item in together}
    for item in alone:
        assert item.reference_nll == pytest.approx(losses[item.system, item.id], abs=1e-4)


def test_tuned_model_has_learnt(answer: Answer) -> None:
    total = collections.Counter[str]()
    for item in answer():
        assert item.reference_nll is not None
        total[item.system] += item.reference_nll  # type: ignore[assignment]
    assert total["tuned"] < 0.7 * total["base"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_sample": True, "temperature": 1.5, "seed": 3},
        {"num_beams": 3},
        {"do_sample": True, "num_beams": 2, "seed": 3},
    ],
)
def test_same_setting_twice_gives_the_same(answer: Answer, options: dict[str, Any]) -> None:
    """The adapter has dropout 0.5: answers would differ if it were on."""
    import torch

    first = texts(answer(**options))
    torch.manual_seed(99)
    assert texts(answer(**options)) == first


def test_sampling_follows_its_settings(answer: Answer) -> None:
    greedy = texts(answer(("base",)))
    drawn = texts(answer(("base",), do_sample=True, temperature=2.0))
    assert drawn != greedy
    assert texts(answer(("base",), do_sample=True, temperature=2.0, seed=1)) != drawn
    assert texts(answer(("base",), do_sample=True, temperature=1e-4)) == greedy
    assert texts(answer(("base",), do_sample=True, top_p=1e-6)) == greedy


def test_draws_have_the_probabilities_of_the_model() -> None:
    """Gumbel noise against the softmax: chi-square with 4 degrees of freedom stays under its 99.9 % point, 18.47."""
    import torch

    from tunesmith.tasks.sampling import RowSampler

    scores: Any = torch.tensor([[2.0, 1.0, 0.0, -1.0, 0.5, float("-inf")]])
    sampler = RowSampler([1234])
    n = 4000
    counts = collections.Counter(int(sampler(None, scores).argmax()) for _ in range(n))  # type: ignore[arg-type]
    wanted = (scores.softmax(-1)[0] * n).tolist()
    assert counts[5] == 0
    assert sum((counts[token] - wanted[token]) ** 2 / wanted[token] for token in range(5)) < 18.47


def test_a_shipped_generation_config_smuggles_nothing_in(
    tiny_base: Path, tmp_path: Path, answer: Answer
) -> None:
    folder = Path(shutil.copytree(tiny_base, tmp_path / "model"))
    shipped = {
        "do_sample": True,
        "temperature": 5.0,
        "top_k": 3,
        "num_beams": 4,
        "min_new_tokens": 7,
        "repetition_penalty": 4.0,
        "no_repeat_ngram_size": 2,
        "bad_words_ids": [[5]],
        "suppress_tokens": list(range(6, 90)),
    }
    (folder / "generation_config.json").write_text(json.dumps(shipped), encoding="utf-8")
    options = GenerateOptions(dtype="float32", device="cpu", max_new_tokens=12)
    found = list(generate_predictions(ROWS, str(folder), {"base": None}, options))
    assert texts(found) == texts(answer(("base",)))


def test_a_resumed_run_gives_the_same_answers(answer: Answer) -> None:
    whole = answer(batch_size=4)
    kept = whole[:7]  # in the middle of a batch
    rest = answer(batch_size=4, done={item.key for item in kept})
    assert texts([*kept, *rest]) == texts(whole)
    losses = {(item.system, item.id): item.reference_nll for item in whole}
    assert {(item.system, item.id): item.reference_nll for item in rest} == {
        (item.system, item.id): losses[item.system, item.id] for item in whole[7:]
    }


def test_nothing_is_loaded_when_all_is_done(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer()
    monkeypatch.setattr(CausalTask, "load", lambda *_: pytest.fail("the model was loaded"))
    assert answer(done={item.key for item in whole}) == []


def test_status_says_how_an_answer_ended(answer: Answer) -> None:
    short = answer(max_new_tokens=1)
    assert {item.status for item in short if item.finish_reason == "length"} == {"truncated"}
    assert all(item.n_new_tokens == 1 for item in short)
    for item in answer(max_new_tokens=24):
        if item.finish_reason == "eos":
            assert item.status == ("ok" if item.text else "empty")


def test_an_empty_answer_is_kept(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.generate import decode

    monkeypatch.setattr(
        decode, "generate_batch", lambda *args, **_: [decode.Answer((), 1, ended=True) for _ in args[2]]
    )
    options = GenerateOptions(dtype="float32", device="cpu")
    found = list(generate_predictions(ROWS[:2], str(tiny_base), {"base": None}, options))
    assert [(item.text, item.status, item.finish_reason) for item in found] == [("", "empty", "eos")] * 2


def test_penalties_and_shortest_length_are_obeyed(answer: Answer) -> None:
    usual = answer(("tuned",))
    longer = answer(("tuned",), min_new_tokens=9)
    assert min(item.n_new_tokens or 0 for item in usual) < 9
    assert min(item.n_new_tokens or 0 for item in longer) >= 9
    assert texts(answer(("base",), repetition_penalty=5.0)) != texts(answer(("base",)))


def test_long_prompts_are_errors_or_cut_for_all_systems_alike(answer: Answer, tiny_base: Path) -> None:
    import dataclasses

    rows = [dataclasses.replace(ROWS[0], prompt="heat pump " * 200), *ROWS[1:3]]
    found = [item for item in answer(rows=rows) if item.id == rows[0].id]
    assert [(item.system, item.status, item.text) for item in found] == [
        ("base", "error", ""),
        ("tuned", "error", ""),
    ]
    assert "256 are left" in (found[0].error or "") or "of 256" in (found[0].error or "")
    cut = [item for item in answer(rows=rows, truncate="prompt_left") if item.id == rows[0].id]
    assert all(item.settings["n_prompt_tokens_cut"] > 0 for item in cut)
    assert all((item.n_prompt_tokens or 0) + 12 <= 256 for item in cut)


def test_several_adapters_on_one_base(answer: Answer) -> None:
    found = texts(answer(("tuned", "base", "tuned v1.2")))
    for row in ROWS:
        assert found["tuned", row.id] == found["tuned v1.2", row.id]
    assert any(found["tuned", row.id] != found["base", row.id] for row in ROWS)


def test_a_whole_model_is_a_system_too(tiny_base: Path, tmp_path: Path) -> None:
    other = save_tiny_model(tmp_path / "other", seed=1)
    options = GenerateOptions(dtype="float32", device="cpu", max_new_tokens=6)
    both = texts(list(generate_predictions(ROWS[:4], str(tiny_base), {"base": None, "full": other}, options)))
    alone = texts(list(generate_predictions(ROWS[:4], str(other), {"full": None}, options)))
    assert {key: both[key] for key in alone} == alone


def test_wrong_adapters_are_named(tiny_base: Path, adapter: Path, tmp_path: Path) -> None:
    other = save_tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="trained on other base weights"):
        list(generate_predictions(ROWS, str(other), {"tuned": adapter}, GenerateOptions()))
    with pytest.raises(MissingError, match="no adapter for the system 'tuned'"):
        list(generate_predictions(ROWS, str(tiny_base), {"tuned": tmp_path / "nothing"}, GenerateOptions()))


def test_progress_counts_to_the_end(tiny_base: Path, adapter: Path) -> None:
    seen: list[tuple[int, int | None, str]] = []
    options = GenerateOptions(dtype="float32", device="cpu", max_new_tokens=3, batch_size=5)
    systems = {"base": None, "tuned": adapter}
    list(
        generate_predictions(
            ROWS, str(tiny_base), systems, options, progress=lambda *report: seen.append(report)
        )
    )
    assert seen[0][:2] == (0, 36)
    assert seen[-1][:2] == (36, 36)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
