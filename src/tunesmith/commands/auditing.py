"""The command `audit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tunesmith.commands.arguments import ColumnsOption, JsonOption, columns_of, command_line, print_json
from tunesmith.errors import InputError


class SeveralFiles(TyperCommand):
    """Lets an option for files take several at once: `--predictions base.jsonl tuned.jsonl`."""

    several = ("--predictions", "--train", "--verdicts", "--ratings")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given: list[str] = []
        option = ""
        for place, argument in enumerate(args):
            if argument.startswith("-"):
                option = argument
            elif place and option in self.several and args[place - 1] != option:
                given.append(option)
            given.append(argument)
        return super().parse_args(ctx, given)


def _files_option(name: str, help: str) -> Any:
    return typer.Option(name, metavar="FILE...", help=help)


def audit(
    predictions: Annotated[
        list[Path] | None, _files_option("--predictions", "Answers of the systems, with references.")
    ] = None,
    train: Annotated[list[Path] | None, _files_option("--train", "Rows that were trained on.")] = None,
    verdicts: Annotated[list[Path] | None, _files_option("--verdicts", "A judge's raw verdicts.")] = None,
    ratings: Annotated[list[Path] | None, _files_option("--ratings", "People's ratings.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Settings and reported numbers (YAML, JSON)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The page [default: audit.html; with --json none]."),
    ] = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a finished study, anyone's, for the mistakes that its files can show.

    Example: tunesmith audit --predictions base.jsonl tuned.jsonl --train train.jsonl --out audit.html
    """
    from tunesmith import evidence
    from tunesmith.display import audits

    files = {"predictions": predictions, "train": train, "verdicts": verdicts, "ratings": ratings}
    given = {role: paths or [] for role, paths in files.items()}
    page = out or (None if as_json else Path("audit.html"))
    if page is not None:
        _check_page(page, [*(path for paths in given.values() for path in paths), *([plan] if plan else [])])
    found = evidence.audit_files(**given, plan=plan, columns=columns_of(columns), command=command_line())
    if page is not None:
        audits.write_audit(found, page)
    if as_json:
        print_json(evidence.as_json(found))
    else:
        audits.show_audit(found, page)


def _check_page(page: Path, inputs: Sequence[Path]) -> None:
    """Refuses to write over what is being looked at."""
    if page.is_dir():
        raise InputError("this is a folder", where=f"--out {page}", do="name a file, such as audit.html")
    if any(page.absolute() == path.absolute() for path in inputs):
        raise InputError(
            "the page would replace a file it is about", where=f"--out {page}", do="name another"
        )
