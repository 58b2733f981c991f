"""The commands that take files made anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.cli import main

ROWS = [
    ("1", "the cat sat", "the cat sat on the mat", "d1"),
    ("2", "a dog", "the dog barked", "d2"),
    ("3", "birds fly", "birds fly", "d3"),
]


def write_predictions(place: Path, answers: dict[str, str]) -> Path:
    lines = [
        json.dumps(
            {"id": row, "prediction": answers.get(row, text), "reference": reference, "source_id": source}
        )
        for row, text, reference, source in ROWS
    ]
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_predictions(tmp_path / "base.jsonl", {})


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    return write_predictions(tmp_path / "tuned.jsonl", {"2": "the dog barked"})


def test_scores_as_json(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(base), "--metrics", "exact_match,token_f1", "--json"]) == 0
    (exact, f1) = json.loads(capsys.readouterr().out)["scores"]
    assert {"system", "metric", "value", "low", "high", "n", "signature", "status"} <= exact.keys()
    assert (exact["system"], exact["metric"], exact["n"]) == ("base", "exact_match", 3)
    assert exact["value"] == pytest.approx(1 / 3)
    # SQuAD drops articles: cat sat / cat sat on mat gives 2 * 2 / (2 + 4), dog / dog barked gives 2 * 1 / (1 + 2)
    assert f1["value"] == pytest.approx((4 / 6 + 2 / 3 + 1) / 3)


def test_comparison_as_json_and_for_people(
    base: Path, tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(base), str(tuned), "--metrics", "exact_match", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert one["difference"] == pytest.approx(1 / 3)
    assert (one["n"], one["clusters"], one["n_better"], one["n_worse"]) == (3, 3, 1, 0)
    assert one["verdict"] == "no evidence"
    assert main(["compare", str(base), str(tuned), "--metrics", "exact_match"]) == 0
    shown = capsys.readouterr().out
    assert one["words"] in shown.replace("\n", " ")


def test_columns_of_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "other.csv"
    place.write_text("id,answer,gold\n1,yes,yes\n2,no,yes\n", encoding="utf-8")
    arguments = ["score", str(place), "--columns", "prediction=answer", "--columns", "reference=gold"]
    assert main([*arguments, "--metrics", "exact_match", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0]["value"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metrics", "blue"], "blue"),
        (["--metrics", ","], "no metric is named"),
        (["--columns", "prediktion=prediction"], "prediktion"),
        (["--columns", "prediction"], "NAME=COLUMN"),
        (["--columns", "prediction=nothing"], "nothing"),
    ],
)
def test_wrong_words_exit_with_2(
    arguments: list[str], words: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(base), *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message


def test_tally(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "verdicts.csv"
    place.write_text('id,verdict\n1,"""old"""\n2,new\n3,tie\n4,purple\n', encoding="utf-8")
    arguments = ["tally", str(place), "--base-label", "old", "--tuned-label", "new"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [found[name] for name in ("wins", "losses", "ties", "unparsed")] == [1, 1, 1, 1]
    assert found["unparsed_texts"] == {"purple": 1}
    assert main([*arguments, "--against", str(place)]) == 0
    shown = capsys.readouterr().out
    assert "purple" in shown
    assert "McNemar" in shown


def test_estimate(base: Path, tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of the statistics literature: 200 independent items show 0.2 standard deviations with 80 % power."""
    assert main(["estimate", "--deviation", "1", "--difference", "0.2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["needed"]["items"] == pytest.approx(198, abs=3)
    assert main(["estimate", str(base), str(tuned), "--metric", "token_f1"]) == 0
    assert "smallest difference seen" in capsys.readouterr().out
    assert main(["estimate"]) == 2
    assert main(["estimate", str(base)]) == 2


def test_a_margin_is_named_with_its_metric(
    base: Path, tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", str(base), str(tuned), "--metrics", "token_f1", "--margin", "0.001"]
    assert main([*arguments, "--primary", "token_f1", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert (one["verdict"], one["margin"]) == ("too small", 0.001)
    assert main(arguments) == 2
    assert "--margin" in capsys.readouterr().err


def test_several_tuned_files_each_against_the_base(
    base: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_predictions(tmp_path / "other.jsonl", {"1": "the cat sat on the mat"})
    arguments = ["compare", str(base), str(tuned), str(other), "--metrics", "token_f1"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["base"], one["tuned"]) for one in found["comparisons"]] == [
        ("base", "tuned"),
        ("base", "other"),
    ]
    assert "seeds" not in found
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "tuned against base" in shown
    assert "other against base" in shown


def test_seeds_are_told_apart_from_items(
    base: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_predictions(
        tmp_path / "other.jsonl", {"1": "the cat sat on the mat", "2": "the dog barked"}
    )
    arguments = ["compare", str(base), str(tuned), str(other), "--metrics", "exact_match", "--seeds"]
    assert main([*arguments, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["seeds"]
    # shares of right answers: base 1/3, trainings 2/3 and 3/3
    assert one["difference"] == pytest.approx(1 / 2)
    assert one["seed_deviation"] == pytest.approx(2**0.5 / 6)
    assert one["low"] == pytest.approx(1 / 2 - 12.7062 / 6, rel=1e-4)  # t with one degree of freedom
    assert (one["systems"], one["bases"], one["base_deviation"]) == (["tuned", "other"], ["base"], None)
    assert main(arguments) == 0
    assert one["words"] in capsys.readouterr().out.replace("\n", " ")


def test_bases_of_several_seeds(
    base: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_predictions(
        tmp_path / "other.jsonl", {"1": "the cat sat on the mat", "2": "the dog barked"}
    )
    more = write_predictions(tmp_path / "more.jsonl", {"3": "cows"})
    arguments = ["compare", str(base), str(tuned), str(other), "--metrics", "exact_match"]
    assert main([*arguments, "--seeds", "--base-seed", str(more), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (one,) = found["seeds"]
    assert (one["bases"], one["systems"]) == (["base", "more"], ["tuned", "other"])
    assert one["difference"] == pytest.approx(5 / 6 - 1 / 6)
    assert one["base_deviation"] == pytest.approx(2**0.5 / 6)
    assert [row["system"] for row in found["scores"]] == ["base", "more", "tuned", "other"]


@pytest.mark.parametrize("option", ["--base-seed", "--seeds"])
def test_seeds_that_are_none(
    option: str, base: Path, tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [str(base)] if option == "--base-seed" else []
    assert main(["compare", str(base), str(tuned), option, *more]) == 2
    assert option in capsys.readouterr().err


def test_a_value_that_too_few_items_stand_behind_is_called_invalid(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.loads(line) for line in base.read_text(encoding="utf-8").splitlines()]
    lines[0]["error"] = "out of memory"
    base.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert main(["score", str(base), "--metrics", "token_f1", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["scores"]
    assert (one["n"], one["failed"], one["is_valid"]) == (2, 1, False)
    assert main(["score", str(base), "--metrics", "token_f1"]) == 0
    assert "INVALID" in capsys.readouterr().out
