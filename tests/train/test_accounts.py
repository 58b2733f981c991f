"""What a run took: energy, operations, and the machine's speed, against arithmetic by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.records import Energy, TrainingLog
from tunesmith.tasks.base import Rendered
from tunesmith.train import energy
from tunesmith.train.stage import TrainOptions, train_adapter

CPU = SimpleNamespace(type="cpu", index=None)
GPU = SimpleNamespace(type="cuda", index=1)


def domain(folder: Path, number: str, name: str, microjoules: int, span: int = 1_000_000) -> Path:
    place = folder / f"intel-rapl:{number}"
    place.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", span)):
        (place / file).write_text(f"{text}\n", encoding="ascii")
    return place / "energy_uj"


def test_processors_counters(tmp_path: Path) -> None:
    """Two packages and one memory count; a package's cores and `psys` would count the same energy twice."""
    first = domain(tmp_path, "0", "package-0", 100)
    domain(tmp_path, "0:0", "core", 5)
    memory = domain(tmp_path, "0:1", "dram", 0)
    second = domain(tmp_path, "1", "package-1", 999_000)
    whole = domain(tmp_path, "2", "psys", 0)
    meter = energy.EnergyMeter(CPU, powercap=tmp_path)
    first.write_text("600100\n", encoding="ascii")
    memory.write_text("50000\n", encoding="ascii")
    whole.write_text("900000\n", encoding="ascii")
    second.write_text(
        "9000\n", encoding="ascii"
    )  # came to its end at 1,000,000 and began again: 10,000 in all
    found = meter.energy()
    assert found.joules == pytest.approx(0.6 + 0.05 + 0.01)
    assert not found.estimated
    assert "RAPL" in found.how


def test_what_another_process_of_the_machine_reads_is_not_counted_twice(tmp_path: Path) -> None:
    counter = domain(tmp_path, "0", "package-0", 0)
    meter = energy.EnergyMeter(CPU, powercap=tmp_path, counts_machine=False)
    counter.write_text("500000\n", encoding="ascii")
    assert meter.energy().joules == 0.0
    assert not meter.energy().estimated


def test_without_counters_it_is_estimated_and_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 s of wall time, 4 s of CPU time, 2 GB in use: 4 x 12 + 10 x 2 x 0.3725 joules."""
    clock = {"wall": 0.0, "cpu": 0.0}
    monkeypatch.setattr(energy.time, "monotonic", lambda: clock["wall"])
    monkeypatch.setattr(energy.time, "process_time", lambda: clock["cpu"])
    monkeypatch.setattr(energy, "resident_gb", lambda: 2.0)
    earlier = Energy(1000.0, False, "read from the processors' counters (RAPL)")
    meter = energy.EnergyMeter(CPU, powercap=tmp_path, before=earlier)
    clock.update(wall=10.0, cpu=4.0)
    found = meter.energy()
    assert found.joules == pytest.approx(1000 + 4 * 12 + 10 * 2 * 0.3725)
    assert found.estimated
    assert "12 W a busy core" in found.how
    assert "RAPL" in found.how


class FakeNvml:
    """Three cards; each has a counter in millijoules."""

    def __init__(self) -> None:
        self.millijoules = {0: 0, 1: 0, 2: 7000, "GPU-a": 0}

    def nvmlInit(self) -> None:
        return

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        return name

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> int:
        return self.millijoules[handle]


def test_gpu_counter_is_that_of_the_card_torch_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")  # torch's cuda:1 is the machine's card 2
    counter = domain(tmp_path, "0", "package-0", 0)
    meter = energy.EnergyMeter(GPU, powercap=tmp_path)
    nvml.millijoules[2] = 10_000
    counter.write_text("250000\n", encoding="ascii")
    found = meter.energy()
    assert found.joules == pytest.approx(3.0 + 0.25)
    assert not found.estimated
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b,GPU-a")
    meter = energy.EnergyMeter(GPU, powercap=tmp_path)
    nvml.millijoules["GPU-a"] = 500
    assert meter.energy().joules == pytest.approx(0.5)


def test_sums_over_processes_are_estimated_where_one_is() -> None:
    total = energy.add_energies(
        [Energy(1.0, False, "read"), Energy(2.0, True, "guessed"), Energy(4.0, False, "read")]
    )
    assert total == Energy(7.0, True, "read; guessed")


def test_operations_by_hand(tiny_base: Path) -> None:
    """Hidden 32, 2 layers, 4 heads and 2 key heads of 8, MLP 64, vocabulary tied to the head; an adapter of rank 4."""
    from transformers import AutoModelForCausalLM

    from tunesmith.train.adapters import put_adapter
    from tunesmith.train.arithmetic import arithmetic_of

    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    vocabulary = base.config.vocab_size
    layer = 32 * 32 + 2 * (32 * 16) + 32 * 32 + 3 * (32 * 64)
    adapter = 4 * ((32 + 32) + 2 * (32 + 16) + (32 + 32) + 3 * (32 + 64))
    row = Rendered("a", "d", tuple(range(10)), (-100,) * 7 + (1, 2, 3), 7)
    expected = 10 * 2 * (4 * layer + 6 * adapter) + 3 * 4 * vocabulary * 32 + 6 * 32 * 10**2 * 2
    counted = arithmetic_of(put_adapter(base, TrainOptions(lora_r=4)))
    assert counted is not None
    assert counted.of(row) == expected
    whole = arithmetic_of(AutoModelForCausalLM.from_pretrained(tiny_base).requires_grad_(True))
    assert whole is not None
    assert whole.of(row) == 10 * 2 * 6 * layer + 3 * 6 * vocabulary * 32 + 6 * 32 * 10**2 * 2


def test_mixtures_of_experts_are_not_counted() -> None:
    from transformers import MixtralConfig

    from tunesmith.train.arithmetic import arithmetic_of

    model = SimpleNamespace(config=MixtralConfig())
    assert arithmetic_of(model) is None


def test_matrix_speed_is_operations_over_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which every product of 1024 x 1024 matrices takes a tenth of a second: 2 x 1024^3 / 0.1."""
    import torch

    from tunesmith.train import arithmetic

    ticks = iter(range(10_000))
    monkeypatch.setattr(arithmetic.time, "perf_counter", lambda: next(ticks) * 0.1)
    speed = arithmetic.matrix_speed(torch.float32, torch.device("cpu"))
    assert speed == pytest.approx(2 * 1024**3 / 0.1, rel=1e-6)


