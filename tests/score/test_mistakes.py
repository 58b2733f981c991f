"""Mistakes in the files of `tunesmith score` and `compare`: one message with file and line, and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.cli import main

GOOD = [
    {"id": "1", "prediction": "a cat", "reference": "the cat"},
    {"id": "2", "prediction": "a dog", "reference": "the dog"},
]


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The message, after checking that there is only the one, and what the command exits with."""
    assert main([str(argument) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("tunesmith: ")
    assert shown.err.count("tunesmith: ") == 1
    assert "Traceback" not in shown.err
    return shown.err.removeprefix("tunesmith: ")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prediction": "x", "reference": "y"}, "this row has no id"),
        ({"id": None, "prediction": "x", "reference": "y"}, "this row has no id"),
        ({"id": "1", "prediction": "x", "reference": "y"}, "id 1 was there before ({file}:1)"),
        ({"id": "3", "answer": "x", "reference": "y"}, "there is no column 'prediction'"),
        ({"id": "3", "prediction": "x"}, "no reference for item 3"),
        ({"id": "3", "prediction": "x", "references": []}, "no reference for item 3"),
        ({"id": "3", "prediction": float("nan"), "reference": "y"}, "prediction is nan"),
        ({"id": "3", "prediction": "x", "reference": float("nan")}, "reference is nan"),
        ({"id": float("nan"), "prediction": "x", "reference": "y"}, "id is nan"),
        ({"id": "3", "prediction": ["x"], "reference": "y"}, "prediction is not text but list"),
        ({"id": "3", "prediction": "x", "references": ["y", None]}, "references is not a list of texts"),
    ],
)
@pytest.mark.parametrize("command", ["score", "compare"])
def test_a_wrong_row_is_named_by_file_and_line(
    command: str, row: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "answers.jsonl", *GOOD, row)
    files = [file] if command == "score" else [file, write(tmp_path / "tuned.jsonl", *GOOD, row)]
    found = refused(capsys, command, *files, "--metrics", "rougeL")
    assert found.startswith(f"{file}:3: {message.format(file=file)}")


def test_nan_in_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    file = tmp_path / "answers.parquet"
    columns = {"id": [1.0, 2.0], "prediction": ["a", "b"], "reference": [1.5, float("nan")]}
    write_table(pyarrow.table(columns), file)
    found = refused(capsys, "score", file, "--metrics", "rougeL")
    assert found.startswith(f"{file}, row 2: reference is nan")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,prediction,reference\n1,a,b\n2,a\n",
            ":3: this row has another number of cells than the header's 3",
        ),
        ("id,answer,reference\n1,a,b\n", ":2: there is no column 'prediction'; there are: id, answer"),
        ("id,prediction,reference\n", ": there are no predictions in this file"),
    ],
)
def test_wrong_tables(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "answers.csv"
    file.write_text(text, encoding="utf-8")
    assert refused(capsys, "score", file, "--metrics", "rougeL").startswith(f"{file}{message}")


@pytest.mark.parametrize("longer", ["base", "tuned"])
def test_files_of_unequal_length(longer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"id": "3", "prediction": "x", "reference": "y"}
    files = {
        name: write(tmp_path / f"{name}.jsonl", *GOOD, *([more] if name == longer else []))
        for name in ("base", "tuned")
    }
    shorter = next(path for name, path in files.items() if name != longer)
    found = refused(capsys, "compare", files["base"], files["tuned"], "--metrics", "rougeL")
    expected = f"{files[longer]}:3: {shorter} (2 items) lacks item 3 of {files[longer]} (3 items)"
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("reference", "another", "has another reference for item 2"),
        ("source_id", "elsewhere", "has another source_id for item 2"),
        ("id", "7", "(2 items) lacks item 2 of"),
    ],
)
def test_files_about_different_items(
    field: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "base.jsonl", *GOOD)
    tuned = write(tmp_path / "tuned.jsonl", GOOD[0], {**GOOD[1], field: value})
    found = refused(capsys, "compare", base, tuned, "--metrics", "rougeL")
    assert message in found
    assert found.startswith((f"{base}:2: ", f"{tuned}:2: "))


@pytest.mark.parametrize("command", ["score", "compare"])
def test_an_unknown_metric_comes_before_the_files_are_read(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "nothing.jsonl"] * (1 if command == "score" else 2)
    found = refused(capsys, command, *files, "--metrics", "rougeL,blue")
    assert "there is no metric 'blue'" in found
    assert "chrf" in found


def test_free_text_is_no_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": str(i), "prediction": "x", "reference": f"text number {i}"} for i in range(60)]
    found = refused(capsys, "score", write(tmp_path / "a.jsonl", *rows), "--metrics", "accuracy")
    assert "60 different texts, too many to be labels" in found


def test_metrics_without_references_need_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.jsonl", {"id": "1", "prediction": "x"})
    assert main(["score", str(file), "--metrics", "repetition"]) == 0
    assert "repetition" in capsys.readouterr().out
