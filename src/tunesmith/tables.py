"""Rows out of the table files people have: JSON lines, JSON, CSV, TSV, XLSX, Parquet, Arrow.

Each row knows where it stands."""

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

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".xlsx", ".parquet", ".arrow")


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
    yield from _renamed(_only_good(read_table_leniently(path)), path, columns or {})


def read_table_leniently(path: Path) -> Iterator[TableRow | InputError]:
    """The rows of a file in order, and in the place of each row that cannot be read, why.

    Raises:
        InputError: the whole file cannot be read: it is missing, of an unknown kind or damaged.
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
    yield from rows


Read = Iterator[TableRow | InputError]


def _only_good(rows: Read) -> Iterator[TableRow]:
    for row in rows:
        if isinstance(row, InputError):
            raise row
        yield row


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


def _json_lines(path: Path) -> Read:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}:{number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    yield TableRow(_object(_parsed(text, where), where), where)
            except UnicodeDecodeError as error:
                yield _not_utf8(where, error)
            except InputError as error:
                yield error


def _json(path: Path) -> Read:
    """A list of objects, or an object with exactly one such list."""
    try:
        content = _parsed(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise _not_utf8(str(path), error) from None
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
        try:
            yield TableRow(_object(value, where), where)
        except InputError as error:
            yield error


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


def _comma_separated(path: Path, delimiter: str = ",") -> Read:
    csv.field_size_limit(sys.maxsize)  # a text may be long
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, restkey="", strict=True)
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if "" in row or None in row.values():
                    yield InputError(
                        f"this row has another number of cells than the header's {len(reader.fieldnames or ())}",
                        where=where,
                        do="put texts with commas or line breaks in double quotes",
                    )
                    continue
                yield TableRow(dict(row), where)
    except UnicodeDecodeError as error:
        raise _not_utf8(str(path), error) from None
    except csv.Error as error:
        raise InputError(
            f"this is not CSV: {error}", where=str(path), do="put texts in double quotes"
        ) from None


def _tab_separated(path: Path) -> Read:
    return _comma_separated(path, delimiter="\t")


def _spreadsheet(path: Path) -> Read:
    """The first sheet of an Excel file; its first row names the columns. Formulas give the values last computed."""
    from zipfile import BadZipFile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
        raise InputError(
            f"this is not an Excel file: {str(error).splitlines()[0]}",
            where=str(path),
            do="save it again as .xlsx",
        ) from None
    try:
        cells = book.worksheets[0].iter_rows(values_only=True)
        header = [None if name is None else str(name).strip() for name in next(cells, ())]
        for number, line in enumerate(cells, start=2):
            if all(value is None for value in line):
                continue
            where = f"{path}, row {number}"
            if any(value is not None for value in line[len(header) :]) or any(
                value is not None and not name for name, value in zip(header, line, strict=False)
            ):
                yield InputError(
                    "a cell stands under no column name", where=where, do="name every column in row 1"
                )
                continue
            padded = (*line, *[None] * (len(header) - len(line)))
            yield TableRow(
                {name: _cell(value) for name, value in zip(header, padded, strict=False) if name}, where
            )
    finally:
        book.close()


def _cell(value: Any) -> Any:
    """A cell as JSON knows it: whole numbers without a point, dates and times as text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _parquet(path: Path) -> Read:
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


def _arrow(path: Path) -> Read:
    """An Arrow stream or file, as `datasets` saves them."""
    from pyarrow import ArrowInvalid, ipc, memory_map

    number = 0
    try:
        with memory_map(str(path)) as source:
            try:
                batches: Any = ipc.open_stream(source)
            except ArrowInvalid:
                file = ipc.open_file(source)
                batches = (file.get_batch(place) for place in range(file.num_record_batches))
            for batch in batches:
                for values in batch.to_pylist():
                    number += 1
                    yield TableRow(values, f"{path}, row {number}")
    except (ArrowInvalid, OSError) as error:
        raise InputError(
            f"this is not Arrow: {str(error).splitlines()[0]}", where=str(path), do="write it again"
        ) from None


def _not_utf8(where: str, error: UnicodeDecodeError) -> InputError:
    return InputError(f"this is not UTF-8 text (byte {error.start + 1})", where=where, do="save it as UTF-8")


_READERS = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _comma_separated,
    ".tsv": _tab_separated,
    ".xlsx": _spreadsheet,
    ".parquet": _parquet,
    ".arrow": _arrow,
}
