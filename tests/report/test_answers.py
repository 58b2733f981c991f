"""Which answers are shown, and which words are marked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report.fake_study import fake_study
from tunesmith.records import Prediction, Score
from tunesmith.report.answers import common_words, shown_answers
from tunesmith.report.study import Study

PAIR = ("base", "tuned")


def study_of(gains: dict[str, float]) -> Study:
    """One item for each entry; tuned is better on it by that much."""
    study = fake_study(5)
    predictions = [
        Prediction(item, "doc", system, "p", "t", ("r",), "ok") for item in gains for system in PAIR
    ]
    scores = [Score(item, "doc", "base", "rougeL", (0.5,), 0.5) for item in gains]
    scores += [
        Score(item, "doc", "tuned", "rougeL", (0.5 + gain,), 0.5 + gain) for item, gain in gains.items()
    ]
    return replace(study, predictions=predictions, scores=scores)


def test_best_and_worst_come_in_the_order_of_the_change_and_no_item_twice() -> None:
    study = study_of({"a": 0.1, "b": -0.4, "c": 0.3, "d": 0.0, "e": -0.2, "f": 0.2})
    shown = shown_answers(study, PAIR, each=2)
    assert [(item.group, item.id) for item in shown[:4]] == [
        ("best", "c"),
        ("best", "f"),
        ("worst", "b"),
        ("worst", "e"),
    ]
    assert {item.id for item in shown[4:]} == {"a", "d"}
    assert all(item.group == "random" for item in shown[4:])


def test_an_item_that_got_better_is_never_among_the_worst() -> None:
    shown = shown_answers(study_of({"a": 0.1, "b": 0.2, "c": 0.3}), PAIR, each=2)
    assert [(item.group, item.id) for item in shown] == [("best", "c"), ("best", "b"), ("random", "a")]


def test_lower_is_better_turns_the_order_round() -> None:
    study = study_of({"a": 0.4, "b": -0.4})
    comparisons = [
        replace(item, higher_is_better=False) for item in study.comparisons if item.metric == "rougeL"
    ]
    shown = shown_answers(replace(study, comparisons=comparisons), PAIR, each=1)
    assert [(item.group, item.id) for item in shown] == [("best", "b"), ("worst", "a")]
    assert shown[0].scores[0].direction == "better"


def test_the_random_items_hang_on_the_seed_alone() -> None:
    study = fake_study()
    first, again = (shown_answers(study, PAIR) for _ in range(2))
    assert first == again
    other = shown_answers(replace(study, seed=99), PAIR)
    assert [item.id for item in other if item.group == "random"] != [
        item.id for item in first if item.group == "random"
    ]
    assert [item.id for item in other if item.group == "best"] == [
        item.id for item in first if item.group == "best"
    ]


def test_without_scores_the_answers_are_drawn_at_random() -> None:
    study = replace(fake_study(5), scores=[], summaries=[], comparisons=[])
    assert [item.group for item in shown_answers(study, PAIR)] == ["random"] * 5


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("the cat sat", "The cat sat.", (("the cat sat", True),)),
        (
            "a cat, not a dog",
            "cat and dog",
            (("a ", False), ("cat,", True), (" not a ", False), ("dog", True)),
        ),
        ("dog cat", "cat dog", (("dog", True), (" cat", False))),
        ("nothing shared", "other words", (("nothing shared", False),)),
        ("", "words", ()),
        ("words", "", (("words", False),)),
        ("… – !", "words", (("… – !", False),)),
        ("  led  by\nspace ", "by", (("  led  ", False), ("by", True), ("\nspace", False))),
    ],
)
def test_common_words(text: str, reference: str, expected: tuple[tuple[str, bool], ...]) -> None:
    assert common_words(text, reference) == expected


def test_a_very_long_answer_is_shown_without_marks() -> None:
    text = "word " * 500
    assert common_words(text, "word") == ((text, False),)
