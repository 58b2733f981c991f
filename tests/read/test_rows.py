"""Tables as documents: which column is the text, names that last, and rows that give none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import InputError
from tunesmith.read.stage import ChunkOptions, ReadOptions, chunk_documents, files_to_read, read_documents
from tunesmith.records import Document, Note

PUMP = "A heat pump moves heat from a cold place to a warm place."
VALVE = "A valve is a part that stops a flow of water in a pipe."


def read(root: Path, documents: str = ".", **options: Any) -> tuple[list[Document], list[Note]]:
    records = list(read_documents(ReadOptions(documents=documents, **options), root))
    return [one for one in records if isinstance(one, Document)], [
        one for one in records if isinstance(one, Note)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The same rows as each kind of table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix in (".csv", ".tsv"):
        import csv

        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".xlsx":
        from openpyxl import Workbook

        book = Workbook()
        sheet = book.worksheets[0]
        for line in [list(rows[0]), *(list(row.values()) for row in rows)]:
            sheet.append(line)
        book.save(path)
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".parquet"])
def test_each_row_of_any_table_is_a_document(tmp_path: Path, suffix: str) -> None:
    write_rows(
        tmp_path / f"parts{suffix}",
        [{"id": "p1", "title": "Pumps", "body": PUMP}, {"id": "v1", "title": "Valves", "body": VALVE}],
    )
    documents, refused = read(tmp_path)
    assert not refused
    assert [(one.source_id, one.title, one.text) for one in documents] == [
        (f"parts{suffix}#p1", "Pumps", PUMP),
        (f"parts{suffix}#v1", "Valves", VALVE),
    ]
    assert {one.file for one in documents} == {f"parts{suffix}"}


def test_a_row_added_above_renames_none(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_rows(path, [{"text": PUMP}])
    before = read(tmp_path)[0][0]
    write_rows(path, [{"text": VALVE}, {"text": PUMP}])
    after = read(tmp_path)[0]
    assert before.origin == "a.jsonl:1"
    assert [one.origin for one in after] == ["a.jsonl:1", "a.jsonl:2"]
    assert (after[1].id, after[1].source_id) == (before.id, before.source_id)


def test_rows_of_one_source_are_held_out_together_and_their_passages_told_apart(tmp_path: Path) -> None:
    start = "This is how each of them begins, word for word."
    rows = [
        {"text": f"{start}\n\n{PUMP} {PUMP}", "book": "B1"},
        {"text": f"{start}\n\n{VALVE} {VALVE}", "book": "B1"},
    ]
    write_rows(tmp_path / "a.jsonl", rows)
    documents, _ = read(tmp_path, source_column="book")
    assert [one.source_id for one in documents] == ["B1", "B1"]
    passages = list(chunk_documents(documents, ChunkOptions(tokens=16)))
    assert [one.text for one in passages].count(start) == 2
    assert len({one.id for one in passages}) == len(passages)


@pytest.mark.parametrize(
    ("row", "rule", "said"),
    [
        ({"text": "a", "body": "b"}, "no_text_column", "text and body may each be the text"),
        ({"name": "a", "price": "b"}, "no_text_column", "There are: name, price."),
    ],
)
def test_an_unclear_text_column_is_asked_for(
    tmp_path: Path, row: dict[str, str], rule: str, said: str
) -> None:
    write_rows(tmp_path / "a.csv", [row])
    (note,) = read(tmp_path)[1]
    assert (note.rule, note.is_refusal) == (rule, True)
    assert said in note.text
    assert "read.text_column" in note.text


def test_the_columns_can_be_named(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", [{"text": "x", "body": "y", "what": PUMP, "called": "Pumps"}])
    documents, _ = read(tmp_path, text_column="what", title_column="called")
    assert (documents[0].text, documents[0].title) == (PUMP, "Pumps")
    (note,) = read(tmp_path, text_column="waht")[1]
    assert note.rule == "no_such_column"
    assert "there are: text, body, what, called" in note.text


def test_a_lone_column_is_the_text_whatever_its_name(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", [{"review": PUMP}])
    assert read(tmp_path)[0][0].text == PUMP


def test_bad_rows_are_kept_with_file_and_line(tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": PUMP}),
        "{oops",
        json.dumps({"text": ["a"]}),
        json.dumps({"text": " "}),
        "[1]",
    ]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, json.dumps({"text": PUMP})]))
    documents, refused = read(tmp_path)
    assert [one.text for one in documents] == [PUMP]
    assert [(note.rule, note.text.split(": ")[0]) for note in refused] == [
        ("bad_row", "a.jsonl:2"),
        ("bad_row", "a.jsonl:3"),
        ("empty_row", "a.jsonl:4"),
        ("bad_row", "a.jsonl:5"),
        ("duplicate_row", "a.jsonl:6"),
    ]
    assert refused[-1].text == "a.jsonl:6: the same text stands at a.jsonl:1"
    assert all(note.is_refusal and str(tmp_path) not in note.text for note in refused)


def test_what_is_no_table_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    (tmp_path / "b.json").write_text("{}")
    (tmp_path / "c.xlsx").write_bytes(b"no zip")
    (tmp_path / "d.csv").write_text("")
    (tmp_path / "e.md").write_text(PUMP)
    documents, refused = read(tmp_path)
    assert [one.source_id for one in documents] == ["e.md"]
    assert [(note.source_id, note.rule) for note in refused] == [
        ("a.parquet", "broken"),
        ("b.json", "broken"),
        ("c.xlsx", "broken"),
        ("d.csv", "empty"),
    ]
    assert all(str(tmp_path) not in note.text for note in refused)


def test_options_for_tables_without_a_table_say_that_they_have_no_effect(tmp_path: Path) -> None:
    (tmp_path / "e.md").write_text(PUMP)
    for key in ("text_column", "title_column", "source_column", "subset"):
        with pytest.raises(InputError, match="no effect"):
            read(tmp_path, **{key: "x"})
    with pytest.raises(InputError, match="no effect"):
        read(tmp_path, take="train")


# Data sets


CARD = """---
license: cc-by-4.0
configs:
- config_name: small
  data_files:
  - {split: train, path: small/train-*.parquet}
  - {split: test, path: small/test-*.parquet}
