"""Arguments and options that several commands share, and what is done with them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.errors import InputError

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="The plan file (YAML).")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Keys of the plan to set, e.g. train.lora_r=8."),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="The run folder [default: runs/NAME beside the plan].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
MetricsOption = Annotated[
    str | None, typer.Option("--metrics", metavar="LIST", help="Names with commas, e.g. bleu,rougeL,meteor.")
]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--columns", metavar="NAME=COLUMN", help="What a column is called in the file; may be repeated."
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels", metavar="LIST", help="Labels of accuracy, f1, … [default: the references' texts]."
    ),
]
FluencyOption = Annotated[
    str | None,
    typer.Option("--fluency-model", metavar="NAME", help="Model of fluency: a folder or hub name."),
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="STAGE", help="Stop after this stage.")]


def columns_of(pairs: list[str] | None) -> dict[str, str] | None:
    """`prediction=answer` as a mapping of our name to the file's."""
    if not pairs:
        return None
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise InputError(f"{wrong[0]!r} is not of the form NAME=COLUMN", where="--columns")
    return dict(pair.split("=", 1) for pair in pairs)


def command_line() -> str:
    """What a person types to do this again."""
    return shlex.join(["tunesmith", *sys.argv[1:]])


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
