"""The command line: a thin coat over the library, with one place where errors become messages and exit codes.

Exit codes: 0 ok, 1 failed, 2 usage or plan, 3 a gate said no (leak, nothing to train on), 4 something is missing,
130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tunesmith import __version__
from tunesmith.errors import InputError, TunesmithError

INTERRUPTED = 130

app = typer.Typer(
    name="tunesmith",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Documents in, a fine-tuned small language model out, and a verdict with intervals.",
    epilog="Start with `tunesmith demo`, then `tunesmith init` and `tunesmith run plan.yaml`.",
)

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


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tunesmith {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
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
    _run(plan, root, out, None, _command_line(), as_json)


@app.command()
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
    _run(plan, plan_file.parent, folder, until, _command_line(), as_json)


@app.command()
def check(
    plan_file: PlanFile, overrides: Overrides = None, out: OutOption = None, as_json: JsonOption = False
) -> None:
    """Validate a plan, and show what would run, what is cached, how much there is, and about how long it takes.

    Example: tunesmith check plan.yaml
    """
    from tunesmith import display
    from tunesmith.forecast import forecast
    from tunesmith.plan import load_plan
    from tunesmith.store import Run

    plan = load_plan(plan_file, overrides or [])
    folder = out or plan_file.parent / "runs" / plan.name
    outlook = forecast(plan, plan_file.parent, Run(folder))
    if as_json:
        _print_json(outlook.as_json())
    else:
        display.show_outlook(outlook, folder)


@app.command()
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


@app.command()
def score(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Predictions: JSONL, JSON, CSV, TSV, Parquet.")
    ],
    metrics: MetricsOption = None,
    labels: LabelsOption = None,
    fluency_model: FluencyOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score predictions made anywhere: rows with id, prediction, and reference or references.

    Example: tunesmith score base.jsonl tuned.jsonl --metrics bleu,rougeL --json
    """
    from tunesmith import display
    from tunesmith.evaluation import score_files

    found = score_files(files, _score_options(metrics, labels, fluency_model), columns=_columns(columns))
    _print_json(found) if as_json else display.show_scores(found)


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base's predictions.")],
    tuned: Annotated[Path, typer.Argument(metavar="TUNED", help="The tuned model's, for the same ids.")],
    metrics: MetricsOption = None,
    primary: Annotated[
        str | None,
        typer.Option(
            "--primary", metavar="METRIC", help="The metric that decides [default: none, all are corrected]."
        ),
    ] = None,
    labels: LabelsOption = None,
    fluency_model: FluencyOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two files of predictions for the same items: differences with intervals, and a verdict.

    Example: tunesmith compare base.jsonl tuned.jsonl --metrics rougeL,meteor --primary rougeL
    """
    from tunesmith import display
    from tunesmith.compare.stage import CompareOptions
    from tunesmith.evaluation import compare_files

    options = CompareOptions(primary=primary)
    scoring = _score_options(metrics, labels, fluency_model)
    found = compare_files(base, tuned, scoring, options, columns=_columns(columns))
    _print_json(found) if as_json else display.show_comparisons(found)


@app.command()
def judge(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base's predictions.")],
    tuned: Annotated[Path, typer.Argument(metavar="TUNED", help="The tuned model's, for the same ids.")],
    judge: Annotated[
        str, typer.Option("--judge", metavar="WHO", help="builtin, ollama/NAME, or a server's address.")
    ] = "builtin",
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Which model of the server.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", metavar="NAME", help="Environment variable with the key.")
    ] = None,
    votes: Annotated[
        int, typer.Option("--votes", help="Further votes where the order decided; an odd number.")
    ] = 1,
    journal: Annotated[
        Path, typer.Option("--journal", metavar="FILE", help="Keeps a server's replies: asked once for good.")
    ] = Path("judge.sqlite"),
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a judge say which answers are better, blind and in both orders: wins, rates, and reasons for doubt.

    Example: tunesmith judge base.jsonl tuned.jsonl --judge http://127.0.0.1:8000/v1 --votes 3
    """
    from tunesmith import display
    from tunesmith.judging import judge_files

    options = _judge_options(judge, model, api_key_env, votes)
    found = judge_files(
        base,
        tuned,
        options,
        journal=journal,
        columns=_columns(columns),
        announce=lambda cost: display.show_cost(cost, options.judge_name),
    )
    _print_json(found) if as_json else display.show_judged(found)