- config_name: large
  data_files: large/*.jsonl
---
# A set
"""


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    write_rows(folder / "small" / "train-00000-of-00001.parquet", [{"text": PUMP}])
    write_rows(folder / "small" / "test-00000-of-00001.parquet", [{"text": VALVE}])
    write_rows(folder / "large" / "a.jsonl", [{"text": "Quite another text stands here."}])
    (folder / "README.md").write_text(CARD)
    return tmp_path


def test_a_folder_laid_out_as_a_hub_data_set_is_read_as_one(data_set: Path) -> None:
    documents, refused = read(data_set, "set", subset="small")
    assert not refused
    assert [(one.file, one.text) for one in documents] == [
        ("small/test-00000-of-00001.parquet", VALVE),
        ("small/train-00000-of-00001.parquet", PUMP),
    ]
    assert [one.text for one in read(data_set, "set", subset="small", take="train")[0]] == [PUMP]
    assert [one.file for one in read(data_set, "set", subset="large")[0]] == ["large/a.jsonl"]


def test_a_data_set_of_several_configurations_asks_for_one(data_set: Path) -> None:
    with pytest.raises(InputError, match="several configurations") as caught:
        read(data_set, "set")
    assert caught.value.where == "read.documents: set"
    with pytest.raises(InputError, match="its parts are test, train"):
        read(data_set, "set", subset="small", take="validation")


def test_a_hub_id_is_fetched_and_read(data_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[tuple[str, str]] = []

    def fetch(name: str, *, repo_type: str, allow_patterns: list[str]) -> str:
        asked.append((name, repo_type))
        return str(data_set / "set")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    documents, _ = read(data_set, "someone/parts", subset="small")
    assert asked == [("someone/parts", "dataset")]
    assert documents[0].file == "someone/parts/small/test-00000-of-00001.parquet"


def test_a_missing_file_is_no_hub_id(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        files_to_read(ReadOptions(documents="reports/a.pdf"), tmp_path)
