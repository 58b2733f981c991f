"""The command `doctor`: is everything there, and will the model learn what it should?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tunesmith.commands.arguments import JsonOption, OutOption, Overrides, print_json


def doctor(
    plan_file: Annotated[Path | None, typer.Argument(metavar="[PLAN]", help="A plan file (YAML).")] = None,
    overrides: Overrides = None,
    out: OutOption = None,
    online: Annotated[bool, typer.Option("--online", help="Ask whether the hub can be reached.")] = False,
    wordnet: Annotated[
        Path | None,
        typer.Option(
            "--wordnet",
            metavar="FOLDER",
            help="First copy the WordNet in this folder (or unpacked package) to where METEOR finds it.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at this machine; with a plan, at its first row as the model sees it and at what could spoil the training.

    Exit code 3 when a check failed, 4 when something is missing.

    Example: tunesmith doctor plan.yaml
    """
    from tunesmith.display import doctor as display
    from tunesmith.doctor.check import exit_code
    from tunesmith.doctor.machine import check_machine

    if wordnet is not None:
        from tunesmith.score.wordnet import prepare_wordnet

        prepare_wordnet(wordnet)
    if plan_file is None:
        checks = check_machine(out or Path.cwd(), online=online)
        pieces: tuple[tuple[str, bool], ...] = ()
    else:
        from tunesmith.doctor.study import check_plan
        from tunesmith.plan import load_plan

        plan = load_plan(plan_file, overrides or [])
        folder = out or plan_file.parent / "runs" / plan.name
        findings = check_plan(plan, plan_file.parent, folder)
        machine = check_machine(folder, online=online)
        # Of the machine only what is not in order: the plan's own checks are what was asked for.
        checks = [*(check for check in machine if check.standing != "ok"), *findings.checks]
        pieces = findings.first_example
    if as_json:
        print_json(
            {
                "checks": [asdict(check) for check in checks],
                "first_example": [list(piece) for piece in pieces],
            }
        )
    else:
        display.show_checks(checks)
        display.show_example(pieces)
    if code := exit_code(checks):
        raise typer.Exit(code)
