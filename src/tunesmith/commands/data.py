"""The command about finished rows: `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.commands.arguments import ColumnsOption, JsonOption, columns_of, print_json
from tunesmith.errors import GateError, InputError

SHOWN = 5


def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A table file, a folder, a pattern, or a hub id.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL, JSON, CSV, TSV, XLSX or Parquet.")],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="alpaca, prompt_completion, messages, sharegpt, …")
    ] = "prompt_completion",
    format: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="What IN is [default: recognised].")
    ] = None,
    instruction: Annotated[
        str | None, typer.Option("--instruction", metavar="TEXT", help="Words for rows without any.")
    ] = None,
    each_turn: Annotated[
        bool, typer.Option("--each-turn", help="A row for each answer of a conversation, not only the last.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write rows in another format or file type; what it cannot say is refused by file and line (exit code 3).

    Example: tunesmith convert runs/my-study/prepare/train.jsonl train.csv --to alpaca
    """
    from pydantic import ValidationError

    from tunesmith.prepare.options import FORMAT_NAMES, DataOptions
    from tunesmith.prepare.writing import convert_data

    for option, name in (("--to", to), ("--format", format)):
        if name is not None and name not in FORMAT_NAMES:
            raise InputError(
                f"there is no format {name!r}", where=option, do=f"formats: {', '.join(FORMAT_NAMES)}"
            )
    if target.exists() and not force:
        raise InputError("there is a file of that name already", where=str(target), do="--force replaces it")
    try:
        options = DataOptions.model_validate(
            {
                "path": source,
                "format": format,
                "columns": columns_of(columns) or {},
                "instruction": instruction,
                "turns": "each" if each_turn else "last",
            }
        )
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"].removeprefix("Value error, "), where="--columns") from None
    found = convert_data(options, Path(), target, to)  # type: ignore[arg-type]
    if as_json:
        print_json(
            {"format": found.format, "rows": found.rows, "written": found.written, "refused": found.refused}
        )
    else:
        typer.echo(
            f"{found.rows:,} rows read as {found.format}; {found.written:,} written to {target} as {to}"
        )
    if found.refused:
        raise GateError(
            f"{len(found.refused):,} of {found.rows:,} rows were left out: {'; '.join(found.refused[:SHOWN])}",
            where=str(target),
            do="the other rows are written; mend these, or take a format or file type that can hold them"
            " (--json lists all)",
        )
