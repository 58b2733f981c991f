"""A model in this process as teacher: tiny ones, so that what it writes is noise, and the machinery is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.synthesize.test_endpoint import tanks
from tests.tiny import save_tiny_model
from tunesmith import cli
from tunesmith.errors import InputError, MissingError, TunesmithError
from tunesmith.models.load import ComputeOptions
from tunesmith.records import Example, Refused, as_row
from tunesmith.synthesize.endpoint import Item, ModelTeacher
from tunesmith.synthesize.journal import Journal, Reply
from tunesmith.synthesize.options import LocalTeacher
from tunesmith.synthesize.stage import (
    SynthesizeOptions,
    estimate_requests,
    open_teacher,
    synthesize_examples,
)
from tunesmith.tasks.base import Rendered
from tunesmith.tasks.writing import Writer, WrittenText

PAIR = '{"pairs": [{"question": "How much?", "answer": "Much.", "evidence": "Tank"}]}'


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("teacher"), context=4096)


def replies_of(
    model: Path, journal: Path, count: int, **settings: Any
) -> tuple[list[Example | Refused], list[Reply]]:
    local = {"local": str(model), "device": "cpu", "dtype": "float32", "max_tokens": 16} | settings
    options = SynthesizeOptions(teacher=local, checks=())  # type: ignore[arg-type]
    teacher = open_teacher(options, journal)
    assert isinstance(teacher, ModelTeacher)
    heard: list[Reply] = []

    def listen(item: Item, reply: Any) -> None:
        heard.append(reply)

    teacher.listener = listen
    return list(synthesize_examples(tanks(count), teacher, options)), heard


@pytest.fixture
def n_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that models were asked for."""
    sizes: list[int] = []
    write = Writer._write

    def counted(self: Writer, prompts: list[Rendered], *rest: Any) -> list[WrittenText]:
        sizes.append(len(prompts))
        return write(self, prompts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "_write", counted)
    return sizes


