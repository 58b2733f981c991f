"""`tunesmith audit`: what it prints, what it writes, and every example of its documentation."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.report.page import read_page
from tunesmith.audit.stage import CODES
from tunesmith.cli import main
from tunesmith.evidence import audit_run
from tunesmith.records import Prediction, Row
from tunesmith.report.findings import MISTAKES, ROWS_SHOWN, AuditFinding

DOCS = (Path(__file__).resolve().parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", DOCS, flags=re.MULTILINE | re.DOTALL))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def answers(system: str, *texts: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"q{number}",
            "system": system,
            "prompt": f"What is thing {number} of the {number * 'very '}long list that we keep here?",
            "reference": f"Thing {number} is a part that stops the flow of {number} liquids.",
            "prediction": text,
        }
        for number, text in enumerate(texts, start=1)
    ]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "base.jsonl", answers("base", "A part.", "", "A list."))
    write(tmp_path / "tuned.jsonl", answers("tuned", "A part that stops.", "A part.", "It stops the flow."))
    trained = answers("", "x")[0]
    write(tmp_path / "train.jsonl", [{"id": "t1", "prompt": trained["prompt"], "completion": "A part."}])
    return tmp_path


BOTH = ["audit", "--predictions", "base.jsonl", "tuned.jsonl", "--train", "train.jsonl"]


def test_json_has_exactly_the_keys_promised(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BOTH, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["findings"]
    for one in printed["findings"]:
        assert list(one) == ["code", "severity", "count", "n", "evidence", "effect"]
    found = {one["code"]: one for one in printed["findings"]}
    assert found["eval_in_train"]["evidence"] == ["q1"]
    assert (found["empty_outputs"]["count"], found["empty_outputs"]["n"]) == (1, 3)
    assert not list(files.glob("*.html")), "--json writes no page unless it is told to"


def test_a_page_and_its_path_last(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(BOTH) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "audit.html"
    assert any(re.fullmatch(r"high\s+empty_outputs\s+1 of 3", line) for line in lines)
    page = read_page((files / "audit.html").read_text(encoding="utf-8"))
    assert "could not be looked for" not in page.text()
    (table, *_) = page.all("section", id="findings")[0].all("table")
    assert table.lines()[0][0] == "id"
    assert "base.jsonl, tuned.jsonl 6 answers to 3 items, by base, tuned" in page.text()


def test_the_training_row_stands_beside_the_evaluation_prompt(files: Path) -> None:
    assert main([*BOTH, "--out", "sub/page.html"]) == 0
    page = read_page((files / "sub/page.html").read_text(encoding="utf-8"))
    (leak,) = [one for one in page.all("article") if "eval_in_train" in one.text()]
    head, line = leak.all("table")[0].lines()
    assert head == [
        "id",
        "asked in the evaluation",
        "training row",
        "asked in training",
        "answer in training",
    ]
    assert line[0] == "q1"
    assert line[2] == "t1"
    assert line[1] == line[3]


def test_several_files_of_one_kind_by_either_spelling(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*BOTH, "--json"]) == 0
    together = capsys.readouterr().out
    repeated = [
        "audit",
        "--predictions",
        "base.jsonl",
        "--predictions",
        "tuned.jsonl",
        "--train",
        "train.jsonl",
    ]
    assert main([*repeated, "--json", "--out", "page.html"]) == 0
    assert capsys.readouterr().out == together
    assert (files / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit"], "nothing to audit"),
        (["audit", "--predictions", "nowhere.jsonl"], "no such file"),
        (["audit", "--predictions", "base.jsonl", "--out", "base.jsonl"], "replace a file it is about"),
        (["audit", "--predictions", "base.jsonl", "--out", "."], "this is a folder"),
        (["audit", "--verdicts", "base.jsonl"], "no column of verdicts"),
        (["audit", "--predictions", "base.jsonl", "--columns", "x"], "NAME=COLUMN"),
        (["audit", "base.jsonl"], ""),
    ],
)
def test_wrong_input_is_exit_code_2_and_writes_nothing(
    arguments: list[str], message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in files.iterdir()}
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert {path: path.read_bytes() for path in files.iterdir()} == before


def test_what_a_file_would_have_shown_is_named(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--predictions", "tuned.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "not seen, because no training rows were given: eval_in_train" in shown
    assert "not seen, because it takes the answers of two systems: different_items, weak_baseline" in shown
    assert "not seen, because no verdicts were given: dropped_verdicts" in shown


def test_ratings_are_looked_at_too(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": "q1", "system": "base", "grammar": 4},
        {"id": "q1", "system": "tuned", "grammar": 5},
        {"id": "q2", "system": "tuned", "grammar": None},
    ]
    write(files / "ratings.jsonl", rows)
    assert main(["audit", "--ratings", "ratings.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "different_items  1 of 2" in shown
    assert "no predictions were given: different_items" not in shown
    page = read_page((files / "audit.html").read_text(encoding="utf-8"))
    lines = {article.attributes["id"]: article.all("table")[0].lines() for article in page.all("article")}
    assert sorted(lines.values()) == [
        [["id", "rating of tuned"], ["q2", "no value"]],
        [["id", "rating of tuned"], ["q2", "no value"]],
    ]


def test_every_code_has_its_words_and_its_example() -> None:
    assert set(MISTAKES) == set(CODES) == set(EXAMPLES)


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_documentations_example(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in re.findall(
        r"^`(\S+)`\n\n```\w+\n(.*?)```", EXAMPLES[code], flags=re.MULTILINE | re.DOTALL
    ):
        Path(name).write_text(text, encoding="utf-8")
    ((command, expected),) = re.findall(
        r"```console\n\$ tunesmith (.*?)\n(.*?)```", EXAMPLES[code], flags=re.DOTALL
    )
    assert main(shlex.split(command)) == 0
    assert expected in capsys.readouterr().out


class TestARunOfOurOwn:
    SETTINGS = {"do_sample": False, "temperature": None}

    def found(self, rows: list[Row], texts: list[str], plan: dict[str, Any]) -> dict[str, AuditFinding]:
        test = [row for row in rows if row.split == "test"]
        predictions = [
            Prediction(
                row.id,
                row.source_id,
                system,
                row.prompt,
                text,
                (row.completion,),
                "ok",
                settings=self.SETTINGS,
            )
            for system in ("base", "tuned")
            for row, text in zip(test, texts, strict=True)
        ]
        return {finding.code: finding for finding in audit_run(rows, predictions, plan).findings}

    def row(self, id: str, split: Any, question: str, answer: str, source: str = "") -> Row:
        return Row(
            id, source or f"document of {id}", f"Answer.\n\n{question}", answer, split, instruction=question
        )

    def test_the_runs_rows_answers_and_plan_are_looked_at(self) -> None:
        rows = [
            self.row("a", "train", "Which part stops the flow?", "The valve does it.", "shared.md"),
            self.row(
                "b", "test", "Which part stops the flow?", "The valve is the part that does it.", "shared.md"
            ),
            self.row("c", "test", "How heavy is the pump?", "The pump weighs twelve kilograms in all."),
        ]
        found = self.found(rows, ["", "The pump weighs some."], {"generate": self.SETTINGS})
        assert found["eval_in_train"].evidence == ("b",)
        assert found["same_group"].evidence == ("b",)
        assert found["empty_outputs"].evidence == ("b",)
        assert "no_effect_parameter" not in found
        assert dict(found["eval_in_train"].rows[0].texts)["asked in training"] == "Which part stops the flow?"

    def test_a_limit_that_training_counted_itself_is_not_estimated(self) -> None:
        rows = [self.row("a", "train", "Which part?", "word " * 300 + "end.")]
        assert "truncated_targets" not in self.found(rows, [], {"train": {"max_length": 64}})

    def test_only_the_first_rows_carry_their_texts(self) -> None:
        rows = [
            self.row(f"r{n}", "test", f"Question {n}?", f"An answer of words, number {n}.") for n in range(9)
        ]
        empty = self.found(rows, [""] * 9, {})["empty_outputs"]
        assert (len(empty.evidence), len(empty.rows)) == (9, ROWS_SHOWN)
