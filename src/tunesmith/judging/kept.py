"""Every judgement and grade in a file of its own, one a line, so that nothing a judge said is lost; and back again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError
from tunesmith.records import Grade, Judgement, from_row
from tunesmith.store import RowWriter
from tunesmith.tables import read_table

_SIGNS = {
    Judgement: {"id", "base", "tuned", "order", "verdict", "control"},
    Grade: {"id", "system", "criterion", "value", "judge"},
}
"""Columns that tell a row of ours from anybody's."""


def check_place(out: Path, others: Iterable[Path]) -> None:
    """Raises `InputError` when something else would be written over: better now than after the judging."""
    if out.is_dir():
        raise InputError("this is a folder", where=str(out), do="name a file with --out")
    for other in others:
        if out.exists() and other.exists() and out.samefile(other):
            raise InputError(
                "the judgements would be written over a file that is read", where=str(out), do="name another"
            )
    if out.exists() and out.stat().st_size and not holds_judgements(out):
        raise InputError(
            "there is a file of that name, and it holds no judgements",
            where=str(out),
            do="name another file with --out, or move this one away",
        )


def keeping(records: Iterable[Judgement | Grade], out: Path) -> Iterator[Judgement | Grade]:
    """Hands the records on and writes each as it comes, to `OUT.part`, which becomes `OUT` after the last.

    An earlier judging of that name that says something else is kept as `OUT.1`, `OUT.2`, …
    """
    part = out.with_name(out.name + ".part")
    part.unlink(missing_ok=True)
    writer = RowWriter(part)
    try:
        for record in records:
            writer.write(record)
            yield record
    finally:
        writer.close()
    if out.exists() and out.stat().st_size and out.read_bytes() != part.read_bytes():
        out.rename(_free_name(out))
    os.replace(part, out)


def _free_name(out: Path) -> Path:
    number = 1
    while (place := out.with_name(f"{out.name}.{number}")).exists():
        number += 1
    return place


def holds_judgements(path: Path) -> bool:
    """Whether the first row of a file is one of ours. A file that cannot be read holds none."""
    try:
        first = next(iter(read_table(path)), None)
    except InputError:
        return False
    return first is not None and _type_of(first.values) is not None


def read_judged(path: Path) -> list[Judgement | Grade]:
    """The judgements and grades of a file.

    Raises:
        InputError: the file cannot be read, or a row is neither; with the file and the line.
    """
    records: list[Judgement | Grade] = []
    for row in read_table(path):
        record_type = _type_of(row.values)
        if record_type is None:
            raise InputError("this row is no judgement and no grade", where=row.where, do="check the file")
        known = {field.name for field in fields(record_type)}
        try:
            records.append(
                from_row(record_type, {name: value for name, value in row.values.items() if name in known})
            )
        except TypeError as error:
            raise InputError(
                f"this row is no whole {record_type.__name__.lower()}: {error}",
                where=row.where,
                do="check the file",
            ) from None
    return records


def _type_of(values: dict[str, Any]) -> type[Judgement] | type[Grade] | None:
    if values.keys() >= _SIGNS[Judgement]:
        return Judgement
    return Grade if values.keys() >= _SIGNS[Grade] else None
