from __future__ import annotations

import errno
import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import InputError, TunesmithError
from tunesmith.records import Note, Prediction, TrainingLog, as_row, content_id, from_row
from tunesmith.store import (
    RowWriter,
    Run,
    code_fingerprint,
    fingerprint,
    read_rows,
    told_when_full,
    write_atomically,
)

NOTES = [Note("a.md", "rule", f"text {number} ä 日本", page=number) for number in range(1, 4)]


def write(path: Path, notes: list[Note]) -> None:
    with closing(RowWriter(path)) as writer:
        for note in notes:
            writer.write(note)


def test_rows_come_back_as_they_went(tmp_path: Path) -> None:
    write(tmp_path / "notes.jsonl", NOTES)
    assert list(read_rows(tmp_path / "notes.jsonl", Note)) == NOTES
    assert list(read_rows(tmp_path / "none.jsonl", Note)) == []


@given(st.integers(min_value=1, max_value=80))
def test_a_torn_last_line_is_passed_over_and_then_replaced(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notes.jsonl"
        write(path, NOTES)
        whole = path.read_bytes()
        last_line = len(whole.splitlines(keepends=True)[-1])
        path.write_bytes(whole[: -min(cut, last_line)])
        assert list(read_rows(path, Note)) == NOTES[:2]
        write(path, NOTES[2:])
        assert path.read_bytes() == whole


def test_nan_is_never_written(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path / "x.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.write(Prediction("a", "s", "base", "p", "t", (), "ok", latency_ms=float("nan")))
    writer.close()


def test_a_damaged_row_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    write(path, NOTES)
    path.write_text("{broken\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(InputError, match=r"notes\.jsonl:1"):
        list(read_rows(path, Note))


def test_nested_tuples_and_records_survive_json() -> None:
    log = TrainingLog(
        "train/tuned", 3, 1.0, ((1, 2.5), (2, 2.0)), (), 10, 20, 1.5, 100.0, 5, 50, 0, "float32", "cpu",
        first_example=(("a", False), ("b", True)),
    )  # fmt: skip
    assert from_row(TrainingLog, json.loads(json.dumps(as_row(log)))) == log
    with pytest.raises(TypeError, match="no field colour"):
        from_row(Note, as_row(NOTES[0]) | {"colour": 1})


def test_ids_keep_parts_apart() -> None:
    assert content_id("ab", "c") != content_id("a", "bc")
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 2, "b": 1})


def test_code_fingerprint_sees_a_changed_line(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    before = code_fingerprint(tmp_path)
    (tmp_path / "a.py").write_text("x = 2\n", encoding="utf-8")
    assert code_fingerprint(tmp_path) != before


def finish(run: Run, key: str, text: str) -> None:
    state = run.begin("read", key)
    (run.stage_folder("read") / "rows.jsonl").write_text(text, encoding="utf-8")
    state.status = "done"
    run.save(state)


def test_results_of_other_settings_are_kept_and_come_back(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        finish(run, "a" * 32, "first")
        finish(run, "b" * 32, "second")
        assert (tmp_path / "read/rows.jsonl").read_text(encoding="utf-8") == "second"
        assert run.is_done("read", "a" * 32)
        assert run.begin("read", "a" * 32).status == "done"
        assert (tmp_path / "read/rows.jsonl").read_text(encoding="utf-8") == "first"
        assert run.is_done("read", "b" * 32)


def test_a_folder_without_a_state_is_kept(tmp_path: Path) -> None:
    (tmp_path / "read").mkdir()
    (tmp_path / "read" / "mine.txt").write_text("precious", encoding="utf-8")
    with Run(tmp_path) as run:
        assert run.begin("read", "a" * 32).status == "running"
    kept = list((tmp_path / "kept").rglob("mine.txt"))
    assert [path.read_text(encoding="utf-8") for path in kept] == ["precious"]


def test_two_processes_cannot_write_one_run(tmp_path: Path) -> None:
    with Run(tmp_path), pytest.raises(TunesmithError, match="another tunesmith process"), Run(tmp_path):
        pass
    with Run(tmp_path):
        pass


def test_a_full_disk_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="the disk is full") as caught, told_when_full(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.exit_code == 4
    with pytest.raises(FileNotFoundError), told_when_full(tmp_path):
        (tmp_path / "none").open()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_really_full_disk(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").symlink_to("/dev/full")
    writer = RowWriter(tmp_path / "rows.jsonl")
    with pytest.raises(TunesmithError, match="the disk is full"):
        writer.write(NOTES[0])
    writer._file.close()


def test_atomic_writing_leaves_the_old_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TunesmithError):
        write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
