"""Numbers as printed; expected values by hand."""

from __future__ import annotations

import math

import pytest

from tunesmith.report import words


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [
        (0.41234, None, "0.412"),
        (41.234, None, "41.2"),
        (1234.5, None, "1,234"),
        (0.0, None, "0.0"),
        (-3.94, 1, "−3.9"),
        (-0.001, 1, "0.0"),
        (0.00041, None, "0.000410"),
        (None, None, "–"),
        (math.nan, None, "–"),
        (math.inf, 2, "–"),
    ],
)
def test_number(value: float | None, places: int | None, expected: str) -> None:
    assert words.number(value, places) == expected


@pytest.mark.parametrize(
    ("value", "low", "high", "beside", "expected"),
    [
        (4.1, 2.2, 6.0, (30.0,), 1),  # half width 1.9: two digits reach the first decimal
        (0.3, -0.8, 1.4, (), 1),  # 1.1
        (0.173, 0.153, 0.191, (0.4,), 3),  # 0.019
        (7.0, -40.0, 55.0, (), 0),  # 47.5
        (
            0.0148,
            0.0058,
            0.0257,
            (0.5918, 0.6066),
            3,
        ),  # 0.00995 would allow four: 0.592 has three digits already
        (0.04, 0.01, 0.07, (41.2,), 2),  # 0.03 must not be printed as 0.0, though 41.20 has four digits
        (1.0, None, 1.0, (), None),
        (0.0, 0.0, 0.0, (), None),
    ],
)
def test_an_estimate_has_the_digits_that_its_interval_carries(
    value: float, low: float | None, high: float | None, beside: tuple[float, ...], expected: int | None
) -> None:
    assert words.places_for(value, low, high, *beside) == expected


def test_a_small_estimate_in_a_wide_interval_is_not_printed_as_zero() -> None:
    places = words.places_for(0.3, -40.0, 55.0)
    assert words.signed(0.3, places) == "+0.3"


def test_signed() -> None:
    assert words.signed(4.13, 1) == "+4.1"
    assert words.signed(-4.13, 1) == "−4.1"
    assert words.signed(0.01, 1) == "0.0"
    assert words.signed(None) == "–"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.00009, "< 0.001"), (0.0321, "0.032"), (0.2134, "0.21"), (1.0, "1.00"), (None, "–"), (math.nan, "–")],
)
def test_p_value(value: float | None, expected: str) -> None:
    assert words.p_value(value) == expected


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 60, "0%"),
        (60, 60, "100%"),
        (1, 300, "under 1%"),
        (299, 300, "over 99%"),
        (2, 60, "3%"),
        (1, 0, "–"),
    ],
)
def test_a_share_never_rounds_some_to_none_or_to_all(part: int, whole: int, expected: str) -> None:
    assert words.share(part, whole) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.24, "0.2 s"),
        (41.2, "41 s"),
        (200, "3 min 20 s"),
        (59.7, "1 min 0 s"),
        (7500, "2 h 5 min"),
        (None, "–"),
    ],
)
def test_duration(seconds: float | None, expected: str) -> None:
    assert words.duration(seconds) == expected


def test_a_cut_text_says_how_much_is_missing() -> None:
    assert words.shortened("a" * 12, 12) == "a" * 12
    assert words.shortened("a" * 1500, 100) == f"{'a' * 100} … (1,400 characters more)"


def test_unknown_metrics_keep_their_name() -> None:
    assert words.metric_name("my_metric") == "my_metric"
    assert words.metric_name("rougeL") == "ROUGE-L"


def test_every_metric_has_a_name_and_a_meaning() -> None:
    from tunesmith.score.metric import METRICS

    assert [
        name for name in METRICS if words.metric_name(name) == name or not words.metric_meaning(name)
    ] == []


def test_an_interval_without_an_upper_bound() -> None:
    assert words.interval(2.24, None, 2) == "2.24 or more"
    assert words.interval(None, None) == words.MISSING
