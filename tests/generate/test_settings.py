"""Several decoding settings in one run: the answers of each alone, from prompts that went through the model once."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_rows
from tunesmith.generate import prefill
from tunesmith.generate.stage import GenerateOptions, generate_predictions
from tunesmith.generate.systems import Systems
from tunesmith.records import GenerationNote, Prediction, setting_of, system_under
from tunesmith.train.stage import TrainOptions, train_adapter

ROWS = make_rows(10, split="test")
SETTINGS: dict[str, dict[str, Any]] = {
    "beams": {"num_beams": 3},
    "warm": {"do_sample": True, "temperature": 0.8, "seed": 4},
    "drawn-beams": {"do_sample": True, "num_beams": 2, "top_k": 30},
    "short": {"repetition_penalty": 1.7, "max_new_tokens": 5},
}
Answer = Callable[..., list[Prediction]]


@pytest.fixture(scope="module")
def adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    options = TrainOptions(
        base=str(tiny_base), dtype="float32", device="cpu", lora_dropout=0.5, learning_rate=2e-2, max_steps=15
    )
    train_adapter(make_rows(40), [], folder, options)
    return folder


@pytest.fixture
def answer(tiny_base: Path, adapter: Path) -> Answer:
    def run(
        rows: Any = ROWS, done: Any = (), note: Any = lambda note: None, **options: Any
    ) -> list[Prediction]:
        given = {"dtype": "float32", "device": "cpu", "max_new_tokens": 10, "batch_size": 4} | options
        checked = GenerateOptions.model_validate(given)
        systems = {"base": None, "tuned": adapter}
        return list(generate_predictions(rows, str(tiny_base), systems, checked, done=done, note=note))

    return run


def texts(predictions: list[Prediction]) -> dict[tuple[str, str], str]:
    found = {(item.system, item.id): item.text for item in predictions}
    assert len(found) == len(predictions)
    return found


@contextmanager
def passes_over_prompts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Shapes (rows, tokens) of every pass of a model over more than one token to answer, not to weigh a reference."""
    seen: list[tuple[int, int]] = []
    load = Systems._load

    def watched(self: Systems, name: str) -> Any:
        model = load(self, name)

        def hear(_: Any, arguments: Any, keywords: dict[str, Any]) -> None:
            if keywords.get("use_cache") and keywords["input_ids"].shape[1] > 1:
                seen.append(tuple(keywords["input_ids"].shape))  # type: ignore[arg-type]

        model.register_forward_pre_hook(hear, with_kwargs=True)
        return model

    with monkeypatch.context() as patched:
        patched.setattr(Systems, "_load", watched)
        yield seen


def test_each_setting_answers_as_it_does_alone(answer: Answer) -> None:
    together = answer(settings=SETTINGS)
    assert len(together) == 2 * 5 * len(ROWS)
    found = texts(together)
    for name in ("", *SETTINGS):
        alone = texts(answer(**SETTINGS.get(name, {})))
        assert {(system, id): found[system_under(system, name), id] for system, id in alone} == alone
    by_name = {
        name: {id: text for (who, id), text in found.items() if who == f"tuned@{name}"} for name in SETTINGS
    }
    assert not any(by_name[one] == by_name[two] for one, two in itertools.combinations(SETTINGS, 2))


