"""Commands about a plan: `demo`, `run`, `check`, `init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.commands.arguments import (
    JsonOption,
    OutOption,
    Overrides,
    PlanFile,
    UntilOption,
    command_line,
    print_json,
)
from tunesmith.errors import InputError


def demo(
    out: Annotated[Path, typer.Option("--out", help="The run folder.")] = Path("runs/demo"),
    overrides: Overrides = None,
    as_json: JsonOption = False,
) -> None:
    """The whole job on sample documents and built-in models, offline, in minutes.

    Example: tunesmith demo --out /tmp/demo
    """
    from tunesmith.samples import demo_plan

    plan, root = demo_plan(overrides or [])
    _run(plan, root, out, None, command_line(), as_json)


def run(
    plan_file: PlanFile,
    overrides: Overrides = None,
    until: UntilOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a plan: what is done already is skipped, what was interrupted goes on.

    Example: tunesmith run plan.yaml train.lora_r=8 --until train
    """
    from tunesmith.plan import load_plan

    plan = load_plan(plan_file, overrides or [])
    folder = out or plan_file.parent / "runs" / plan.name
    _run(plan, plan_file.parent, folder, until, command_line(), as_json)


def check(
    plan_file: PlanFile, overrides: Overrides = None, out: OutOption = None, as_json: JsonOption = False
) -> None:
    """Validate a plan, and show what would run, what is cached, how much there is, and about how long it takes.

    Example: tunesmith check plan.yaml
    """
    from tunesmith.display import runs
    from tunesmith.forecast import forecast
    from tunesmith.plan import load_plan
    from tunesmith.store import Run

    plan = load_plan(plan_file, overrides or [])
    folder = out or plan_file.parent / "runs" / plan.name
    outlook = forecast(plan, plan_file.parent, Run(folder))
    if as_json:
        print_json(outlook.as_json())
    else:
        runs.show_outlook(outlook, folder)


def synthesize(
    plan_file: PlanFile,
    overrides: Overrides = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Passages, spread over the documents.")] = 3,
    trace: Annotated[bool, typer.Option("--trace", help="Show each prompt and reply too.")] = False,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try the teacher on a few passages: prompt, reply, verdict. Results of the run are left alone, replies are kept.

    Example: tunesmith synthesize plan.yaml --limit 3 --trace
    """
    from tunesmith.display.trials import show_tried
    from tunesmith.plan import load_plan
    from tunesmith.trial import try_teacher

    plan = load_plan(plan_file, overrides or [])
    tried = try_teacher(plan, plan_file.parent, out or plan_file.parent / "runs" / plan.name, limit)
    if as_json:
        print_json([one.as_json() for one in tried])
    else:
        show_tried(tried, trace=trace)


def init(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="Where to write it.")] = Path("plan.yaml"),
    documents: Annotated[
        str, typer.Option("--documents", help="Files, a folder or a glob, relative to the plan.")
    ] = "documents",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a plan with every key, its default and what it means.

    Example: tunesmith init plan.yaml --documents "reports/*.pdf"
    """
    from tunesmith.starter import starter_plan
    from tunesmith.store import write_atomically

    if plan_file.exists() and not force:
        raise InputError(
            "there is a file of that name already", where=str(plan_file), do="--force replaces it"
        )
    write_atomically(plan_file, starter_plan(documents))
    typer.echo(f"Wrote {plan_file}. Next: tunesmith check {plan_file}")


def prompts(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write them.")],
) -> None:
    """Write the prompts a model teacher is asked with, to be edited and named in synthesize.prompts.

    Example: tunesmith prompts my-prompts
    """
    from tunesmith.store import write_atomically
    from tunesmith.synthesize.asks import FORMS
    from tunesmith.synthesize.prompts import built_in_prompt

    paths = {name: folder / f"{name}.jinja" for name in FORMS}
    there = [path for path in paths.values() if path.exists()]
    if there:
        raise InputError(
            "there is a prompt of that name already", where=str(there[0]), do="name another folder"
        )
    for name, path in paths.items():
        write_atomically(path, built_in_prompt(name))
    typer.echo(
        f"Wrote {len(paths)} prompts. Name those you change, e.g. synthesize.prompts: {{answer: {paths['answer']}}}"
    )


def _run(plan: Any, root: Path, folder: Path, until: str | None, command: str, as_json: bool) -> None:
    from tunesmith.display import runs
    from tunesmith.pipeline import run_plan
    from tunesmith.steps.table import steps_of
    from tunesmith.train.stage import take_part

    names = [step.name for step in steps_of(plan)]
    if until is not None and until not in names:
        raise InputError(f"--until {until}: there is no such stage", do=f"stages: {', '.join(names)}")
    if (code := take_part()) is not None:
        raise typer.Exit(code)  # one of a launcher's other processes: the first one speaks
    with runs.StageDisplay(quiet=as_json) as watcher:
        run_plan(plan, root, folder, until=until, command=command, watcher=watcher)
    if as_json:
        print_json(runs.result_json(folder, until))
    else:
        runs.show_result(folder, until)
