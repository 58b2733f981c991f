"""Logs of other tools, as rows of predictions: lm-eval's `--log_samples` and inspect's `.eval` and `.json`."""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError
from tunesmith.tables import TableRow, read_table

ZSTANDARD = 93
"""Number of the compression method in the ZIP format."""


def is_lm_eval(path: Path) -> bool:
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"filtered_resps"' in file.readline()


def lm_eval_rows(path: Path, source_id: str) -> Iterator[TableRow]:
    """The samples of a generation task, each filter a system of its own.

    Args:
        source_id: the field of the row, or of its `doc`, that tells what belongs together.
    """
    return (_from_lm_eval(row, source_id) for row in read_table(path))


def _field(about: Any, name: str, where: str) -> str | None:
    """A field of what a log tells about an item, as text; the usual one, `source_id`, may be missing."""
    if isinstance(about, dict) and about.get(name) is not None:
        return str(about[name])
    if name == "source_id":
        return None
    there = ", ".join(about) if isinstance(about, dict) and about else "none"
    raise InputError(
        f"there is no field {name!r}; there are: {there}",
        where=where,
        do="name one of them with --columns source_id=…",
    )


def _from_lm_eval(row: TableRow, source_id: str) -> TableRow:
    """A row of lm-eval's `--log_samples`: the answer after its filters, the target, and the first request's prompt.

    Of several answers to one request (`repeats`, with a filter that keeps them all) the first one counts.
    """
    answer = row.values.get("filtered_resps")
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
        "source_id": _field(row.values | (row.values.get("doc") or {}), source_id, row.where),
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


def is_inspect(path: Path) -> bool:
    if path.suffix == ".eval":
        return True
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4000)
    return b'"eval"' in head and b'"version"' in head


def inspect_rows(path: Path, source_id: str) -> Iterator[TableRow]:
    """The samples of an inspect log; of several epochs each is a system of its own.

    Args:
        source_id: the field of a sample's metadata that tells what belongs together.
    """
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
                "source_id": _field(sample.get("metadata"), source_id, where),
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
