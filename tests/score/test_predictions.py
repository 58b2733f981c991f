"""Predictions from our own files, plain tables, lm-eval and inspect."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from tests.score.pairs import prediction
from tunesmith.errors import InputError
from tunesmith.records import as_row
from tunesmith.score.predictions import read_predictions


def written(folder: Path, rows: list[dict[str, Any]], name: str = "answers.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_plain_rows_fill_in_what_they_do_not_say(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "prediction": "yes", "reference": "yes"},
        {
            "id": "8",
            "prediction": None,
            "references": ["a", "b"],
            "source_id": "doc",
            "system": "tuned",
            "prompt": "?",
        },
        {"id": "9", "prediction": "cut", "reference": "r", "finish_reason": "length"},
        {"id": "10", "prediction": "", "reference": "r", "error": "timeout"},
    ]
    found = read_predictions(written(tmp_path, rows))
    assert [(p.id, p.source_id, p.system, p.text, p.references, p.status) for p in found] == [
        ("7", "7", "answers", "yes", ("yes",), "ok"),
        ("8", "doc", "tuned", "", ("a", "b"), "empty"),
        ("9", "9", "answers", "cut", ("r",), "truncated"),
        ("10", "10", "answers", "", ("r",), "error"),
    ]
    assert found[1].prompt == "?"


def test_our_own_files(tmp_path: Path) -> None:
    one = prediction("text", ("a", "b"), reference_nll=2.5, reference_tokens=3)
    [found] = read_predictions(written(tmp_path, [as_row(one)]))
    assert (found.text, found.references, found.system) == ("text", ("a", "b"), "base")
    assert (found.reference_nll, found.reference_tokens) == (2.5, 3)


def test_csv_with_other_names_and_a_list_of_references(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('key,answer,references\n1,yes,"[""yes"", ""no""]"\n2,,maybe\n', encoding="utf-8")
    found = read_predictions(path, columns={"id": "key", "prediction": "answer"})
    assert [(p.id, p.text, p.references, p.status) for p in found] == [
        ("1", "yes", ("yes", "no"), "ok"),
        ("2", "", ("maybe",), "empty"),
    ]


def test_lm_eval_samples(tmp_path: Path) -> None:
    sample = {
        "doc_id": 0,
        "doc": {"question": "?"},
        "target": "['42', 'forty-two']",
        "arguments": {"gen_args_0": {"arg_0": "Question: ?\nAnswer:", "arg_1": {"until": ["\n"]}}},
        "resps": [["It is 42."]],
        "filtered_resps": ["42"],
        "filter": "strict-match",
        "metrics": ["exact_match"],
    }
    other = {**sample, "filter": "none", "target": "[sic] a text", "arguments": [["older form", {}]]}
    found = read_predictions(written(tmp_path, [sample, other], "samples_gsm8k_2026.jsonl"))
    assert [(p.id, p.system, p.text, p.references, p.prompt) for p in found] == [
        ("0", "strict-match", "42", ("42", "forty-two"), "Question: ?\nAnswer:"),
        ("0", "samples_gsm8k_2026", "42", ("[sic] a text",), "older form"),
    ]


def test_what_belongs_together_in_a_log(tmp_path: Path) -> None:
    sample = {"doc_id": 0, "target": "42", "arguments": {}, "filtered_resps": ["42"], "filter": "none"}
    rows = [{**sample, "doc_id": n, "doc": {"source_id": f"s{n}", "title": "Tanks"}} for n in (1, 2)]
    path = written(tmp_path, rows)
    assert [p.source_id for p in read_predictions(path)] == ["s1", "s2"]
    assert [p.source_id for p in read_predictions(path, columns={"source_id": "title"})] == ["Tanks"] * 2
    with pytest.raises(InputError, match=r":1: there is no field 'page'; there are: .*, title"):
        read_predictions(path, columns={"source_id": "page"})
    with pytest.raises(InputError, match="have their own columns"):
        read_predictions(path, columns={"prediction": "resps"})
    log = tmp_path / "log.json"
    samples = [{**SAMPLES[0], "metadata": {"source_id": "s1", "title": "Tanks"}}]
    log.write_text(json.dumps({"version": 2, "eval": {"model": "m"}, "samples": samples}))
    assert [p.source_id for p in read_predictions(log)] == ["s1"]
    assert [p.source_id for p in read_predictions(log, columns={"source_id": "title"})] == ["Tanks"]


@pytest.mark.parametrize(
    "answers", [[[-1.5, True], [-3.0, False]], [["-1.5", "True"], ["-3.0", "False"]], [["-0.2", "True"]]]
)
def test_lm_eval_tasks_without_answers(tmp_path: Path, answers: list[Any]) -> None:
    likelihoods = {"doc_id": 0, "target": "1", "arguments": {}, "filtered_resps": answers}
    with pytest.raises(InputError, match=r"answers\.jsonl:1: this lm-eval task compares likelihoods"):
        read_predictions(written(tmp_path, [likelihoods]))


@pytest.mark.parametrize("answers", [["42"], [["42", "43"]], [["42"]], [["42", "True"]]])
def test_of_several_answers_to_an_lm_eval_request_the_first_counts(
    tmp_path: Path, answers: list[Any]
) -> None:
    sample = {"doc_id": 3, "target": "42", "arguments": {}, "filtered_resps": answers, "filter": "none"}
    [found] = read_predictions(written(tmp_path, [sample]))
    assert (found.id, found.text, found.references) == ("3", "42", ("42",))


SAMPLES = [
    {
        "id": "q1",
        "epoch": 1,
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What?"}],
        "target": ["a", "b"],
        "output": {"choices": [{"message": {"content": "an answer"}, "stop_reason": "stop"}]},
    },
    {
        "id": "q2",
        "epoch": 1,
        "input": "Why?",
        "target": "because",
        "output": {
            "choices": [
                {
                    "message": {
                        "content": [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "bec"}]
                    },
                    "stop_reason": "max_tokens",
                }
            ]
        },
    },
    {"id": "q3", "epoch": 2, "input": "Who?", "target": "x", "output": {}, "error": {"message": "timed out"}},
]
READ = [
    ("q1", "openai/m", "an answer", ("a", "b"), "What?", "ok"),
    ("q2", "openai/m", "bec", ("because",), "Why?", "truncated"),
    ("q3", "openai/m (epoch 2)", "", ("x",), "Who?", "error"),
]


def test_inspect_json_log(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(
        json.dumps({"version": 2, "status": "success", "eval": {"model": "openai/m"}, "samples": SAMPLES})
    )
    found = read_predictions(path)
    assert [(p.id, p.system, p.text, p.references, p.prompt, p.status) for p in found] == READ


@pytest.mark.parametrize("packed", ["deflate", "zstd"])
def test_inspect_eval_log(tmp_path: Path, packed: str) -> None:
    path = tmp_path / "log.eval"
    members = {"header.json": {"version": 2, "eval": {"model": "openai/m"}}, "summaries.json": []}
    members |= {f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in SAMPLES}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if packed == "deflate":
                archive.writestr(name, json.dumps(content))
            else:
                _write_zstd(archive, name, json.dumps(content).encode())
    found = read_predictions(path)
    assert [(p.id, p.system, p.text, p.references, p.prompt, p.status) for p in found] == READ


def test_inspect_eval_log_of_an_interrupted_run(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_journal/start.json", json.dumps({"version": 2, "eval": {"model": "openai/m"}}))
        archive.writestr("_journal/summaries/1.json", "[]")
        archive.writestr("samples/q1_epoch_1.json", json.dumps(SAMPLES[0]))
    [found] = read_predictions(path)
    assert (found.id, found.system, found.text) == ("q1", "openai/m", "an answer")


def _write_zstd(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """A member packed by method 93: stored packed, then relabelled in both places where ZIP says the method."""
    packed = pyarrow.compress(data, codec="zstd", asbytes=True)
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_STORED
    archive.writestr(info, packed)
    info.compress_type = 93
    assert archive.fp is not None
    end = archive.fp.tell()
    archive.fp.seek(info.header_offset + 8)
    archive.fp.write((93).to_bytes(2, "little"))
    archive.fp.seek(end)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prediction": "a", "reference": "b"}], r"answers\.jsonl:1: this row has no id"),
        ([{"id": " ", "prediction": "a"}], "this row has no id"),
        (
            [{"id": 1, "prediction": "a"}, {"id": 1, "prediction": "b"}],
            r"answers\.jsonl:2: id 1 was there before",
        ),
        ([{"id": 1, "answer": "a"}], r"no column 'prediction'; there are: id, answer"),
        ([{"id": 1, "prediction": float("nan")}], "prediction is nan"),
        ([{"id": 1, "prediction": "a", "references": [1]}], "references is not a list of texts"),
        ([{"id": 1, "prediction": "a", "reference_nll": "many"}], "reference_nll is 'many', not a number"),
        (
            [{"id": 1, "prediction": "a", "reference_nll": -4.5, "reference_tokens": 3}],
            r"answers\.jsonl:1: reference_nll is -4\.5: it is the sum of -ln p",
        ),
        ([{"id": 1, "prediction": "a", "status": "failed"}], "status is 'failed', which could mean anything"),
        ([], "there are no predictions in this file"),
    ],
)
def test_mistakes_are_told_with_file_and_line(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_predictions(written(tmp_path, rows))


def test_damaged_inspect_logs(tmp_path: Path) -> None:
    (tmp_path / "log.eval").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="inspect log convert"):
        read_predictions(tmp_path / "log.eval")
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "none.eval")


def test_columns_that_nobody_reads(tmp_path: Path) -> None:
    path = written(tmp_path, [{"id": 1, "prediction": "a", "reference": "b"}])
    with pytest.raises(InputError, match="'predicted' is not a column that predictions have"):
        read_predictions(path, columns={"predicted": "prediction"})
    log = tmp_path / "log.json"
    log.write_text(json.dumps({"version": 2, "eval": {"model": "m"}, "samples": SAMPLES}), encoding="utf-8")
    with pytest.raises(InputError, match="inspect have their own columns"):
        read_predictions(log, columns={"prediction": "answer"})


def test_columns_of_lm_eval_samples(tmp_path: Path) -> None:
    rows = [{"doc_id": 0, "target": "yes", "filtered_resps": ["no"], "book": "first"}]
    [found] = read_predictions(written(tmp_path, rows), columns={"source_id": "book"})
    assert (found.id, found.source_id, found.text) == ("0", "first", "no")
    with pytest.raises(InputError, match="have their own columns"):
        read_predictions(written(tmp_path, rows), columns={"prediction": "book"})
