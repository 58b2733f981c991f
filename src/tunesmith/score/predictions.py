"""Predictions made anywhere: our own files, plain tables, lm-eval's samples and inspect's logs.

A plain row has `id`, `prediction`, `reference` or `references`, and may have `prompt`, `source_id`, `system`, `status`,
`finish_reason`, `error`, `reference_nll` and `reference_tokens`. A missing or null prediction is an empty answer and
stays; a row without an id is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tunesmith.errors import InputError
from tunesmith.records import Prediction, Status
from tunesmith.score.logs import inspect_rows, is_inspect, is_lm_eval, lm_eval_rows
from tunesmith.tables import TableRow, read_table

SHOWN_IDS = 5
KNOWN_STATUS: dict[str, Status] = {"ok": "ok", "empty": "empty", "truncated": "truncated", "error": "error"}
COLUMNS = (
    "id",
    "prediction",
    "reference",
    "references",
    "prompt",
    "source_id",
    "system",
    "status",
    "finish_reason",
    "error",
    "reference_nll",
    "reference_tokens",
)
"""What is read of a plain row, and may be called otherwise in the file."""


def read_predictions(
    path: Path, *, columns: Mapping[str, str] | None = None, system: str | None = None
) -> list[Prediction]:
    """All predictions of a file.

    Args:
        path: .jsonl, .json, .csv, .tsv or .parquet; lm-eval's `samples_*.jsonl`; inspect's `.eval` or `.json` log.
        columns: our column name to the file's, as in `{"prediction": "answer"}`; of a log `source_id` only, a field of
            lm-eval's `doc` or of the metadata of inspect's samples.
        system: what to call the rows that do not name their system; the name of the file otherwise.

    Raises:
        InputError: the file cannot be read, has no rows, or a row lacks an id, has none of the text columns, or repeats
            an id of its system. The message gives the file and the line.
    """
    _check_columns(path, columns or {})
    seen: dict[tuple[str, str], str] = {}
    predictions = []
    for prediction, row in iterate_predictions(path, columns=columns, system=system):
        _check_status(row)
        key = (prediction.system, prediction.id)
        if key in seen:
            raise InputError(
                f"id {prediction.id} was there before ({seen[key]})",
                where=row.where,
                do="keep one row per item and system",
            )
        seen[key] = row.where
        predictions.append(prediction)
    if not predictions:
        raise InputError("there are no predictions in this file", where=str(path), do="check the file")
    return predictions


def _check_columns(path: Path, columns: Mapping[str, str]) -> None:
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise InputError(
            f"{unknown[0]!r} is not a column that predictions have",
            where="--columns",
            do=f"name one of: {', '.join(COLUMNS)}",
        )
    if set(columns) - {"source_id"} and (is_inspect(path) or is_lm_eval(path)):
        raise InputError(
            "the logs of lm-eval and inspect have their own columns",
            where=str(path),
            do="leave --columns out, but for source_id: a field of the document, or of the sample's metadata",
        )


def _check_status(row: TableRow) -> None:
    """A status of somebody else's making may mean a failure; taking it for an answer would be a guess."""
    status = row.text("status")
    if status and status not in KNOWN_STATUS:
        raise InputError(
            f"status is {status!r}, which could mean anything",
            where=row.where,
            do=f"write one of: {', '.join(KNOWN_STATUS)}; or rename the column",
        )


def check_references(
    path: Path, predictions: Sequence[Prediction], *, columns: Mapping[str, str] | None = None
) -> None:
    """Raises `InputError` with the file and the line of the first of the file's predictions without a reference."""
    without = [prediction.id for prediction in predictions if not prediction.references]
    if without:
        raise InputError(
            f"no reference for {_items(without)}",
            where=where_is(path, without[0], columns=columns),
            do="add references, or leave out metrics that need them",
        )