def test_a_run_records_what_it_took(tiny_base: Path, tmp_path: Path) -> None:
    options = TrainOptions(base=str(tiny_base), device="cpu", dtype="float32", threads=1, max_steps=2)
    log = train_adapter(make_rows(20), [], tmp_path / "tuned", options)
    assert (log.rows_per_step, log.processes) == (8, 1)
    assert log.energy is not None
    assert log.energy.joules > 0
    assert log.operations is not None
    assert log.matrix_speed is not None
    # Between one and many times 4 operations for each number and token: the tiny model has 19,000 numbers in matrices.
    assert 4 * 15_000 * log.total_tokens < log.operations < 40 * 15_000 * log.total_tokens
    assert log.share_of_matrix_speed == log.operations / log.seconds / log.matrix_speed
    assert 0 < log.share_of_matrix_speed < 1


def test_energy_and_arithmetic_stand_in_the_report() -> None:
    from tests.report.fake_study import training_log
    from tunesmith.report.making import _training_facts

    before = dict(_training_facts(training_log()))
    assert "Energy" not in before
    assert "Arithmetic" not in before
    fields = {name: getattr(training_log(), name) for name in TrainingLog.__slots__}
    log = TrainingLog(
        **fields
        | {
            "energy": Energy(12_345.0, True, "estimated from 12 W a busy core"),
            "operations": 9.64e12,
            "matrix_speed": 1e12,
            "rows_per_step": 16,
            "processes": 2,
        }
    )
    facts = dict(_training_facts(log))
    assert facts["Energy"] == "about 12 kJ (estimated from 12 W a busy core)"
    assert facts["Rows in a step"] == "16, shared by 2 processes"
    # 9.64e12 operations in 96.4 s are 1e11 a second
    assert "9.64 trillion" in facts["Arithmetic"]
    assert "10.0% of the 1 trillion a second" in facts["Arithmetic"]


def test_manifest_and_json_hold_them(tiny_base: Path, tmp_path: Path) -> None:
    from tunesmith.steps.models import taken

    options = TrainOptions(base=str(tiny_base), device="cpu", dtype="float32", threads=1, max_steps=1)
    found = json.loads(json.dumps(taken(train_adapter(make_rows(8), [], tmp_path / "tuned", options))))
    assert found["tokens_per_second"] == pytest.approx(found["tokens"] / found["seconds"])
    assert found["energy"]["estimated"] in (True, False)
    assert found["trainable_parameters"] < found["total_parameters"]
