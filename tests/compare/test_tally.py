"""Tallies against scipy, statsmodels and hand arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as oracle_mcnemar
from statsmodels.stats.proportion import proportion_confint

from tunesmith.compare.labels import Outcome
from tunesmith.compare.tally import JudgedItem, mcnemar, read_verdicts, tally, wilson
from tunesmith.errors import InputError


def judged(outcomes: str, per_source: int = 1) -> list[JudgedItem]:
    """w, l, t and u for won, lost, tied and unparsed."""
    meaning: dict[str, Outcome | None] = {"w": "won", "l": "lost", "t": "tied", "u": None}
    return [
        JudgedItem(f"{i:03}", f"source{i // per_source:03}", meaning[letter], f"said {letter}")
        for i, letter in enumerate(outcomes)
    ]


def test_counts_and_rates() -> None:
    found = tally(judged("w" * 20 + "l" * 3 + "t" * 2 + "u"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [found[name] for name in ("n", "clusters", "wins", "losses", "ties", "unparsed")] == [
        26,
        26,
        20,
        3,
        2,
        1,
    ]
    assert found["unparsed_texts"] == {"said u": 1}
    low, high = proportion_confint(20, 23, method="wilson")
    assert found["win_rate"] == {"value": 20 / 23, "low": pytest.approx(low), "high": pytest.approx(high)}
    assert found["net_win_rate"]["value"] == pytest.approx(21 / 25)
    assert found["net_win_rate_if_unparsed"] == {"half": 21.5 / 26, "won": 22 / 26, "lost": 21 / 26}
    assert found["p"] == pytest.approx(binomtest(20, 23).pvalue)
    assert found["verdict"] == "better"
    assert found["words"].startswith("Tuned is judged better than base: net win rate 84.0%")


def test_a_ratio_has_an_interval_also_where_no_source_differs() -> None:
    """All won: exact binomial, .025^(1/n) for the share; 10 items: .6915, odds 2.24, and no upper bound."""
    won = tally(judged("w" * 10))["ratio"]
    assert won["low"] == pytest.approx(0.6915 / 0.3085, abs=0.01)
    assert (won["high"], won["adjusted"]) == (None, True)
    lost = tally(judged("l" * 10))["ratio"]
    assert (lost["low"], lost["high"]) == (0.0, pytest.approx(0.3085 / 0.6915, abs=0.001))


def test_a_ratio_comes_with_its_wide_interval() -> None:
    ratio = tally(judged("w" * 20 + "l" * 3 + "t" * 2))["ratio"]
    assert ratio["value"] == pytest.approx(20 / 3)
    assert not ratio["adjusted"]
    # a percentile bootstrap of these counts gives 2.6 to 44
    assert 1.5 < ratio["low"] < 3.5
    assert 15 < ratio["high"] < 60


def test_no_losses() -> None:
    found = tally(judged("w" * 9 + "t"))
    assert (found["ratio"]["value"], found["ratio"]["adjusted"]) == (9.5 / 0.5, True)
    assert found["win_rate"]["high"] == 1.0
    assert found["p"] == pytest.approx(2 / 2**9)


def test_only_ties_and_only_nonsense() -> None:
    ties = tally(judged("tttt"))
    assert (ties["p"], ties["verdict"], ties["ratio"]["value"], ties["net_win_rate"]["value"]) == (
        1,
        "no evidence",
        None,
        0.5,
    )
    nonsense = tally(judged("uuuu"))
    assert (nonsense["verdict"], nonsense["net_win_rate"]["value"], nonsense["p"]) == ("invalid", None, None)
    assert nonsense["net_win_rate_if_unparsed"] == {"half": 0.5, "won": 1.0, "lost": 0.0}


def test_more_than_one_in_twenty_not_understood_is_no_verdict() -> None:
    assert tally(judged("w" * 19 + "u"))["verdict"] == "better"
    found = tally(judged("w" * 18 + "uu"))
    assert found["verdict"] == "invalid"
    assert found["words"].startswith("No verdict: 2 of 20 verdicts could not be understood")


def test_many_questions_about_few_sources_are_not_many_sources() -> None:
    # 4 sources of 10 items: two all won, one all lost, one mixed
    outcomes = "w" * 10 + "w" * 10 + "l" * 10 + "wlwwwlwwwl"
    alone, together = tally(judged(outcomes)), tally(judged(outcomes, per_source=10))
    assert alone["p"] == pytest.approx(binomtest(27, 40).pvalue)
    assert alone["verdict"] == "better"
    assert together["verdict"] == "no evidence"
    assert together["net_win_rate"]["low"] < alone["net_win_rate"]["low"]


def test_wilsons_interval() -> None:
    for successes, n in ((0, 5), (5, 5), (1, 30), (81, 263)):
        low, high = proportion_confint(successes, n, method="wilson")
        found = wilson(successes, n)
        assert (found["low"], found["high"]) == (
            pytest.approx(low, abs=1e-12),
            pytest.approx(high, abs=1e-12),
        )
    assert wilson(0, 0) == {"value": None, "low": None, "high": None}


def test_two_files_by_mcnemar() -> None:
    first, second = judged("wwwwwwwwllltu"), judged("wwllllllwtlww")
    found = mcnemar(first, second)
    table = [[2, 6], [2, 2]]
    assert found == {
        "n": 12, "left_out": 1, "both": 2, "first_only": 6, "second_only": 2, "neither": 2,
        "p": pytest.approx(oracle_mcnemar(table, exact=True).pvalue),
    }  # fmt: skip
    assert mcnemar(first, first)["p"] == 1.0
    with pytest.raises(InputError, match="1 items are in one file only: 012"):
        mcnemar(first, second[:-1])


def test_order_of_rows_does_not_matter() -> None:
    items = judged("wltwlwwtlwuwwlw", per_source=3)
    assert tally(items[::-1]) == tally(items)


class TestReading:
    def read(self, path: Path, content: str, **options: str) -> list[JudgedItem]:
        path.write_text(content, encoding="utf-8")
        labels = {"base_label": "base", "tuned_label": "tuned", **options}
        return read_verdicts(path, **labels)  # type: ignore[arg-type]

    def test_csv_and_json_lines(self, tmp_path: Path) -> None:
        found = self.read(tmp_path / "v.csv", 'id,source_id,verdict\na,d,"""tuned"""\nb,d,Bse\nc,e,\n')
        assert [(item.id, item.source_id, item.outcome, item.text) for item in found] == [
            ("a", "d", "won", '"tuned"'),
            ("b", "d", "lost", "Bse"),
            ("c", "e", None, ""),
        ]
        [one] = self.read(tmp_path / "v.jsonl", '{"judge": "<verdict>tie"}\n', column="judge")
        assert (one.id, one.source_id, one.outcome) == ("1", "1", "tied")

    def test_a_label_that_means_a_tie_elsewhere(self, tmp_path: Path) -> None:
        [one] = self.read(tmp_path / "v.csv", "verdict\nsame\n", tuned_label="Same")
        assert one.outcome == "won"

    @pytest.mark.parametrize(
        ("content", "options", "message"),
        [
            (
                "id,judgement\n1,tuned\n",
                {},
                r"v\.csv:2: there is no column 'verdict'; there are: id, judgement",
            ),
            ("id,verdict\n1,tuned\n1,base\n", {}, r"v\.csv:3: id 1 was there before"),
            ("id,verdict\n", {}, "there are no verdicts"),
            ("id,verdict\n1,a\n", {"base_label": "Tuned"}, "both labels are the same"),
            ("id,verdict\n1,a\n", {"base_label": " ?"}, "no letter or digit"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, content: str, options: dict[str, str], message: str) -> None:
        with pytest.raises(InputError, match=message):
            self.read(tmp_path / "v.csv", content, **options)
