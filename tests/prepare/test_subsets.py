"""Stratified splits, nested subsets of any size, and lengths."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.errors import GateError, InputError
from tunesmith.prepare.lengths import Lengths, measure_lengths, quantiles
from tunesmith.prepare.split import split_groups
from tunesmith.prepare.stage import PrepareOptions, SplitOptions, nested_subset, prepare_rows
from tunesmith.records import Example, Row

TONES = ["warm"] * 60 + ["dry"] * 30 + ["bold"] * 10


def examples(tones: list[str]) -> list[Example]:
    return [
        Example(
            id=f"e{n}",
            source_id=f"e{n}",
            kind="instruction",
            instruction=f"Write {n * 7919}.",
            target=f"Text {n * 104729}.",
            attributes={"tone": tone, "product": f"p{n % 20}"},
        )
        for n, tone in enumerate(tones)
    ]


def prepared(tones: list[str], **split: object) -> list[Row]:
    options = PrepareOptions(split=SplitOptions(**split), leak_meaning=0)  # type: ignore[arg-type]
    return [row for row in prepare_rows(examples(tones), options) if isinstance(row, Row)]


def tones(rows: list[Row]) -> dict[str, int]:
    return dict(Counter(row.attributes["tone"] for row in rows))


def train_of(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.split == "train"]


def test_every_part_has_its_share_of_each_stratum() -> None:
    rows = prepared(TONES, stratify="tone", test=0.2, validation=0.1)
    for split, share in (("test", 0.2), ("validation", 0.1), ("train", 0.7)):
        found = tones([row for row in rows if row.split == split])
        assert all(abs(found[tone] - share * n) <= 1 for tone, n in Counter(TONES).items()), (split, found)


def test_labels_are_strata_too() -> None:
    groups = [f"r{n}" for n in range(100)]
    strata = {group: "1" if n < 10 else "0" for n, group in enumerate(groups)}
    splits = split_groups(groups, test=0.3, validation=0, seed=4, strata=strata)
    assert sum(splits[group] == "test" for group in groups[:10]) == 3


def test_an_attribute_keeps_rows_together() -> None:
    rows = prepared(TONES, by="product")
    places: dict[str, set[str]] = {}
    for row in rows:
        places.setdefault(row.attributes["product"], set()).add(row.split)
    assert len(places) == 20
    assert all(len(splits) == 1 for splits in places.values())
    assert {row.group for row in rows} == set(places)


def test_an_attribute_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"'page' is no attribute of e0; it has tone, product"):
        prepared(TONES, by="page")
    with pytest.raises(InputError, match=r"split.stratify"):
        prepared(TONES, stratify="page")


def test_too_few_groups_say_so() -> None:
    with pytest.raises(GateError, match=r"2 group\(s\), and a split needs at least 3"):
        prepared(["warm", "dry"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["warm", "dry", "bold"]), min_size=12, max_size=80),
    st.lists(st.floats(0.01, 1.0), min_size=2, max_size=4),
)
def test_smaller_subsets_stand_inside_larger_ones_and_hold_their_share(
    drawn: list[str], shares: list[float]
) -> None:
    train = train_of(prepared(drawn, stratify="tone"))
    assert sorted(row.rank for row in train if row.rank is not None) == list(range(len(train)))
    whole = Counter(row.attributes["tone"] for row in train)
    before: set[str] = set()
    for share in sorted(shares):
        subset = nested_subset(train, share)
        assert len(subset) == max(1, round(share * len(train)))
        ids = {row.id for row in subset}
        assert before <= ids
        before = ids
        found = tones(subset)
        # Merged by the middle of their place, strata run at most one row ahead of or behind their share.
        assert all(abs(found.get(tone, 0) - n * len(subset) / len(train)) <= 1.5 for tone, n in whole.items())


def test_sizes_are_shares_or_numbers() -> None:
    train = train_of(prepared(TONES))
    assert len(nested_subset(train, 7)) == 7
    assert nested_subset(train, 1.0) == train
    assert len(nested_subset(train, 1)) == 1
    with pytest.raises(InputError, match="71 training rows are asked for, and there are 70"):
        nested_subset(train, 71)
    with pytest.raises(InputError, match="no rank"):
        nested_subset([dataclasses.replace(train[0], rank=None)], 1)


def test_only_training_rows_have_a_rank() -> None:
    assert all((row.rank is None) == (row.split != "train") for row in prepared(TONES))


def test_lengths_by_hand() -> None:
    rows = [Row(f"r{n}", "s", " ".join(["w"] * n), "a b", "train") for n in range(1, 11)]
    found = measure_lengths(rows, lambda texts: [len(text.split()) for text in texts], template=3, window=12)
    # prompts of 1 to 10 words; with the answer of 2 and the template of 3 rows have 6 to 15, three of them over 12
    assert found == Lengths(10, (5, 9, 10, 10), (2, 2, 2, 2), (10, 14, 15, 15), 3)
    assert quantiles([]) == ()


def test_lengths_of_answers_that_stand_apart_by_hand() -> None:
    """Prompts of 1 to 10 words and 3 round them: two over 11; answers of 1 to 10: five over 5, those two too."""
    rows = [Row(f"r{n}", "s", " ".join(["w"] * n), " ".join(["a"] * n), "train") for n in range(1, 11)]
    count = lambda texts: [len(text.split()) for text in texts]  # noqa: E731
    found = measure_lengths(rows, count, template=3, window=11, answer_window=5)
    assert found == Lengths(10, (5, 9, 10, 10), (5, 9, 10, 10), (8, 12, 13, 13), 5)
    assert measure_lengths(rows, count, template=3, window=11, answer_window=99).over_window == 2
