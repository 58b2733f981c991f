"""Answers held against the references of another item."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy
import pytest
from sacrebleu.metrics.bleu import BLEU

from tests.score.pairs import prediction
from tunesmith.compare.stage import CompareOptions, compare_systems
from tunesmith.models.encoder import Encoder
from tunesmith.records import Prediction, Summary
from tunesmith.score.floors import other_items, with_other_references
from tunesmith.score.metric import METRICS
from tunesmith.score.semantic import ITEMS_AT_ONCE, SemanticPass
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

WITHOUT_FLOOR = {
    *("perplexity", "bits_per_byte", "fluency", "length_ratio"),
    *("copies_reference", "copies_prompt", "repetition"),
}


def rows(n: int, per_source: int = 1) -> list[Prediction]:
    return [
        prediction(f"answer {i} of many", f"reference {i}", id=f"{i:03}", source_id=f"doc{i // per_source}")
        for i in range(n)
    ]


@pytest.mark.parametrize("sizes", [[1] * 7, [3, 3, 3], [5, 1, 4], [2, 2], [1, 1], [6, 2, 3, 1]])
def test_every_item_gets_one_of_another_source_and_each_is_used_once(sizes: list[int]) -> None:
    source_of = {f"{size}-{s}-{i}": f"doc{s}" for s, size in enumerate(sizes) for i in range(size)}
    other = other_items(source_of)
    assert set(other) == set(source_of)
    assert all(source_of[a] != source_of[b] for a, b in other.items())
    assert set(Counter(other.values()).values()) == {1}


def test_a_source_with_most_of_the_items_is_still_held_against_others() -> None:
    source_of = {f"big{i}": "big" for i in range(9)} | {"a": "a", "b": "b"}
    other = other_items(source_of)
    assert all(source_of[a] != source_of[b] for a, b in other.items())


def test_one_source_has_no_others_and_one_item_nothing_at_all() -> None:
    other = other_items({str(i): "doc" for i in range(5)})
    assert sorted(other.values()) == sorted(other)
    assert all(a != b for a, b in other.items())
    assert other_items({"1": "doc"}) == {}
    assert with_other_references([prediction("x")]) == [None]


def test_systems_get_the_same_other_item_whatever_the_order() -> None:
    base = rows(12, per_source=3)
    both = [*base, *(replace(row, system="tuned") for row in base)]
    shuffled = random.Random(1).sample(both, len(both))

    def found(predictions: list[Prediction]) -> dict[tuple[str, str], Any]:
        others = with_other_references(predictions)
        return {(p.system, p.id): o and o.references for p, o in zip(predictions, others, strict=True)}

    assert found(both) == found(shuffled)
    assert all(found(both)["base", row.id] == found(both)["tuned", row.id] for row in base)
    # the seed decides
    assert with_other_references(base, seed=1) != with_other_references(base, seed=2)


def test_metrics_that_compare_have_a_floor_and_the_others_none() -> None:
    two = [
        prediction("yes", ("yes", "no"), id="1", reference_nll=1.0, reference_tokens=1),
        prediction("the pump", "no", id="2", reference_nll=1.0, reference_tokens=1),
    ]
    for name in METRICS:
        if name != "fluency":
            scores = score_predictions(two, open_metrics(ScoreOptions(metrics=name)))
            assert all((score.floor is None) == (name in WITHOUT_FLOOR) for score in scores), name


def test_the_floor_of_bleu_is_sacrebleus_score_of_the_shuffled_pairs() -> None:
    rng = random.Random(5)
    words = [f"word{i}" for i in range(60)]
    texts = [" ".join(rng.choice(words) for _ in range(12)) for _ in range(40)]
    predictions = [
        prediction(text, f"{text} and {texts[i - 1]}", id=str(i), source_id=str(i // 2))
        for i, text in enumerate(texts)
    ]
    others = [other for other in with_other_references(predictions) if other]
    expected = BLEU().corpus_score([p.text for p in others], [[p.references[0] for p in others]]).score
    metrics = open_metrics(ScoreOptions(metrics="bleu"))
    [summary] = compare_systems(score_predictions(predictions, metrics), metrics, CompareOptions(draws=100))
    assert isinstance(summary, Summary)
    assert summary.floor == pytest.approx(expected, abs=1e-9)
    assert summary.value is not None
    assert summary.value > 2 * summary.floor > 0


def test_a_failed_item_has_no_floor_and_lends_none() -> None:
    four = [*rows(3), prediction("", "reference of the failed", id="9", source_id="doc9", status="error")]
    scores = list(score_predictions(four, open_metrics(ScoreOptions(metrics="exact_match"))))
    assert [score.floor is None for score in scores] == [False, False, False, True]
    used = {other.references for other in with_other_references(four[:3]) if other}
    assert used == {row.references for row in four[:3]}


@pytest.mark.parametrize("per_source", [1, 7])
def test_floors_encode_no_text_twice(monkeypatch: pytest.MonkeyPatch, per_source: int) -> None:
    seen: list[str] = []
    held: list[int] = []
    encode, compare = Encoder.encode, SemanticPass._compare

    def counted(self: Encoder, texts: Any, **wanted: bool) -> Any:
        texts = list(texts)
        seen.extend(texts)
        return encode(self, texts, **wanted)

    def watched(self: SemanticPass, pairs: Any, encodings: Any) -> Any:
        held.append(len(encodings))
        return compare(self, pairs, encodings)

    monkeypatch.setattr(Encoder, "encode", counted)
    monkeypatch.setattr(SemanticPass, "_compare", watched)
    n = 150
    both = [
        row
        for row in rows(n, per_source)
        for row in (row, replace(row, text=f"other {row.text}", system="tuned"))
    ]
    options = ScoreOptions(metrics="cosine,bertscore", batch_size=64)
    scores = list(score_predictions(both, open_metrics(options)))
    assert len(seen) == len(set(seen)) == 3 * n
    # a block of items with the answers of both systems, and the few texts that a later block needs
    assert len(held) > 1
    assert max(held) < 3 * ITEMS_AT_ONCE + 10
    for name in ("cosine", "bertscore"):
        own = [score.value for score in scores if score.metric == name]
        floors = [score.floor[0] for score in scores if score.metric == name and score.floor]
        assert len(own) == len(floors) == 2 * n
        assert numpy.mean(floors) < numpy.mean(own)
