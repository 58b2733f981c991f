"""Commands about a judge's word: `judge` asks one, `tally` counts verdicts that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.commands.arguments import ColumnsOption, JsonOption, columns_of, print_json
from tunesmith.errors import InputError

PeopleOption = Annotated[
    Path | None,
    typer.Option("--people", metavar="FILE", help="People's verdicts or ratings on the same ids: agreement."),
]


def judge(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE... [KEY=VALUE]...",
            help="Predictions, for pairwise BASE TUNED; then keys of a plan's judge, e.g. judge.controls=0.",
        ),
    ],
    judge: Annotated[
        str,
        typer.Option(
            "--judge", metavar="WHO", help="builtin, ollama/NAME, a server's address, or local:MODEL."
        ),
    ] = "builtin",
    mode: Annotated[
        str,
        typer.Option("--mode", metavar="LIST", help="pairwise, correctness, rubric, or several with commas."),
    ] = "pairwise",
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Which model of the server.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", metavar="NAME", help="Environment variable with the key.")
    ] = None,
    votes: Annotated[
        int, typer.Option("--votes", help="Further votes where the order decided; an odd number.")
    ] = 1,
    criteria: Annotated[
        list[str] | None,
        typer.Option("--criterion", metavar="NAME=MEANING", help="What to judge by; may be repeated."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="COLUMN", help="Show the result by this column's values too."),
    ] = None,
    people: PeopleOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write every judgement there, as JSON lines.")
    ] = None,
    journal: Annotated[
        Path, typer.Option("--journal", metavar="FILE", help="Keeps a model's replies: asked once for good.")
    ] = Path("judge.sqlite"),
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a judge say which answers are better, blind and in both orders, or grade each answer by itself.

    Example: tunesmith judge base.jsonl tuned.jsonl --judge http://127.0.0.1:8000/v1 --votes 3
    """
    from tunesmith.display import judged as display
    from tunesmith.judging.files import judge_files

    paths = [Path(given) for given in files if not _is_key(given)]
    options = _judge_options(
        judge,
        {"model": model, "api_key_env": api_key_env},
        {
            "mode": [part.strip() for part in mode.split(",")],
            "votes": None if votes == 1 else votes,
            "criteria": _criteria(criteria),
            "people": None if people is None else str(people),
        },
        [given for given in files if _is_key(given)],
    )
    found = judge_files(
        paths,
        options,
        journal=journal,
        out=out,
        attributes=by or (),
        columns=columns_of(columns),
        announce=lambda cost: display.show_cost(cost, options.judge_name),
    )
    print_json(found) if as_json else display.show_judged(found)


def tally(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Raw verdicts (CSV, JSONL, JSON, TSV, Parquet), or what judge --out wrote."
        ),
    ],
    base_label: Annotated[
        str | None, typer.Option("--base-label", metavar="TEXT", help="What a verdict for the base says.")
    ] = None,
    tuned_label: Annotated[
        str | None, typer.Option("--tuned-label", metavar="TEXT", help="What one for tuned says.")
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="The column with the verdicts [default: verdict].")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="A second judge's verdicts on the same ids."),
    ] = None,
    people: PeopleOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count a judge's raw verdicts: wins, losses, ties, what could not be read, rates and ratio with intervals.

    Example: tunesmith tally verdicts.csv --base-label original --tuned-label finetuned
    """
    from tunesmith.display import files as display
    from tunesmith.display import judged as judged_display
    from tunesmith.evaluation import tally_file
    from tunesmith.judging.files import tally_judged
    from tunesmith.judging.kept import holds_judgements

    if base_label is None and tuned_label is None and column is None and holds_judgements(file):
        found = tally_judged(file, against, people=people)
        print_json(found) if as_json else judged_display.show_judged(found)
        return
    if people is not None:
        raise InputError(
            "people's ratings are held against what judge --out wrote",
            where="--people",
            do="leave it out, or compare two files of raw verdicts with --against",
        )
    if base_label is None or tuned_label is None:
        raise InputError(
            "which verdict is for which system?",
            where="tally",
            do="say what they look like: --base-label TEXT --tuned-label TEXT",
        )
    column = "verdict" if column is None else column
    found = tally_file(file, base_label=base_label, tuned_label=tuned_label, column=column, other=against)
    print_json(found) if as_json else display.show_tally(found)


def _is_key(given: str) -> bool:
    """Whether an argument is a key of a plan's judge and no file."""
    return given.startswith("judge.") and "=" in given


def _criteria(given: list[str] | None) -> dict[str, str] | None:
    if not given:
        return None
    wrong = [one for one in given if not all(part.strip() for part in one.partition("=")[::2])]
    if wrong:
        raise InputError(f"{wrong[0]!r} is not of the form NAME=MEANING", where="--criterion")
    return {name.strip(): meaning.strip() for name, _, meaning in (one.partition("=") for one in given)}


def _judge_options(judge: str, server: dict[str, str | None], given: dict[str, Any], keys: list[str]) -> Any:
    """Checked by the same schema as a plan's judge, so that its keys and messages are the same."""
    from tunesmith.config import parse_plan
    from tunesmith.endpoints import address_of
    from tunesmith.options import Options
    from tunesmith.score.judge import JudgeOptions
    from tunesmith.score.judging.options import LOCAL

    class Judging(Options):
        judge: JudgeOptions

    named = {name: value for name, value in server.items() if value is not None}
    if named and not judge.startswith(("http://", "https://")):
        raise InputError(
            "--model and --api-key-env belong to a server's address",
            where=f"--judge {judge}",
            do="name its address",
        )
    who: Any = judge
    if named or any(key.startswith("judge.judge.") for key in keys):
        # what is said of it in further keys belongs beside its name
        address = address_of(judge)
        if judge.startswith(LOCAL):
            who = {"local": judge.removeprefix(LOCAL)}
        elif address is not None:
            who = address | named
        elif any(key.startswith("judge.judge.") for key in keys):
            raise InputError(
                "keys of judge.judge belong to a server or a local model",
                where=f"--judge {judge}",
                do="name one",
            )
    words = {"judge": who} | {name: value for name, value in given.items() if value is not None}
    # JSON is YAML, so that a value with a colon or a quote is read as it was typed
    typed = [f"judge.{name}={json.dumps(value, ensure_ascii=False)}" for name, value in words.items()]
    return parse_plan("{}", [*typed, *keys], Judging, name="judge").judge
