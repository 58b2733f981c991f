"""Table files in and out of order: what is read, and the one message for what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tunesmith.errors import InputError
from tunesmith.tables import TableRow, read_table

ROWS = [{"id": "1", "text": 'with "quotes", commas\nand a line'}, {"id": "2", "text": "日本語 🙂"}]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "\ufeff" + "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)),
        ("a.json", json.dumps({"version": 1, "rows": ROWS})),
        ("a.csv", 'id,text\r\n1,"with ""quotes"", commas\nand a line"\r\n2,日本語 🙂\r\n'),
        ("a.tsv", 'id\ttext\n1\t"with ""quotes"", commas\nand a line"\n2\t日本語 🙂\n'),
    ],
)
def test_text_tables(tmp_path: Path, name: str, content: str) -> None:
    assert [row.values for row in read_table(written(tmp_path, name, content))] == ROWS


def test_parquet(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert [row.values for row in read_table(tmp_path / "a.parquet")] == ROWS


def test_columns_under_other_names_are_added(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "key,answer\n1,yes\n")
    [row] = read_table(path, {"id": "key", "prediction": "answer"})
    assert row.values == {"key": "1", "answer": "yes", "id": "1", "prediction": "yes"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"id": 1}\n{"id": \n', r"a\.jsonl:2: this is not JSON: Expecting value at character 7"),
        ("a.jsonl", '{"id": 1}\n[1]\n', r"a\.jsonl:2: a row is an object"),
        ("a.jsonl", b'{"id": "\xff"}', r"not UTF-8 text \(byte 9\)"),
        ("a.json", '{"a": 1}', "not a list of rows"),
        ("a.csv", "id,text\n1,a,b\n", r"a\.csv:2: this row has another number of cells than the header's 2"),
        ("a.csv", "id,text\n1\n", r"a\.csv:2: this row has another number of cells"),
        ("a.csv", 'id,text\n1,"open\n', "this is not CSV"),
        ("a.parquet", b"PAR", "this is not Parquet"),
        ("a.xml", "<a/>", r"tables of the kind '\.xml' are not read"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        list(read_table(written(tmp_path, name, content)))


def test_missing_file_and_missing_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read_table(tmp_path / "none.csv"))
    path = written(tmp_path, "a.csv", "key,answer\n1,yes\n")
    with pytest.raises(InputError, match=r"(?s)a\.csv:2: there is no column 'text'; there are: key, answer"):
        list(read_table(path, {"prediction": "text"}))


def test_cells_as_text_and_number() -> None:
    row = TableRow({"a": None, "b": 3, "c": float("nan"), "d": [1], "e": "0.5", "f": "x", "g": ""}, "f.csv:2")
    assert [row.text("a"), row.text("b"), row.text("nowhere")] == [None, "3", None]
    assert [row.number("e"), row.number("b"), row.number("g")] == [0.5, 3.0, None]
    for column, read in (("c", row.text), ("d", row.text), ("c", row.number), ("f", row.number)):
        with pytest.raises(InputError, match=r"f\.csv:2"):
            read(column)
