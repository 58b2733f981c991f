"""Exact match, token F1 and what the texts are like, by hand."""

from __future__ import annotations

import itertools
import string

import pytest

from tests.score.pairs import prediction, predictions, text_pairs
from tunesmith.records import Prediction
from tunesmith.score.answers import exact_match, normalise_answer, token_f1
from tunesmith.score.metric import Metric
from tunesmith.score.texts import copies_prompt, copies_reference, length_ratio, repetition


def first(metric: Metric, one: Prediction) -> float:
    [row] = metric.stats([one])
    assert row is not None
    return row[0]


def test_normaliser_is_squads() -> None:
    assert normalise_answer(" The  Cat's, a U.S. an apple!") == "cats us apple"


@pytest.mark.parametrize(
    ("answer", "reference", "match", "f1"),
    [
        ("The pump.", "pump", 1, 1),
        ("a red pump", "the pump", 0, 2 / 3),  # 1 shared of 2 and 1
        ("pump pump", "pump tank", 0, 1 / 2),  # a repeated word counts once for each time it stands in both
        ("", "pump", 0, 0),
        ("the", "", 1, 1),  # both are empty after normalising
        ("", "", 1, 1),
        ("tank", ("pump", "Tank!"), 1, 1),
    ],
)
def test_match_and_f1(answer: str, reference: str | tuple[str, ...], match: float, f1: float) -> None:
    assert first(exact_match(), prediction(answer, reference)) == match
    assert first(token_f1(), prediction(answer, reference)) == pytest.approx(f1)


ARTICLE_WORDS = ("a", "an", "the")


def squad(answer: str, reference: str) -> tuple[float, float]:
    """Exact match and F1 as SQuAD 2.0's evaluation defines them, written anew, character by character.

    Lower case; ASCII punctuation away; the words a, an, the away, where a word is a run of letters, digits and
    underscores; white space as single spaces. F1 = 2PR / (P + R) of the shared words; where either text is empty, both
    values are whether the other is too.
    """

    def words(text: str) -> list[str]:
        bare = "".join(character for character in text.lower() if character not in string.punctuation)
        runs = itertools.groupby(bare, key=lambda character: character.isalnum() or character == "_")
        kept = ["".join(run) for _, run in runs]
        return "".join(" " if run in ARTICLE_WORDS else run for run in kept).split()

    given, gold = words(answer), words(reference)
    if not given or not gold:
        return float(given == gold), float(given == gold)
    left, shared = list(gold), 0
    for word in given:
        if word in left:
            left.remove(word)
            shared += 1
    if not shared:
        return float(given == gold), 0.0
    precision, recall = shared / len(given), shared / len(gold)
    return float(given == gold), 2 * precision * recall / (precision + recall)


def test_is_squads_value_on_200_pairs() -> None:
    """Empty, one-word, emoji, Japanese and 2,000-word texts among them."""
    pairs = [*text_pairs(198), ("An apple; the U.S.!", "apple us"), ("ice-cream a-b", "icecream ab")]
    expected = [squad(answer.strip(), reference.strip()) for answer, reference in pairs]
    assert len(pairs) == 200
    assert 0 < sum(match for match, _ in expected) < 200
    found = [
        [row[0] for row in metric.stats(predictions(pairs)) if row] for metric in (exact_match(), token_f1())
    ]
    assert found[0] == [match for match, _ in expected]
    assert found[1] == pytest.approx([f1 for _, f1 in expected], abs=1e-12)


def test_length_is_a_ratio_of_sums() -> None:
    assert length_ratio().stats([prediction("a b c", "a b"), prediction("", "a b c d")]) == [(3, 2), (0, 4)]


def test_copy_of_the_reference_needs_five_words() -> None:
    assert first(copies_reference(), prediction("one two three  four five", "one two three four five")) == 1
    assert first(copies_reference(), prediction("one two three four", "one two three four")) == 0
    assert first(copies_reference(), prediction("one two three four six", "one two three four five")) == 0


def test_copy_of_the_prompt_is_the_longest_run() -> None:
    one = prediction("you said what is a pump and so on", prompt="Tell me: what is a pump ?")
    assert first(copies_prompt(), one) == pytest.approx(4 / 9)
    assert first(copies_prompt(), prediction("", prompt="x")) == 0


def test_repetition_counts_runs_of_four_words() -> None:
    # "a b c d" twice among 5 runs of four: 1 of 5 was there before
    assert first(repetition(), prediction("a b c d a b c d")) == pytest.approx(1 / 5)
    assert first(repetition(), prediction("a b c d e f")) == 0
    assert first(repetition(), prediction("a a a")) == 0
