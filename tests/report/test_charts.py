"""What the plots are made from."""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import replace

import pytest

from tests.report.fake_study import fake_study
from tests.report.page import read_page
from tunesmith.records import Comparison, Score
from tunesmith.report import charts
from tunesmith.report.charts import ForestLine
from tunesmith.report.metrics import _forest_line
from tunesmith.report.study import Study


def test_the_spread_is_the_standard_deviation_without_outliers() -> None:
    values = [float(n) for n in range(10)]
    assert charts.spread(values) == pytest.approx(statistics.stdev(values))


def test_one_wild_item_sets_no_scale() -> None:
    values = [float(n % 10) for n in range(100)]
    wild = [*values[:-1], 1e6]
    spread = charts.spread(wild)
    assert spread is not None
    assert spread == pytest.approx(statistics.stdev(values), rel=0.05)


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [3.0] * 50])
def test_no_spread(values: list[float]) -> None:
    assert charts.spread(values) is None


def compared(study: Study, metric: str) -> Comparison:
    return next(item for item in study.comparisons if item.metric == metric)


def line_of(study: Study, item: Comparison) -> ForestLine:
    line = _forest_line(study, item)
    assert line is not None
    return line


def test_differences_are_turned_so_that_right_is_better() -> None:
    """Values 0, 1, 2, 0, 1, 2: squares about the mean sum to 4, over 5 that is 0.8, so the unit is √0.8."""
    study = fake_study(5)
    scores = [
        Score(str(n), "d", system, "m", (1.0,), float(n)) for n in range(3) for system in ("base", "tuned")
    ]
    made = replace(study, scores=scores)
    item = replace(
        study.comparisons[0], metric="m", difference=-0.8, low=-1.2, high=-0.4, smallest_detectable=0.5,
        higher_is_better=False,
    )  # fmt: skip
    line = line_of(made, item)
    unit = 0.8**0.5
    assert line.difference == pytest.approx(0.8 / unit)
    assert (line.low, line.high) == (pytest.approx(0.4 / unit), pytest.approx(1.2 / unit))
    assert line.smallest == pytest.approx(0.5 / unit)
    assert line.printed == "−0.80"
    upwards = line_of(made, replace(item, higher_is_better=True))
    assert (upwards.low, upwards.high) == (pytest.approx(-1.2 / unit), pytest.approx(-0.4 / unit))


def test_a_metric_over_powers_of_ten_is_measured_by_its_logarithms() -> None:
    """Item values 1, 10, 100, 1, 10, 100: ln 10 · √0.8 is the spread of the logarithms; √(40 · 10) = 20 the level."""
    study = fake_study(5)
    scores = [
        Score(str(n), "d", system, "m", (1.0,), 10.0**n) for n in range(3) for system in ("base", "tuned")
    ]
    item = replace(
        study.comparisons[0], metric="m", base_value=40.0, tuned_value=10.0, difference=-30.0, low=-45.0, high=-15.0,
        higher_is_better=False,
    )  # fmt: skip
    line = line_of(replace(study, scores=scores), item)
    assert line.difference == pytest.approx(30 / (20 * math.log(10) * 0.8**0.5))


def test_a_log_scale_only_for_what_grows_upwards_without_end() -> None:
    assert charts.uses_log_scale([2.0, 90.0], higher_is_better=False)
    assert not charts.uses_log_scale([2.0, 9.0], higher_is_better=False)
    assert not charts.uses_log_scale([2.0, 90.0], higher_is_better=True)
    assert not charts.uses_log_scale([0.0, 90.0], higher_is_better=False)


def paths(svg: str) -> int:
    return len(read_page(svg).all("path"))


def test_lines_join_pairs_up_to_two_hundred_items_only() -> None:
    def draw(n: int) -> str:
        values = {
            name: {str(i): i / n + shift for i in range(n)} for name, shift in (("base", 0.0), ("tuned", 0.1))
        }
        return charts.box_chart("m", values, higher_is_better=True)

    few, most, many = draw(20), draw(200), draw(201)
    assert paths(few) == paths(most)
    assert len(most) - len(few) > 180 * 2 * 20  # two ends a line
    assert len(many) < len(few)


def test_a_plot_has_the_colours_of_the_page_and_none_of_its_own() -> None:
    values = {"base": {"1": 0.1, "2": 0.4, "3": 0.2}, "tuned": {"1": 0.3, "2": 0.5, "3": 0.1}}
    svg = charts.box_chart("m", values, higher_is_better=True)
    assert "var(--system-0)" in svg
    assert "var(--system-1)" in svg
    assert re.findall(r"(?:fill|stroke): #\w+", svg) == []


def test_the_second_box_is_striped_so_that_grey_paper_tells_the_systems_apart() -> None:
    values = {"base": {"a": 0.1, "b": 0.4, "c": 0.6}, "tuned": {"a": 0.2, "b": 0.5, "c": 0.9}}
    svg = str(charts.box_chart("m", values, higher_is_better=True))
    (pattern,) = re.findall(r'<pattern id="([^"]+)"', svg)
    assert svg.count(f"url(#{pattern})") == 1
