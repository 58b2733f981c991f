"""Rows out of the table files people have: JSON lines, JSON, CSV, TSV, Parquet. Each row knows where it stands."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row, with its file and line (or number, where a file has no lines) for messages."""

    values: dict[str, Any]
    where: str

    def text(self, column: str) -> str | None:
        """The value of a column as text; `None` when it is missing or null. Numbers become text, NaN is refused.

        Raises:
            InputError: the value is NaN, a list or an object.
        """
        value = self.values.get(column)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(
                f"{column} is {value}, which is neither text nor empty",
                where=self.where,
                do="use null or text",
            )
        if isinstance(value, bool | int | float):
            return str(value)
        raise InputError(
            f"{column} is not text but {type(value).__name__}", where=self.where, do="give one text per row"
        )

    def number(self, column: str) -> float | None:
        """The value of a column as a finite number; `None` when it is missing, null or an empty cell.

        Raises:
            InputError: the value is not a finite number.
        """
        value = self.values.get(column)
        if value is None or value == "":
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(
                f"{column} is {value!r}, not a number", where=self.where, do="give a number or leave it empty"
            )
        return number


def read_table(path: Path, columns: Mapping[str, str] | None = None) -> Iterator[TableRow]:
    """The rows of a file, in order.

    Args:
        path: what it is follows from its suffix.
        columns: name wanted to name in the file, for files with other column names.

    Raises:
        InputError: the file is missing, of an unknown kind, damaged, or lacks a named column.
    """
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), do="check the path")
    suffix = path.suffix.lower()
    try:
        rows = _READERS[suffix](path)
    except KeyError:
        raise InputError(
            f"tables of the kind {suffix or 'without suffix'!r} are not read",
            where=str(path),
            do=f"use one of: {', '.join(SUFFIXES)}",
        ) from None
    yield from _renamed(rows, path, columns or {})


def _renamed(rows: Iterator[TableRow], path: Path, columns: Mapping[str, str]) -> Iterator[TableRow]:
    for row in rows:
        missing = [name for name in columns.values() if name not in row.values]
        if missing:
            raise InputError(
                f"there is no column {missing[0]!r}; there are: {', '.join(map(str, row.values)) or 'none'}",
                where=row.where,
                do="name a column of the file",
            )
        yield TableRow({**row.values, **{name: row.values[of] for name, of in columns.items()}}, row.where)


def _json_lines(path: Path) -> Iterator[TableRow]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    where = f"{path}:{number}"
                    yield TableRow(_object(_parsed(line.rstrip(), where), where), where)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None


def _json(path: Path) -> Iterator[TableRow]:
    """A list of objects, or an object with exactly one such list."""
    try:
        content = _parsed(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None
    if isinstance(content, dict):
        lists = [
            value
            for value in content.values()
            if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list):
        raise InputError(
            "this is not a list of rows", where=str(path), do="give a JSON list of objects, or JSON lines"
        )
    for number, value in enumerate(content, start=1):
        where = f"{path}, row {number}"
        yield TableRow(_object(value, where), where)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"this is not JSON: {error.msg} at character {error.pos + 1}", where=where, do="mend the line"
        ) from None
    except RecursionError:
        raise InputError("this JSON is nested too deeply", where=where, do="mend the line") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError("a row is an object with named values", where=where, do='write {"id": …, …}')
    return value


def _comma_separated(path: Path, delimiter: str = ",") -> Iterator[TableRow]:
    csv.field_size_limit(sys.maxsize)  # a text may be long
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, restkey="", strict=True)
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if "" in row or None in row.values():
                    raise InputError(
                        f"this row has another number of cells than the header's {len(reader.fieldnames or ())}",
                        where=where,
                        do="put texts with commas or line breaks in double quotes",
                    )
                yield TableRow(dict(row), where)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None
    except csv.Error as error:
        raise InputError(
            f"this is not CSV: {error}", where=str(path), do="put texts in double quotes"
        ) from None


def _tab_separated(path: Path) -> Iterator[TableRow]:
    return _comma_separated(path, delimiter="\t")


def _parquet(path: Path) -> Iterator[TableRow]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise InputError(
            f"this is not Parquet: {str(error).splitlines()[0]}", where=str(path), do="write it again"
        ) from None
    number = 0
    with file:
        for batch in file.iter_batches():
            for values in batch.to_pylist():
                number += 1
                yield TableRow(values, f"{path}, row {number}")


def _not_utf8(path: Path, error: UnicodeDecodeError) -> InputError:
    return InputError(
        f"this is not UTF-8 text (byte {error.start + 1})", where=str(path), do="save it as UTF-8"
    )


_READERS = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _comma_separated,
    ".tsv": _tab_separated,
    ".parquet": _parquet,
}
