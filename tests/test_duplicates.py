"""Near duplicates against comparing all pairs with plain Python sets."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.duplicates import NearIndex, jaccard, shingles


def pieces(text: str) -> set[bytes]:
    data = text.encode("utf-8", "surrogatepass")
    return {data[start : start + 5] for start in range(len(data) - 4)} if len(data) > 5 else {data}


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_similarity_is_that_of_sets_of_five_bytes(left: str, right: str) -> None:
    a, b = pieces(left), pieces(right)
    assert len(shingles(left)) == len(a)
    # a short text is one piece, and equal to no piece of a longer one
    if (len(left.encode("utf-8", "surrogatepass")) > 5) == (len(right.encode("utf-8", "surrogatepass")) > 5):
        assert jaccard(shingles(left), shingles(right)) == pytest.approx(len(a & b) / len(a | b))


def edited_copies(n: int) -> tuple[list[str], list[str]]:
    """`n` texts of 40 made-up words, and a copy of each with one to twelve words replaced."""
    draw = random.Random(3)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(3, 9))) for _ in range(3000)]
    texts = [draw.choices(words, k=40) for _ in range(n)]
    copies = []
    for text in texts:
        copy = list(text)
        for place in draw.sample(range(40), draw.randint(1, 12)):
            copy[place] = draw.choice(words)
        copies.append(" ".join(copy))
    return [" ".join(text) for text in texts], copies


def test_finds_what_comparing_all_pairs_finds() -> None:
    texts, copies = edited_copies(150)
    index = NearIndex(0.8)
    for text in texts:
        index.remember(text)
    wanted = {
        (place, number)
        for place, copy in enumerate(copies)
        for number, text in enumerate(texts)
        if len(pieces(copy) & pieces(text)) / len(pieces(copy) | pieces(text)) >= 0.8
    }
    found = {(place, number) for place, copy in enumerate(copies) for number, _ in index.find(copy)}
    assert len(wanted) > 30
    assert found == wanted


def test_all_near_texts_are_found_and_labels_are_kept_apart() -> None:
    index = NearIndex(0.8)
    text = "The heat pump moves warmth from the air outside into the rooms of the house."
    assert [index.remember(text), index.remember(text + "!"), index.remember(text, label="b")] == [0, 1, 2]
    assert [number for number, _ in index.find(text)] == [0, 1]
    assert index.find(text, label="b") == [(2, 1.0)]
    assert index.find(text, label="c") == []
    assert len(index) == 3


def test_half_of_a_surrogate_pair_is_no_problem() -> None:
    index = NearIndex(0.8)
    assert index.add("cut off in an emoji \ud83d") is None
    assert index.add("cut off in an emoji \ud83d") == "cut off in an emoji \ud83d"
