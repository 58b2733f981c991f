"""The course of the learning rate, against the formulas; batches that find their size; what is kept at the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.errors import InputError
from tunesmith.records import TrainingLog
from tunesmith.train.stage import TrainOptions, train_adapter

PEAK = 1e-3
STEPS = 10


@pytest.fixture
def rates(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """The learning rate of each of 10 steps."""

    def run(**changes: Any) -> list[float]:
        from tunesmith.train.trainer import AnswerTrainer

        seen: list[float] = []
        training_step = AnswerTrainer.training_step

        def look(self: Any, *arguments: Any, **keywords: Any) -> Any:
            seen.append(self.optimizer.param_groups[0]["lr"])
            return training_step(self, *arguments, **keywords)

        monkeypatch.setattr(AnswerTrainer, "training_step", look)
        settings: dict[str, Any] = {
            "base": str(tiny_base),
            "dtype": "float32",
            "device": "cpu",
            "learning_rate": PEAK,
        }
        if "warmup_steps" not in changes:
            settings["warmup_ratio"] = 0.0
        options = TrainOptions.model_validate(settings | {"max_steps": STEPS} | changes)
        train_adapter(make_rows(8), [], tmp_path, options)
        monkeypatch.setattr(AnswerTrainer, "training_step", training_step)
        return [rate / PEAK for rate in seen]

    return run


WARM = 4
COURSES: dict[str, tuple[dict[str, Any], Callable[[int], float]]] = {
    "linear": ({}, lambda t: (STEPS - t) / (STEPS - WARM)),
    "cosine": ({}, lambda t: 0.5 + 0.5 * math.cos(math.pi * (t - WARM) / (STEPS - WARM))),
    "cosine_with_restarts": (
        {"num_cycles": 2},
        lambda t: 0.5 + 0.5 * math.cos(math.pi * (2 * (t - WARM) / (STEPS - WARM) % 1)),
    ),
    "cosine_with_min_lr": (
        {"min_lr_rate": 0.1},
        lambda t: 0.1 + 0.9 * (0.5 + 0.5 * math.cos(math.pi * (t - WARM) / (STEPS - WARM))),
    ),
    "polynomial": (
        {"power": 2, "lr_end": 1e-7},
        lambda t: ((PEAK - 1e-7) * (1 - (t - WARM) / (STEPS - WARM)) ** 2 + 1e-7) / PEAK,
    ),
    "inverse_sqrt": ({"timescale": 4}, lambda t: 1 / math.sqrt(t / 4)),
    "constant_with_warmup": ({}, lambda t: 1.0),
    # The last 3 of 10 steps fall as half a cosine.
    "warmup_stable_decay": ({}, lambda t: 1.0 if t < 7 else 0.5 + 0.5 * math.cos(math.pi * (t - 7) / 3)),
}


@pytest.mark.parametrize("name", COURSES)
def test_courses(rates: Callable[..., list[float]], name: str) -> None:
    told, course = COURSES[name]
    extra = {"decay_ratio": 0.3} if name == "warmup_stable_decay" else {}
    found = rates(lr_scheduler_type=name, lr_scheduler_kwargs=told, warmup_steps=WARM, **extra)
    expected = [t / WARM for t in range(WARM)] + [course(t) for t in range(WARM, STEPS)]
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("told", "falls"),
    [
        ({"num_decay_steps": 4, "decay_type": "linear"}, [1.0, 0.75, 0.5, 0.25]),
        # 1 - sqrt(t / 4), between the rate and a fifth of it
        (
            {"num_decay_steps": 4, "decay_type": "1-sqrt", "min_lr_ratio": 0.2},
            [0.2 + 0.8 * (1 - math.sqrt(t / 4)) for t in range(4)],
        ),
    ],
)
def test_a_decay_of_so_many_steps(
    rates: Callable[..., list[float]], told: dict[str, Any], falls: list[float]
) -> None:
    found = rates(lr_scheduler_type="warmup_stable_decay", lr_scheduler_kwargs=told)
    assert found == pytest.approx([1.0] * 6 + falls, abs=1e-9)


def test_epochs_too_short_for_their_decay_are_refused(rates: Callable[..., list[float]]) -> None:
    told = {"num_decay_steps": 4}
    with pytest.raises(InputError, match="num_decay_steps: 4 do not fit into 3 steps"):
        rates(
            lr_scheduler_type="warmup_stable_decay",
            lr_scheduler_kwargs=told,
            max_steps=None,
            num_train_epochs=3,
        )


def test_warm_up_by_ratio_and_without(rates: Callable[..., list[float]]) -> None:
    assert rates(lr_scheduler_type="constant_with_warmup", warmup_ratio=0.25)[:4] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )
    assert rates(lr_scheduler_type="constant") == [1.0] * STEPS


WSD = {"lr_scheduler_type": "warmup_stable_decay"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_scheduler_type": "constant", "warmup_steps": 3}, "warmup_steps has no effect"),
        ({"warmup_ratio": 0.1, "warmup_steps": 3}, "warmup_ratio has no effect beside warmup_steps"),
        ({"decay_ratio": 0.2}, "decay_ratio has no effect with lr_scheduler_type: cosine"),
        ({"lr_scheduler_kwargs": {"power": 2}}, "cosine takes num_cycles, not power"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "needs min_lr or min_lr_rate"),
        ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": 1}}, "below learning_rate"),
        (
            {**WSD, "lr_scheduler_kwargs": {"num_decay_steps": 2}, "decay_ratio": 0.2},
            "decay_ratio has no effect beside",
        ),
        ({**WSD, "lr_scheduler_kwargs": {"num_decay_steps": 2.5}}, "whole number from 1 on, not 2.5"),
        ({**WSD, "lr_scheduler_kwargs": {"num_decay_steps": "few"}}, "whole number from 1 on, not few"),
        (
            {**WSD, "lr_scheduler_kwargs": {"num_decay_steps": 9}, "warmup_steps": 2, "max_steps": 10},
            "a warm-up of 2 steps and num_decay_steps: 9 do not fit into 10 steps",
        ),
        (
            {**WSD, "lr_scheduler_kwargs": {"decay_type": "cubic"}},
            "decay_type is one of linear, cosine, 1-sqrt",
        ),
        (
            {**WSD, "lr_scheduler_kwargs": {"decay_type": "linear", "num_cycles": 1}},
            "num_cycles has no effect with decay_type: linear",
        ),
        (
            {**WSD, "lr_scheduler_kwargs": {"warmup_type": "cosine"}, "warmup_ratio": 0},
            "warmup_type has no effect without a warm-up",
        ),
        ({"lr_scheduler_kwargs": {"num_decay_steps": 2}}, "cosine takes num_cycles, not num_decay_steps"),
        ({"keep_last": True, "load_best_model_at_end": False}, "keep_last has no effect"),
    ],
)
def test_what_has_no_effect_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainOptions(**changes)


def adapter(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "adapter_model.safetensors"))


def difference(one: Path, other: Path) -> float:
    first, second = adapter(one), adapter(other)
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.fixture
def train(tiny_base: Path, tmp_path: Path) -> Callable[..., TrainingLog]:
    def run(name: str, n_validation: int = 0, **changes: Any) -> TrainingLog:
        settings = {
            "base": str(tiny_base),
            "dtype": "float32",
            "device": "cpu",
            "learning_rate": 5e-3,
            "lora_r": 4,
        }
        options = TrainOptions.model_validate(settings | changes)
        validation = make_rows(n_validation, split="validation")
        return train_adapter(make_rows(20), validation, tmp_path / name, options)

    return run


def test_the_batch_finds_its_size(
    train: Callable[..., TrainingLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a step stay what they were asked to be, 2 x 6; the largest batch of them that fits has 3 rows."""
    from tunesmith.train.layout import EndToEnd

    losses = EndToEnd.losses
    seen: list[int] = []

    def small_device(self: EndToEnd, model: Any, inputs: Any) -> Any:
        seen.append(len(inputs["row_ids"]))
        if len(inputs["row_ids"]) > 3:
            # As torch says it on a CPU.
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
            )
        return losses(self, model, inputs)

    shape = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 6,
        "max_steps": 3,
        "optim": "adafactor",
    }
    train("asked", **shape)
    monkeypatch.setattr(EndToEnd, "losses", small_device)
    log = train("found", **shape, auto_find_batch_size=True)
    assert seen[:3] == [12, 6, 3]  # tried before the first step, on the longest rows
    assert set(seen[3:]) <= {3, 2}
    assert log.notes[-1] == "3 rows go through the model at once, 4 times a step"
    assert difference(tmp_path / "asked", tmp_path / "found") < 1e-5
    with monkeypatch.context() as patch:
        patch.setattr(
            EndToEnd, "losses", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("something else"))
        )
        with pytest.raises(RuntimeError, match="something else"):
            train("broken", **shape)


