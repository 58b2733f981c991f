"""Commands about predictions and verdicts made anywhere: `score`, `compare`, `judge`, `tally`, `estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.commands.arguments import (
    ColumnsOption,
    FluencyOption,
    JsonOption,
    LabelsOption,
    MetricsOption,
    columns_of,
    print_json,
)
from tunesmith.errors import InputError


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
    from tunesmith.display import files as display
    from tunesmith.evaluation import score_files

    found = score_files(files, _score_options(metrics, labels, fluency_model), columns=columns_of(columns))
    print_json(found) if as_json else display.show_scores(found)


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base's predictions.")],
    tuned: Annotated[list[Path], typer.Argument(metavar="TUNED...", help="The tuned models', same ids.")],
    metrics: MetricsOption = None,
    primary: Annotated[
        str | None,
        typer.Option(
            "--primary", metavar="METRIC", help="The metric that decides [default: none, all are corrected]."
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", metavar="NUMBER", help="Smallest difference of the primary metric that matters."
        ),
    ] = None,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="The TUNED files are one setting trained with several seeds.")
    ] = False,
    base_seeds: Annotated[
        list[Path] | None,
        typer.Option(
            "--base-seed", metavar="FILE", help="With --seeds: another training of the base; may be repeated."
        ),
    ] = None,
    labels: LabelsOption = None,
    fluency_model: FluencyOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare files of predictions for the same items: differences with intervals, and a verdict.

    Example: tunesmith compare base.jsonl tuned.jsonl --metrics rougeL,meteor --primary rougeL --margin 0.02
    """
    from tunesmith.display import files as display
    from tunesmith.evaluation import compare_files

    if base_seeds and not seeds:
        raise InputError(
            "further trainings of the base have no effect without --seeds",
            where="--base-seed",
            do="add --seeds",
        )
    if seeds and len(tuned) < 2:
        raise InputError(
            "one tuned file has no spread over seeds",
            where="--seeds",
            do="name the files of two seeds or more",
        )
    found = compare_files(
        [base, *(base_seeds or [])],
        tuned,
        _score_options(metrics, labels, fluency_model),
        _compare_options(primary, margin),
        columns=columns_of(columns),
        are_seeds=seeds,
    )
    print_json(found) if as_json else display.show_comparisons(found)


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
    from tunesmith.display import judged as display
    from tunesmith.judging import judge_files

    options = _judge_options(judge, model, api_key_env, votes)
    found = judge_files(
        base,
        tuned,
        options,
        journal=journal,
        columns=columns_of(columns),
        announce=lambda cost: display.show_cost(cost, options.judge_name),
    )
    print_json(found) if as_json else display.show_judged(found)


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
    from tunesmith.display import files as display
    from tunesmith.evaluation import tally_file

    found = tally_file(file, base_label=base_label, tuned_label=tuned_label, column=column, other=against)
    print_json(found) if as_json else display.show_tally(found)


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
    from tunesmith.compare.power import Spread
    from tunesmith.display import files as display
    from tunesmith.evaluation import estimate_from_pilot, estimate_items

    if pilot:
        if len(pilot) != 2:
            raise InputError(f"a pilot is two files, not {len(pilot)}", where="estimate")
        found = estimate_from_pilot(pilot[0], pilot[1], metric, difference, columns=columns_of(columns))
    elif deviation is not None:
        found = estimate_items(Spread(deviation, correlation, per_source), difference)
    else:
        raise InputError(
            "nothing to estimate from",
            where="estimate",
            do="name two files of predictions as a pilot, or give --deviation",
        )
    print_json(found) if as_json else display.show_estimate(found)


def _score_options(metrics: str | None, labels: str | None, fluency_model: str | None) -> Any:
    from pydantic import ValidationError

    from tunesmith.score.stage import ScoreOptions

    if metrics is None:
        # Perplexity needs the model; texts made elsewhere seldom bring it along.
        metrics = ",".join(name for name in ScoreOptions().metrics if name != "perplexity")
    if not metrics.replace(",", "").strip():
        raise InputError("no metric is named", where="--metrics", do="name one or more, e.g. bleu,rougeL")
    given = {"labels": labels, "fluency_model": fluency_model}
    try:
        return ScoreOptions.model_validate(
            {"metrics": metrics} | {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        option = str(error.errors()[0]["loc"][0]).replace("_", "-")
        raise InputError(error.errors()[0]["msg"], where=f"--{option}") from None


def _compare_options(primary: str | None, margin: float | None) -> Any:
    from pydantic import ValidationError

    from tunesmith.compare.stage import CompareOptions

    try:
        return CompareOptions(primary=primary, margin=margin)
    except ValidationError as error:
        raise InputError(
            error.errors()[0]["msg"].removeprefix("Value error, "),
            where="--margin",
            do="name a number above 0, and the metric it is about with --primary",
        ) from None


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