def test_replies_are_kept_and_a_rerun_loads_no_model(
    model: Path, tmp_path: Path, n_batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    records, replies = replies_of(model, tmp_path / "j.sqlite", 5, batch_size=2, longer_once=False)
    assert n_batches == [2, 2, 1]
    assert [record.chunk_id for record in records] == [f"c{i}" for i in range(5)]
    assert {reply.outcome for reply in replies} == {"answered"}
    assert all(
        reply.completion_tokens is not None and 1 <= reply.completion_tokens <= 16 for reply in replies
    )
    monkeypatch.setattr("tunesmith.models.load.load_model", lambda *_, **__: pytest.fail("it was loaded"))
    again, same = replies_of(model, tmp_path / "j.sqlite", 5, batch_size=4, longer_once=False)
    assert [as_row(record) for record in again] == [as_row(record) for record in records]
    assert same == replies
    assert n_batches == [2, 2, 1]


def test_one_passage_more_is_one_request_more(model: Path, tmp_path: Path, n_batches: list[int]) -> None:
    replies_of(model, tmp_path / "j.sqlite", 3, longer_once=False)
    replies_of(model, tmp_path / "j.sqlite", 4, longer_once=False)
    assert n_batches == [3, 1]
    replies_of(model, tmp_path / "j.sqlite", 4, longer_once=False, temperature=0.9)
    assert n_batches == [3, 1, 4]


def test_other_weights_of_the_same_name_are_asked_anew(tmp_path: Path, n_batches: list[int]) -> None:
    for seed in (0, 1):
        folder = save_tiny_model(tmp_path / str(seed) / "same", context=4096, seed=seed)
        replies_of(folder, tmp_path / "j.sqlite", 2, longer_once=False)
    assert n_batches == [2, 2]


def test_draws_hang_on_the_request_and_not_on_its_neighbours(model: Path, tmp_path: Path) -> None:
    settings = {"temperature": 1.0, "longer_once": False}
    _, alone = replies_of(model, tmp_path / "1.sqlite", 4, batch_size=1, **settings)
    _, together = replies_of(model, tmp_path / "4.sqlite", 4, batch_size=4, **settings)
    _, other = replies_of(model, tmp_path / "seed.sqlite", 4, batch_size=4, seed=1, **settings)
    assert [reply.text for reply in alone] == [reply.text for reply in together]
    assert [reply.text for reply in other] != [reply.text for reply in together]


def test_greedy_answer_is_that_of_transformers(model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    writer = Writer(str(model), ComputeOptions(device="cpu", dtype="float32"), 3)
    prompts = [writer.prompt(str(n), "heat pump " * n, room=12) for n in (1, 5, 9)]
    rendered = [prompt for prompt in prompts if isinstance(prompt, Rendered)]
    written = writer.write(rendered, max_new_tokens=12, temperature=0, seed=0)
    reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    for prompt, text in zip(rendered, written, strict=True):
        ids = torch.tensor([prompt.input_ids])
        output = reference.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0
        )
        new = output[0, ids.shape[1] :].tolist()
        ended = reference.config.eos_token_id in new
        assert text.ended == ended
        assert text.n_new == (new.index(reference.config.eos_token_id) + 1 if ended else 12)
        assert text.text == writer._task.decode(new[: text.n_new - 1] if ended else new)


def test_batch_is_halved_when_memory_runs_out(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    tried: list[int] = []
    write = Writer._write

    def small(self: Writer, prompts: list[Rendered], *rest: Any) -> list[WrittenText]:
        tried.append(len(prompts))
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("no room")
        return write(self, prompts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "_write", small)
    records, _ = replies_of(model, tmp_path / "j.sqlite", 10, batch_size=8, longer_once=False)
    assert [record.chunk_id for record in records] == [f"c{i}" for i in range(10)]
    # eight, its halves, their halves; from then on two at a time
    assert tried == [8, 4, 2, 2, 2, 2, 2]


def test_memory_that_holds_no_single_request_is_told(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def never(*_: Any) -> list[WrittenText]:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(Writer, "_write", never)
    with pytest.raises(InputError, match="memory does not hold one prompt"):
        replies_of(model, tmp_path / "j.sqlite", 3)


def scripted(monkeypatch: pytest.MonkeyPatch, limits: list[int], end: int) -> None:
    """A model that writes a whole pair when it may write `end` tokens, and half of it else."""

    def write(self: Writer, prompts: list[Rendered], most: int, *_: Any) -> list[WrittenText]:
        limits.append(most)
        whole = most >= end
        return [WrittenText(PAIR if whole else PAIR[:20], 5, min(most, end), ended=whole) for _ in prompts]

    monkeypatch.setattr(Writer, "_write", write)


def test_cut_reply_is_written_once_more_with_twice_the_room(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    scripted(monkeypatch, limits, end=30)
    for _ in range(2):
        (record,) = replies_of(model, tmp_path / "j.sqlite", 1)[0]
        assert isinstance(record, Example)
        assert (record.teacher, record.target) == (model.name, "Much.")
    assert limits == [16, 32]
    scripted(monkeypatch, limits, end=1000)
    (record,) = replies_of(model, tmp_path / "other.sqlite", 1)[0]
    assert isinstance(record, Refused)
    assert record.reason == "the reply was cut at max_tokens"


def test_passage_too_long_for_the_model_is_refused_for_good(tmp_path: Path) -> None:
    small = save_tiny_model(tmp_path / "small", context=64)
    for _ in range(2):
        (record,) = replies_of(small, tmp_path / "j.sqlite", 1)[0]
        assert isinstance(record, Refused)
        assert "the request was turned down: the prompt has" in record.reason
    journal = Journal(tmp_path / "j.sqlite")
    try:
        assert journal.usage().requests == 1
    finally:
        journal.close()


def test_builtin_model_can_be_the_teacher(tmp_path: Path) -> None:
    records, replies = replies_of(Path("builtin"), tmp_path / "j.sqlite", 1, max_tokens=16, longer_once=False)
    assert len(replies) == 1
    assert all(isinstance(record, Example | Refused) for record in records)


def test_missing_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no such model folder"):
        replies_of(tmp_path / "nothing", tmp_path / "j.sqlite", 1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"local": "builtin", "url": "http://127.0.0.1:1"}, "url"),
        ({"local": "builtin", "temperature": 0, "seed": 3}, "seed has no effect"),
        ({"local": "builtin", "prices": {"input": 1, "output": 1}}, "prices"),
        ({"local": "builtin", "budget": {"money": 1}}, "budget.money has no effect"),
    ],
)
def test_options_without_effect_are_told(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        SynthesizeOptions(teacher=settings)  # type: ignore[arg-type]
    assert caught.value.error_count() == 1


def test_a_folder_goes_by_its_last_name(tmp_path: Path) -> None:
    assert LocalTeacher(local=str(tmp_path)).model_name == tmp_path.name
    assert LocalTeacher(local="Qwen/Qwen3-0.6B").model_name == "Qwen/Qwen3-0.6B"


def test_weights_in_four_bits_write_other_texts_under_other_keys(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    # bitsandbytes wants rows of 64 on a CPU
    model = save_tiny_model(tmp_path / "wide", context=4096, hidden=64)
    _, whole = replies_of(model, tmp_path / "j.sqlite", 3)
    _, small = replies_of(model, tmp_path / "j.sqlite", 3, load_in_4bit=True)
    assert [one.text for one in whole] != [one.text for one in small]
    journal = Journal(tmp_path / "j.sqlite")
    try:
        assert journal.usage().replies >= 6
    finally:
        journal.close()


def test_requests_of_a_budget_hold_over_runs(model: Path, tmp_path: Path, n_batches: list[int]) -> None:
    journal, settings = tmp_path / "j.sqlite", {"longer_once": False, "batch_size": 2}
    go_on = {"requests": 3, "then": "go_on"}
    records, replies = replies_of(model, journal, 5, budget=go_on, **settings)
    assert n_batches == [2, 1]
    unasked = {record.chunk_id: record for record in records if record.chunk_id in ("c3", "c4")}
    for record in unasked.values():
        assert isinstance(record, Refused)
        assert (record.check, record.reason) == ("budget", "not asked: the budget of 3 requests is spent")
    assert len(unasked) == 2
    assert sum(isinstance(reply, Reply) for reply in replies) == 3
    again, _ = replies_of(model, journal, 5, budget=go_on, **settings)
    assert [as_row(record) for record in again] == [as_row(record) for record in records]
    with pytest.raises(TunesmithError, match="the budget is spent: 3 of 3 requests"):
        replies_of(model, journal, 5, budget={"requests": 3}, **settings)
    assert n_batches == [2, 1]
    replies_of(model, journal, 5, budget={"requests": 5}, **settings)
    assert n_batches == [2, 1, 2]


def test_a_longer_reply_that_the_budget_does_not_hold_is_asked_for_later(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    scripted(monkeypatch, limits, end=30)
    (record,), _ = replies_of(model, tmp_path / "j.sqlite", 1, budget={"requests": 1, "then": "go_on"})
    assert isinstance(record, Refused)
    assert record.check == "budget"
    (record,), _ = replies_of(model, tmp_path / "j.sqlite", 1, budget={"requests": 2})
    assert isinstance(record, Example)
    assert limits == [16, 32]


def test_hours_of_a_budget_end_the_asking(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_batches: list[int]
) -> None:
    """Each batch takes half an hour on this clock; 95 % of an hour are over after the second."""
    now = [0.0]
    write = Writer._write

    def slow(self: Writer, *given: Any) -> list[WrittenText]:
        now[0] += 1800
        return write(self, *given)

    monkeypatch.setattr(Writer, "_write", slow)
    monkeypatch.setattr("tunesmith.synthesize.budget.time.monotonic", lambda: now[0])
    journal = tmp_path / "j.sqlite"
    settings = {"longer_once": False, "batch_size": 1}
    records, _ = replies_of(model, journal, 4, budget={"hours": 1, "then": "go_on"}, **settings)
    assert n_batches == [1, 1]
    assert [getattr(record, "check", None) == "budget" for record in records] == [False, False, True, True]
    # the next run knows how long this one took
    with pytest.raises(TunesmithError, match=r"1\.00 of 1 hours"):
        replies_of(model, journal, 4, budget={"hours": 1}, **settings)


def test_check_counts_a_local_teacher_too(
    model: Path, tmp_path: Path, n_batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "j.sqlite"
    local = {"local": str(model), "device": "cpu", "dtype": "float32", "max_tokens": 16, "longer_once": False}
    options = SynthesizeOptions(teacher=local, checks=())  # type: ignore[arg-type]
    fresh = estimate_requests(tanks(5), options, journal)
    assert fresh is not None
    assert (fresh.items, fresh.kept, fresh.most_reply_tokens, fresh.cost) == (5, 0, 80, None)
    assert fresh.seconds is None
    assert not journal.exists()
    replies_of(model, journal, 2, longer_once=False)
    monkeypatch.setattr("tunesmith.models.load.load_model", lambda *_, **__: pytest.fail("it was loaded"))
    found = estimate_requests(tanks(5), options, journal)
    assert found is not None
    assert (found.items, found.kept, found.n_sent) == (5, 2, 2)
    assert found.seconds is not None
    # three of five are left, each as long as those so far
    kept = Journal(journal)
    try:
        mean = kept.mean_seconds()
    finally:
        kept.close()
    assert found.seconds == pytest.approx(3 * (mean or 0.0))
    other = save_tiny_model(tmp_path / "other", context=4096, seed=1)
    options = SynthesizeOptions(teacher=local | {"local": str(other)}, checks=())  # type: ignore[arg-type]
    strange = estimate_requests(tanks(5), options, journal)
    assert strange is not None
    assert strange.kept == 0


def test_check_shows_it_and_what_the_budget_holds(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.md").write_text(
        "Tank 1 holds 4 litres. It stands in the cellar of a house.", encoding="utf-8"
    )
    plan = {
        "read": {"documents": "a.md"},
        "synthesize": {
            "teacher": {"local": str(model), "budget": {"requests": 1}},
            "kinds": ["question_answer", "summary"],
        },
    }
    (tmp_path / "plan.yaml").write_text(json.dumps(plan), encoding="utf-8")
    assert cli.main(["check", str(tmp_path / "plan.yaml")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "The teacher is asked 2 times." in said
    assert "in this process." in said
    assert "The budget has 1 of 1 requests left: it ends the asking early." in said