@app.command()
def tally(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Raw verdicts: CSV, JSONL, JSON, TSV, Parquet.")
    ],
    base_label: Annotated[
        str, typer.Option("--base-label", metavar="TEXT", help="What a verdict for the base says.")
    ],
    tuned_label: Annotated[
        str, typer.Option("--tuned-label", metavar="TEXT", help="What one for tuned says.")
    ],
    column: Annotated[str, typer.Option("--column", help="The column with the verdicts.")] = "verdict",
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="A second judge's verdicts on the same ids."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Count a judge's raw verdicts: wins, losses, ties, what could not be read, rates and ratio with intervals.

    Example: tunesmith tally verdicts.csv --base-label original --tuned-label finetuned
    """
    from tunesmith import display
    from tunesmith.evaluation import tally_file

    found = tally_file(file, base_label=base_label, tuned_label=tuned_label, column=column, other=against)
    _print_json(found) if as_json else display.show_tally(found)


@app.command()
def estimate(
    pilot: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[BASE TUNED]", help="Two files of predictions for the same few items."),
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="The metric of the pilot.")] = "rougeL",
    difference: Annotated[
        float | None, typer.Option("--difference", min=0, help="The difference you want to be able to see.")
    ] = None,
    deviation: Annotated[
        float | None, typer.Option("--deviation", min=0, help="Standard deviation of the items' differences.")
    ] = None,
    correlation: Annotated[
        float, typer.Option("--correlation", min=0, max=1, help="Of differences within one document.")
    ] = 0.0,
    per_source: Annotated[
        float, typer.Option("--items-per-source", min=1, help="Questions asked about one document.")
    ] = 1.0,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """How many test items it takes to see a difference, from a pilot of two files or from numbers.

    Example: tunesmith estimate --deviation 0.12 --items-per-source 5 --correlation 0.3 --difference 0.03
    """
    from tunesmith import display
    from tunesmith.compare.power import Spread
    from tunesmith.evaluation import estimate_from_pilot, estimate_items

    if pilot:
        if len(pilot) != 2:
            raise InputError(f"a pilot is two files, not {len(pilot)}", where="estimate")
        found = estimate_from_pilot(pilot[0], pilot[1], metric, difference, columns=_columns(columns))
    elif deviation is not None:
        found = estimate_items(Spread(deviation, correlation, per_source), difference)
    else:
        raise InputError(
            "nothing to estimate from",
            where="estimate",
            do="name two files of predictions as a pilot, or give --deviation",
        )
    _print_json(found) if as_json else display.show_estimate(found)


class _SeveralFiles(TyperCommand):
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


@app.command(cls=_SeveralFiles)
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
    from tunesmith import display, evidence

    files = {"predictions": predictions, "train": train, "verdicts": verdicts, "ratings": ratings}
    given = {role: paths or [] for role, paths in files.items()}
    page = out or (None if as_json else Path("audit.html"))
    if page is not None:
        _check_page(page, [*(path for paths in given.values() for path in paths), *([plan] if plan else [])])
    found = evidence.audit_files(**given, plan=plan, columns=_columns(columns), command=_command_line())
    if page is not None:
        display.write_audit(found, page)
    if as_json:
        _print_json(evidence.as_json(found))
    else:
        display.show_audit(found, page)


def _check_page(page: Path, inputs: Sequence[Path]) -> None:
    """Refuses to write over what is being looked at."""
    if page.is_dir():
        raise InputError("this is a folder", where=f"--out {page}", do="name a file, such as audit.html")
    if any(page.absolute() == path.absolute() for path in inputs):
        raise InputError(
            "the page would replace a file it is about", where=f"--out {page}", do="name another"
        )


def _score_options(metrics: str | None, labels: str | None, fluency_model: str | None) -> Any:
    from pydantic import ValidationError

    from tunesmith.score.stage import ScoreOptions

    if metrics is None:
        # Perplexity needs the model; texts made elsewhere seldom bring it along.
        metrics = ",".join(name for name in ScoreOptions().metrics if name != "perplexity")
    given = {"labels": labels, "fluency_model": fluency_model}
    try:
        return ScoreOptions.model_validate(
            {"metrics": metrics} | {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        option = str(error.errors()[0]["loc"][0]).replace("_", "-")
        raise InputError(error.errors()[0]["msg"], where=f"--{option}") from None


def _judge_options(judge: str, model: str | None, api_key_env: str | None, votes: int) -> Any:
    from pydantic import ValidationError

    from tunesmith.score.judge import JudgeOptions

    server = {"model": model, "api_key_env": api_key_env}
    given = {name: value for name, value in server.items() if value is not None}
    is_address = judge.startswith(("http://", "https://"))
    if given and not is_address:
        raise InputError(
            "--model and --api-key-env belong to a server's address",
            where=f"--judge {judge}",
            do="name its address",
        )
    try:
        return JudgeOptions.model_validate(
            {"judge": {"url": judge, **given} if is_address else judge, "votes": votes}
        )
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"].removeprefix("Value error, "), where="judge") from None


def _columns(pairs: list[str] | None) -> dict[str, str] | None:
    """`prediction=answer` as a mapping of our name to the file's."""
    if not pairs:
        return None
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise InputError(f"{wrong[0]!r} is not of the form NAME=COLUMN", where="--columns")
    return dict(pair.split("=", 1) for pair in pairs)


def _run(plan: Any, root: Path, folder: Path, until: str | None, command: str, as_json: bool) -> None:
    from tunesmith import display
    from tunesmith.pipeline import run_plan
    from tunesmith.steps import steps_of

    names = [step.name for step in steps_of(plan)]
    if until is not None and until not in names:
        raise InputError(f"--until {until}: there is no such stage", do=f"stages: {', '.join(names)}")
    with display.StageDisplay(quiet=as_json) as watcher:
        run_plan(plan, root, folder, until=until, command=command, watcher=watcher)
    if as_json:
        _print_json(display.result_json(folder, until))
    else:
        display.show_result(folder, until)


def _command_line() -> str:
    """What a person types to do this again."""
    return shlex.join(["tunesmith", *sys.argv[1:]])


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; the console script hands it to the shell."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="tunesmith")
    except TunesmithError as error:
        print(f"tunesmith: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    else:
        code = 0
    if code == INTERRUPTED:
        print("\ntunesmith: interrupted; the same command goes on from here", file=sys.stderr)
    return code
