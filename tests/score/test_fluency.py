"""Perplexity of the answers under another model: by hand, and against one token at a time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import pytest
import torch

from tests.score.pairs import prediction
from tests.tiny import TEXT, save_tiny_model
from tunesmith.errors import MissingError
from tunesmith.score.fluency import TextModel, fluency
from tunesmith.score.stage import ScoreOptions, score_predictions

CONTEXT = 16


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("fluency"), context=CONTEXT)


def token_by_token(model: TextModel, ids: list[int]) -> float:
    """Sum of -ln p of ids[1:], each from all that is before it."""
    total = 0.0
    for end in range(1, len(ids)):
        with torch.inference_mode():
            logits = model.model(torch.tensor([ids[:end]])).logits[0, -1].double()
        total -= float(torch.log_softmax(logits, dim=-1)[ids[end]])
    return total


def tokens(model: TextModel, text: str) -> list[int]:
    return [model.tokenizer.bos_token_id, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]


def test_a_model_that_knows_nothing_is_as_perplexed_as_it_has_tokens(tiny: Path) -> None:
    model = TextModel(str(tiny), batch_size=2)
    with torch.no_grad():
        model.model.get_input_embeddings().weight.zero_()  # tied with the head: all logits are 0
    n_tokens = len(model.tokenizer)
    texts = ["the heat pump", "water", TEXT]
    for text, (nll, count) in model.negative_log_likelihoods(texts).items():
        assert count == len(tokens(model, text)) - 1
        assert nll == pytest.approx(count * math.log(n_tokens), rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_values_are_those_of_one_token_at_a_time(tiny: Path, batch_size: int) -> None:
    model = TextModel(str(tiny), batch_size)
    texts = ["the heat pump", "water", "rooms and water tanks", "x"]
    found = model.negative_log_likelihoods(texts)
    assert max(len(tokens(model, text)) for text in texts) <= CONTEXT
    for text in texts:
        assert found[text][0] == pytest.approx(token_by_token(model, tokens(model, text)), rel=1e-5)


def test_a_long_text_is_measured_once_and_to_its_end(tiny: Path) -> None:
    model = TextModel(str(tiny), batch_size=4)
    ids = tokens(model, TEXT)
    assert 2 * CONTEXT > len(ids) > CONTEXT
    # the second window begins half a window before the first token that is left
    head, tail = ids[:CONTEXT], ids[CONTEXT // 2 :]
    second = token_by_token(model, tail) - token_by_token(model, tail[: CONTEXT // 2])
    nll, count = model.negative_log_likelihoods([TEXT])[TEXT]
    assert (nll, count) == (pytest.approx(token_by_token(model, head) + second, rel=1e-5), len(ids) - 1)


def test_the_metric_is_over_all_tokens_and_counts_empty_answers(tiny: Path) -> None:
    options = ScoreOptions(metrics="fluency", fluency_model=str(tiny))
    texts = ("the heat pump", " ", "water ")
    rows = [prediction(text, (), id=str(number)) for number, text in enumerate(texts)]
    scores = list(score_predictions(rows, [fluency(options)]))
    assert [score.status for score in scores] == ["ok", "not scored", "ok"]
    model = TextModel(str(tiny), batch_size=1)
    measured = [token_by_token(model, tokens(model, text)) for text in ("the heat pump", "water")]
    counts = [len(tokens(model, text)) - 1 for text in ("the heat pump", "water")]
    assert scores[0].value == pytest.approx(math.exp(measured[0] / counts[0]), rel=1e-5)
    statistics = numpy.array([score.stats for score in scores if score.stats])
    value = float(fluency(options).aggregate(statistics.sum(axis=0)))
    assert value == pytest.approx(math.exp(sum(measured) / sum(counts)), rel=1e-5)


def test_a_text_that_spells_a_control_token_does_not_become_one(tiny: Path) -> None:
    model = TextModel(str(tiny), batch_size=1)
    assert model.negative_log_likelihoods(["<|end|>"])["<|end|>"][1] > 1


def test_half_an_emoji_is_measured_like_any_text(tiny: Path) -> None:
    found = TextModel(str(tiny), batch_size=1).negative_log_likelihoods(["heat \ud83d"])
    assert found["heat \ud83d"][1] > 1


def test_without_a_begin_token_the_first_token_is_not_measured(tiny: Path) -> None:
    model = TextModel(str(tiny), batch_size=1)
    model.begin = None
    ids = tokens(model, "the heat pump")[1:]
    found = model.negative_log_likelihoods(["the heat pump", "x"])
    assert found == {"the heat pump": (pytest.approx(token_by_token(model, ids), rel=1e-5), len(ids) - 1)}


def test_opening_loads_no_weights_and_names_the_model(tiny: Path) -> None:
    metric = fluency(ScoreOptions(metrics="fluency", fluency_model=str(tiny)))
    assert f"{tiny.name}@" in metric.signature
    assert f"window:{CONTEXT}" in metric.signature
    with pytest.raises(MissingError, match="no such model folder"):
        fluency(ScoreOptions(metrics="fluency", fluency_model="./nothing"))
