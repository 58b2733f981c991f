"""Commands about predictions made anywhere: `score`, `compare`, `estimate`."""

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