def test_best_and_last(
    train: Callable[..., TrainingLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.train.trainer import AnswerTrainer

    def run(name: str, **changes: Any) -> TrainingLog:
        losses = iter([3.0, 2.0, 4.0])
        monkeypatch.setattr(AnswerTrainer, "validate", lambda _: {"loss": next(losses)})
        return train(
            name, 4, lr_scheduler_type="constant", warmup_ratio=0.0, max_steps=6, eval_steps=2, **changes
        )

    assert run("both", keep_last=True).best_step == 4
    run("last", load_best_model_at_end=False)
    assert difference(tmp_path / "both" / "last", tmp_path / "last") == 0
    assert difference(tmp_path / "both", tmp_path / "last") > 1e-4


@pytest.mark.parametrize("limit", [1, 3])
def test_checkpoints_kept_while_training(tiny_base: Path, tmp_path: Path, limit: int) -> None:
    class Stop(BaseException):
        pass

    def stop(done: int, total: int | None, what: str) -> None:
        if done == 6:
            raise Stop

    options = TrainOptions(
        base=str(tiny_base), dtype="float32", device="cpu", max_steps=8, save_steps=1, save_total_limit=limit
    )
    with pytest.raises(Stop):
        train_adapter(make_rows(20), [], tmp_path, options, progress=stop)
    assert len(list((tmp_path / "checkpoints").glob("checkpoint-*"))) == limit
