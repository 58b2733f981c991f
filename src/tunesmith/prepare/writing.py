"""Rows written in any of the formats and file types that are read, so that what is written reads back the same."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError
from tunesmith.prepare.data import DataFacts, wanted_files
from tunesmith.prepare.formats import SHORT_LIST, Asked, BadRow, Columns, FormatName, read_asked, recognise
from tunesmith.prepare.options import FORMAT_NAMES, DataOptions
from tunesmith.prepare.sources import find_data
from tunesmith.tables import TableRow, read_table_leniently

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".xlsx", ".parquet")
CELL_TYPES = (".csv", ".tsv", ".xlsx")
"""Files whose cells hold texts only; lists of messages stand in them as JSON."""
MOST_IN_A_CELL = 32_767
"""Characters, the limit of Excel."""
KEPT = ("id", "source_id", "split")
SHAREGPT_NAMES = {"user": "human", "assistant": "gpt", "system": "system"}
_NOT_IN_EXCEL = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")


@dataclass(slots=True)
class Converted:
    """What a conversion did."""

    format: str
    rows: int = 0
    written: int = 0
    refused: list[str] = field(default_factory=list)
    """Why a row was not written, each with its file and line."""


def values_of(asked: Asked, format: FormatName) -> dict[str, Any]:
    """One row in a format, as plain values.

    Raises:
        BadRow: the format cannot say what the row says.
    """
    if asked.earlier and format not in ("messages", "sharegpt", "prompt_completion"):
        raise BadRow(f"{format} has no place for earlier turns")
    if len(asked.answers) > 1 and format in ("messages", "sharegpt", "prompt_completion"):
        raise BadRow(f"{format} has no place for several right answers")
    answer: Any = asked.answers[0] if len(asked.answers) == 1 else list(asked.answers)
    system = {"system": asked.system} if asked.system else {}
    whole = asked.instruction if not asked.context else f"{asked.instruction}\n\n{asked.context}"
    match format:
        case "messages":
            return {"messages": [{"role": role, "content": text} for role, text in _said(asked, whole)]}
        case "sharegpt":
            said = [{"from": SHAREGPT_NAMES[role], "value": text} for role, text in _said(asked, whole)]
            return {"conversations": said}
        case "prompt_completion":
            if not asked.earlier and not asked.system:
                return {"prompt": whole, "completion": answer}
            messages = [{"role": role, "content": text} for role, text in _said(asked, whole)]
            return {"prompt": messages[:-1], "completion": messages[-1:]}
        case "alpaca":
            return {
                "instruction": asked.instruction,
                "input": asked.context or "",
                "output": answer,
                **system,
            }
        case "question_answer":
            return {"question": asked.instruction, "context": asked.context or "", "answer": answer, **system}
        case "text_label":
            return {"text": whole, "label": answer, **system}
        case "source_target":
            return {"source": whole, "target": answer, **system}


def _said(asked: Asked, last: str) -> list[tuple[str, str]]:
    system = [("system", asked.system)] if asked.system else []
    return [*system, *asked.earlier, ("user", last), ("assistant", asked.answers[0])]


def check_writable(values: dict[str, Any], suffix: str) -> None:
    """Raises `BadRow` where a file of this type cannot hold the values and give them back."""
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise BadRow(f"{name} holds half of a surrogate pair, which is no text") from None
        if suffix in CELL_TYPES and isinstance(value, list) and not (value and isinstance(value[0], dict)):
            raise BadRow(f"a cell of a {suffix} file holds one {name}, not several")
        if suffix == ".xlsx" and len(text) > MOST_IN_A_CELL:
            raise BadRow(f"{name} has {len(text):,} characters, and a cell of Excel holds {MOST_IN_A_CELL:,}")
        if suffix == ".xlsx" and _NOT_IN_EXCEL.search(text):
            raise BadRow(f"{name} holds a control character that an Excel file cannot give back")


def write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The rows as a file of the type its suffix names: all of it, or the file that was there stays.

    Raises:
        InputError: files of this type are not written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"files of the kind {suffix or 'without suffix'!r} are not written",
            where=str(path),
            do=f"use one of: {', '.join(SUFFIXES)}",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.stem}.new{suffix}")
    try:
        if suffix == ".jsonl":
            new.write_text(
                "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
            )
        elif suffix == ".json":
            new.write_text(json.dumps(list(rows), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        elif suffix == ".parquet":
            _write_parquet(rows, new)
        elif suffix == ".xlsx":
            _write_xlsx(rows, new)
        else:
            _write_cells(rows, new, "," if suffix == ".csv" else "\t")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _columns(rows: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write_cells(rows: Sequence[dict[str, Any]], path: Path, delimiter: str) -> None:
    names = _columns(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        writer.writerows([_cell(row.get(name)) for name in names] for row in rows)


def _write_parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    names = _columns(rows)
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if any(isinstance(value, list) for value in values):
            # one type for a column: a text beside lists is a list of one, a prompt beside messages is their first
            values = [_as_list(value, name) for value in values]
        columns[name] = values
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _as_list(value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    if name in ("prompt", "completion"):
        return [{"role": "user" if name == "prompt" else "assistant", "content": value}]
    return [value]


def _write_xlsx(rows: Sequence[dict[str, Any]], path: Path) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("rows")
    names = _columns(rows)
    sheet.append(names)
    for row in rows:
        cells = []
        for name in names:
            cell = WriteOnlyCell(sheet, value=_cell(row.get(name)))
            cell.data_type = "s"  # a text that starts with = is no formula
            cells.append(cell)
        sheet.append(cells)
    book.save(path)


def convert_data(options: DataOptions, root: Path, target: Path, to: FormatName) -> Converted:
    """Write a set in another format or file type. Ids, sources and parts go along.

    Raises:
        InputError: the set cannot be read, fits no format, or no row of it can be written.
        MissingError: a hub data set is not to be had.
    """
    suffix = target.suffix.lower()
    columns = Columns(options.columns)
    facts = DataFacts(options.name)
    found = find_data(options, root)
    result = Converted("")
    rows: list[dict[str, Any]] = []
    for file in wanted_files(found.files, options):
        read = list(read_table_leniently(file.path))
        good = [row.values for row in read[:SHORT_LIST] if isinstance(row, TableRow)]
        recognised = recognise(good, options.columns)
        format = options.format or (recognised.format if recognised else None)
        if format is None:
            raise InputError(
                "its rows fit no format",
                where=file.name,
                do=f"name it with --format ({', '.join(FORMAT_NAMES)}), or map columns with --columns",
            )
        facts.formats.append(format)
        for row in read:
            result.rows += 1
            if isinstance(row, InputError):
                result.refused.append(str(row).splitlines()[0])
                continue
            try:
                for one in read_asked(row.values, format, columns, turns=options.turns):
                    values = values_of(_with_instruction(one, options), to)
                    for name in KEPT:
                        value = columns.get(row.values, name)
                        if value is not None:
                            values[name] = str(value)
                    if file.part is not None and len(found.files) > 1:
                        values.setdefault("split", file.part)
                    check_writable(values, suffix)
                    rows.append(values)
            except BadRow as error:
                result.refused.append(f"{row.where}: {error}")
    result.format = ", ".join(dict.fromkeys(facts.formats))
    if not rows:
        raise InputError(
            f"none of the {result.rows:,} rows can be written as {to}; {'; '.join(result.refused[:3])}",
            where=options.path,
            do="name another format with --to, or another file type",
        )
    write_table(rows, target)
    result.written = len(rows)
    return result


def _with_instruction(asked: Asked, options: DataOptions) -> Asked:
    if options.instruction is None or asked.context is not None or asked.earlier:
        return asked
    return replace(asked, instruction=options.instruction, context=asked.instruction)
