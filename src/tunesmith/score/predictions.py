"""Predictions made anywhere: our own files, plain tables, lm-eval's samples and inspect's logs.

A plain row has `id`, `prediction`, `reference` or `references`, and may have `prompt`, `source_id`, `system`, `status`,
`finish_reason`, `error`, `reference_nll` and `reference_tokens`. A missing or null prediction is an empty answer and
stays; a row without an id is an error.
"""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError
from tunesmith.records import Prediction, Status
from tunesmith.tables import TableRow, read_table

ZSTANDARD = 93
"""Number of the compression method in the ZIP format."""
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
        columns: our column name to the file's, as in `{"prediction": "answer"}`.
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
    if columns and _is_inspect(path):
        raise InputError(
            "an inspect log has no columns to be named", where=str(path), do="leave --columns out for it"
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
    rows = _inspect_rows(path) if _is_inspect(path) else read_table(path, columns)
    for row in rows:
        if "filtered_resps" in row.values:
            if columns and set(columns) != {"source_id"}:
                raise InputError(
                    "lm-eval's samples have their own columns",
                    where=row.where,
                    do="leave --columns out, but for source_id",
                )
            row = _from_lm_eval(row)
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


def _from_lm_eval(row: TableRow) -> TableRow:
    """A row of lm-eval's `--log_samples`: the answer after its filters, the target, and the first request's prompt.

    Of several answers to one request (`repeats`, with a filter that keeps them all) the first one counts.
    """
    answer = row.values["filtered_resps"]
    compares = isinstance(answer, list) and len(answer) > 1
    while isinstance(answer, list) and answer and not compares:
        answer = answer[0]
        compares = isinstance(answer, list) and _is_likelihood(answer)
    if compares or not isinstance(answer, str | None):
        raise InputError(
            "this lm-eval task compares likelihoods and wrote no answer",
            where=row.where,
            do="use the samples of a generate_until task",
        )
    values = {
        "id": row.text("doc_id"),
        "prediction": answer,
        "references": _lm_eval_targets(row.values.get("target")),
        "prompt": _lm_eval_prompt(row.values.get("arguments")),
        "source_id": row.text("source_id"),
    }
    if row.values.get("filter"):
        # each filter of a task makes its own rows over the same documents
        values["system"] = row.text("filter") if row.values["filter"] != "none" else None
    return TableRow(values, row.where)


def _is_likelihood(answer: list[Any]) -> bool:
    """[log-likelihood, is it the likeliest text]: numbers within lm-eval, texts in the files it writes."""
    return len(answer) == 2 and str(answer[1]) in ("True", "False") and str(answer[0]).startswith("-")


def _lm_eval_targets(target: Any) -> list[str]:
    """The target, which lm-eval writes as Python prints it: a list of several comes as `"['first', 'second']"`."""
    if isinstance(target, str) and target.startswith("["):
        try:
            listed = ast.literal_eval(target)
        except (ValueError, SyntaxError):
            listed = None
        if isinstance(listed, list) and listed and all(isinstance(one, str) for one in listed):
            return listed
    return [] if target is None else [str(target)]


def _lm_eval_prompt(arguments: Any) -> str | None:
    """`{"gen_args_0": {"arg_0": prompt, …}}` since 0.4.3, `[[prompt, …]]` before."""
    while isinstance(arguments, dict | list) and arguments:
        arguments = next(iter(arguments.values())) if isinstance(arguments, dict) else arguments[0]
    return arguments if isinstance(arguments, str) else None


def _is_inspect(path: Path) -> bool:
    if path.suffix == ".eval":
        return True
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4000)
    return b'"eval"' in head and b'"version"' in head


def _inspect_rows(path: Path) -> Iterator[TableRow]:
    """The samples of an inspect log; of several epochs each is a system of its own."""
    log, samples = _inspect_zip(path) if path.suffix == ".eval" else _inspect_json(path)
    model = str(log.get("eval", {}).get("model") or path.stem)
    for where, sample in samples:
        output = sample.get("output") or {}
        choices = output.get("choices") or [{}]
        epoch = sample.get("epoch", 1)
        error = sample.get("error")
        yield TableRow(
            {
                "id": sample.get("id"),
                "prediction": _message_text((choices[0].get("message") or {}).get("content")),
                "references": [sample["target"]]
                if isinstance(sample.get("target"), str)
                else sample.get("target"),
                "prompt": _inspect_prompt(sample.get("input")),
                "system": model if epoch == 1 else f"{model} (epoch {epoch})",
                "finish_reason": "length" if choices[0].get("stop_reason") == "max_tokens" else None,
                "error": (error.get("message") or "failed") if isinstance(error, dict) else error,
            },
            where,
        )


def _inspect_json(path: Path) -> tuple[dict[str, Any], Iterator[tuple[str, dict[str, Any]]]]:
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"this is not an inspect log: {error}", where=str(path), do="check the file"
        ) from None
    numbered = enumerate(log.get("samples") or [], start=1)
    return log, ((f"{path}, sample {number}", sample) for number, sample in numbered)


_INSPECT_ABOUT = ("header.json", "_journal/start.json")


def _inspect_zip(path: Path) -> tuple[dict[str, Any], Iterator[tuple[str, dict[str, Any]]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.startswith("samples/"))
            # a run that was interrupted has no header yet, only what was written at its start
            about = next((name for name in _INSPECT_ABOUT if name in archive.namelist()), None)
            log = json.loads(_member(archive, about)) if about else {}
            samples = [(f"{path}, {name}", json.loads(_member(archive, name))) for name in names]
    except FileNotFoundError:
        raise InputError("there is no such file", where=str(path), do="check the path") from None
    except (zipfile.BadZipFile, NotImplementedError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"this inspect log cannot be unpacked: {error}",
            where=str(path),
            do="run: inspect log convert --to json",
        ) from None
    return log, iter(samples)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes. Newer inspect logs are packed with Zstandard, which Python's zipfile reads from 3.14 on."""
    info = archive.getinfo(name)
    if info.compress_type != ZSTANDARD:
        return archive.read(name)
    import pyarrow

    assert archive.fp is not None
    archive.fp.seek(info.header_offset)
    header = archive.fp.read(
        30
    )  # a local header is 30 bytes, then a name and an extra field of the lengths it tells
    archive.fp.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    packed = archive.fp.read(info.compress_size)
    return bytes(pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "zstd").read())


def _inspect_prompt(given: Any) -> str | None:
    """The text of a plain input, or of the last message to the model."""
    if isinstance(given, list) and given:
        return _message_text(given[-1].get("content"))
    return given if isinstance(given, str) else None


def _message_text(content: Any) -> str | None:
    """A message's text; of a message in parts, its text parts (not its reasoning)."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return content if isinstance(content, str) else None