def check_same_items(
    base: Path,
    of_base: Sequence[Prediction],
    tuned: Path,
    of_tuned: Sequence[Prediction],
    *,
    columns: Mapping[str, str] | None = None,
) -> None:
    """Raises `InputError` when two files are not about the same items, with the line of the first that differs."""
    sides = [(base, {one.id: one for one in of_base}), (tuned, {one.id: one for one in of_tuned})]
    for (here, mine), (there, others) in (sides, sides[::-1]):
        missing = [id for id in mine if id not in others]
        if missing:
            raise InputError(
                f"{there} ({len(others)} items) lacks {_items(missing)} of {here} ({len(mine)} items)",
                where=where_is(here, missing[0], columns=columns),
                do="compare files with the same ids: add the missing rows, or take the others out",
            )
    mine, others = (found for _, found in sides)
    for what, of in _SAME_IN_BOTH.items():
        different = [id for id in mine if of(mine[id]) != of(others[id])]
        if different:
            raise InputError(
                f"{base} has another {what} for {_items(different)}",
                where=where_is(tuned, different[0], columns=columns),
                do=f"give an item the same {what} in both files",
            )


_SAME_IN_BOTH: dict[str, Callable[[Prediction], object]] = {
    "reference": lambda prediction: prediction.references,
    "source_id": lambda prediction: prediction.source_id,
}


def where_is(path: Path, id: str, *, columns: Mapping[str, str] | None = None) -> str:
    """The file and line of an item. It reads the file again: lines are wanted for messages only."""
    found = (row.where for one, row in iterate_predictions(path, columns=columns) if one.id == id)
    return next(found, str(path))


def _items(ids: Sequence[str]) -> str:
    if len(ids) == 1:
        return f"item {ids[0]}"
    return f"{len(ids)} items: {', '.join(ids[:SHOWN_IDS])}" + (", …" if len(ids) > SHOWN_IDS else "")


def iterate_predictions(
    path: Path, *, columns: Mapping[str, str] | None = None, system: str | None = None
) -> Iterator[tuple[Prediction, TableRow]]:
    """The predictions of a file as they come, each with its row for the columns that a prediction has no place for.

    Unlike `read_predictions` it takes an id as often as it comes: repeated runs are for the caller to tell apart.
    """
    source_id = (columns or {}).get("source_id", "source_id")
    if is_inspect(path):
        rows = inspect_rows(path, source_id)
    elif is_lm_eval(path):
        rows = lm_eval_rows(path, source_id)
    else:
        rows = read_table(path, columns)
    for row in rows:
        yield _prediction(row, system or path.stem), row


def _prediction(row: TableRow, system: str) -> Prediction:
    # "text" is what our own files call it
    column = "prediction" if "prediction" in row.values else "text"
    if column not in row.values:
        raise InputError(
            f"there is no column 'prediction'; there are: {', '.join(map(str, row.values)) or 'none'}",
            where=row.where,
            do="rename it, or name yours with --columns prediction=…",
        )
    id = row.text("id")
    if id is None or not id.strip():
        raise InputError(
            "this row has no id", where=row.where, do="give every item an id that is the same for all systems"
        )
    text = row.text(column) or ""
    tokens, nll = row.number("reference_tokens"), row.number("reference_nll")
    if nll is not None and nll < 0:
        raise InputError(
            f"reference_nll is {nll:g}: it is the sum of -ln p over the tokens, which is never below 0",
            where=row.where,
            do="turn the sign round if these are log-likelihoods",
        )
    error = row.text("error")
    settings = row.values.get("settings")
    return Prediction(
        id=id,
        source_id=row.text("source_id") or id,
        system=row.text("system") or system,
        prompt=row.text("prompt") or "",
        text=text,
        references=_references(row),
        status=_status(row, text, error),
        reference_nll=nll,
        reference_tokens=None if tokens is None else int(tokens),
        settings=settings if isinstance(settings, dict) else {},
        error=error or None,
    )


def _status(row: TableRow, text: str, error: str | None) -> Status:
    said = KNOWN_STATUS.get(row.text("status") or "")
    if error or said == "error":
        return "error"
    if not text.strip():
        return "empty"
    return "truncated" if said == "truncated" or row.text("finish_reason") == "length" else "ok"


def _references(row: TableRow) -> tuple[str, ...]:
    """`references`, a list (in CSV: a JSON list), or `reference`, one text."""
    several = row.values.get("references")
    if isinstance(several, str) and several.strip().startswith("["):
        try:
            several = json.loads(several)
        except json.JSONDecodeError:
            several = [several]
    if isinstance(several, str):
        several = [several]
    if several is not None:
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            raise InputError(
                "references is not a list of texts", where=row.where, do='write ["first", "second"]'
            )
        return tuple(several)
    one = row.values.get("reference")
    if isinstance(one, list):
        return _references(TableRow({"references": one}, row.where))
    text = row.text("reference")
    return () if text is None else (text,)