def test_prompts_go_through_the_model_once_for_all_settings(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 rows in batches of 4, 4 and 2, two systems: six passes, however many settings; beams as single rows."""
    with passes_over_prompts(monkeypatch) as one:
        answer()
    with passes_over_prompts(monkeypatch) as five:
        answer(settings=SETTINGS)
    assert five == one
    assert [rows for rows, _ in one] == [4, 4, 2] * 2


def test_a_cache_that_cannot_be_copied_is_made_anew_and_said(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = texts(answer(settings=SETTINGS))
    monkeypatch.setattr(prefill, "COPYABLE", ())
    notes: list[GenerationNote] = []
    assert texts(answer(settings=SETTINGS, note=notes.append)) == usual
    assert [(note.system, note.rule) for note in notes] == [
        ("base", "prefilled_apart"),
        ("tuned", "prefilled_apart"),
    ]
    notes.clear()
    answer(note=notes.append)
    assert not notes, "with one setting there is nothing to share"


def test_predictions_say_which_setting_made_them(answer: Answer) -> None:
    for item in answer(settings=SETTINGS):
        name = setting_of(item.system)
        wanted = {"max_new_tokens": 10, "num_beams": 1, "do_sample": False, "seed": 0} | SETTINGS.get(
            name, {}
        )
        assert {key: item.settings[key] for key in wanted} == wanted
        assert item.settings.get("setting", "") == name
        assert "settings" not in item.settings
        assert (item.n_new_tokens or 0) <= wanted["max_new_tokens"]
        assert item.latency_ms
        assert item.latency_ms > 0


def test_a_prompt_without_room_fails_only_where_it_has_none(answer: Answer) -> None:
    """The tiny model sees 256 tokens: a prompt that leaves 20 has room for 10 new tokens, and none for 60."""
    long = dataclasses.replace(ROWS[0], prompt=" ".join(["pump"] * 225))
    found = answer(rows=[long, *ROWS[1:3]], settings={"long": {"max_new_tokens": 60}})
    n_prompt = next(item.n_prompt_tokens for item in found if item.id == long.id)
    assert n_prompt
    assert 196 < n_prompt <= 246
    assert {item.system: item.status == "error" for item in found if item.id == long.id} == {
        "base": False,
        "tuned": False,
        "base@long": True,
        "tuned@long": True,
    }
    assert texts(found) == texts(answer(rows=[long, *ROWS[1:3]])) | {
        (f"{system}@long", id): text
        for (system, id), text in texts(answer(rows=[long, *ROWS[1:3]], max_new_tokens=60)).items()
    }


def test_a_resumed_run_asks_only_for_what_is_missing(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer(settings=SETTINGS)
    missing = [item for item in whole if item.system == "tuned@warm" and item.id == ROWS[3].id]
    done = {item.key for item in whole} - {item.key for item in missing}
    with passes_over_prompts(monkeypatch) as seen:
        assert texts(answer(settings=SETTINGS, done=done)) == texts(missing)
    assert len(seen) == 1
    added = answer(
        settings=SETTINGS | {"cold": {"do_sample": True, "temperature": 0.3}}, done={i.key for i in whole}
    )
    assert {item.system for item in added} == {"base@cold", "tuned@cold"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"settings": {"a": {"temperature": 0.7}}},
            "settings.a: temperature has no effect without do_sample",
        ),
        ({"settings": {"a": {}}}, "settings.a decodes like the main keys"),
        ({"settings": {"a": {"num_beams": 1}}}, "settings.a decodes like the main keys"),
        (
            {"settings": {"a": {"num_beams": 2}, "b": {"num_beams": 2, "max_new_tokens": 96}}},
            "settings.b decodes like settings.a",
        ),
        (
            {
                "settings": {
                    "a": {"do_sample": True},
                    "b": {"do_sample": True, "temperature": 1.0, "top_p": 1.0},
                }
            },
            "settings.b decodes like settings.a",
        ),
        (
            {"do_sample": True, "temperature": 0.7, "settings": {"a": {"do_sample": False, "top_k": 5}}},
            "settings.a: top_k has no effect without do_sample",
        ),
        ({"settings": {"a/b": {"num_beams": 2}}}, "'a/b': a name is made of letters"),
        ({"settings": {"a": {"beams": 2}}}, "Extra inputs are not permitted"),
        ({"settings": {"a": {"num_beams": 0}}}, "greater than or equal to 1"),
        ({"settings": {"a": {"max_new_tokens": None}}}, "settings.a: max_new_tokens: Input should be"),
        (
            {"settings": {"a": {"min_new_tokens": 97}}},
            "settings.a: min_new_tokens .97. is more than max_new_tokens",
        ),
    ],
)
def test_settings_without_effect_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenerateOptions.model_validate(given)


def test_a_setting_inherits_and_can_drop_what_the_main_keys_say() -> None:
    options = GenerateOptions.model_validate(
        {
            "do_sample": True,
            "temperature": 0.7,
            "top_k": 9,
            "seed": 3,
            "max_new_tokens": 20,
            "settings": {"greedy": {"do_sample": False}, "all": {"top_k": None}, "again": {"seed": 4}},
        }
    )
    found = {
        name: (one.do_sample, one.temperature, one.top_k, one.seed) for name, one in options.decodings.items()
    }
    assert found == {
        "": (True, 0.7, 9, 3),
        "greedy": (False, None, None, 0),
        "all": (True, 0.7, None, 3),
        "again": (True, 0.7, 9, 4),
    }
    assert {one.max_new_tokens for one in options.decodings.values()} == {20}
    written = options.model_dump(mode="json")
    assert written["settings"] == {
        "greedy": {"do_sample": False},
        "all": {"top_k": None},
        "again": {"seed": 4},
    }
    assert GenerateOptions.model_validate(written).decodings == options.decodings


def test_beams_draw_without_replacement_from_the_probabilities() -> None:
    """Ordered pairs of two draws from (.5, .3, .2): p(i) p(j) / (1 - p(i)). Chi-square, 5 degrees: 20.52 at 99.9 %."""
    import torch
    from transformers import GenerationMixin

    from tunesmith.generate.beams import rows_draw_alone

    class Searcher(GenerationMixin):
        pass

    p = [0.5, 0.3, 0.2]
    n = 5000
    searcher = Searcher()
    counts: collections.Counter[tuple[int, int]] = collections.Counter()
    log_p = torch.tensor([p]).log()
    with rows_draw_alone(searcher, [torch.Generator().manual_seed(7)]):
        for _ in range(n):
            scores, sequences, _ = searcher._get_top_k_continuations(
                accumulated_log_probs=log_p,
                running_sequences=torch.zeros(1, 1, 1, dtype=torch.long),
                running_beam_indices=torch.zeros(1, 1, 1, dtype=torch.long),
                cur_len=0,
                decoder_prompt_len=0,
                do_sample=True,
                beams_to_keep=2,
                num_beams=1,
                batch_size=1,
            )
            one, two = sequences[0, :, 0].tolist()
            counts[one, two] += 1
            assert scores[0].tolist() == [log_p[0, one].item(), log_p[0, two].item()]
    assert "_get_top_k_continuations" not in vars(searcher)
    wanted = {(i, j): n * p[i] * p[j] / (1 - p[i]) for i in range(3) for j in range(3) if i != j}
    assert math.isclose(sum(wanted.values()), n)
    assert counts.keys() == wanted.keys()
    assert sum((counts[pair] - wanted[pair]) ** 2 / wanted[pair] for pair in wanted) < 20.52
