"""The command about documents: `read`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.commands.arguments import JsonOption, print_json
from tunesmith.errors import InputError

PLAN_SUFFIXES = (".yaml", ".yml")
_SETTING = re.compile(r"[a-z_]+(?:\.[a-z_]+)*=")


def read(
    documents: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENTS... [KEY=VALUE]...",
            help="Files, folders, patterns or hub ids, and keys of `read` to set, e.g. text_column=body; or a plan.",
        ),
    ],
    show: Annotated[
        str | None, typer.Option("--show", metavar="SOURCE", help="Print the cleaned text of this document.")
    ] = None,
    passages: Annotated[
        bool, typer.Option("--passages", help="Print the passages: of --show, or of all documents.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What reading makes of documents: pages, words, tokens, passages, what was cut, what was refused and why.

    Example: tunesmith read reports redact=[email,phone] --show a.pdf --passages
    """
    from tunesmith.display import reading as display
    from tunesmith.read.overview import overview
    from tunesmith.read.stage import read_documents
    from tunesmith.records import Document

    options, root = _options(documents)
    records = list(read_documents(options, root))
    files = overview(records, options.chunk)
    if show is not None or passages:
        read_ones = [one for one in records if isinstance(one, Document)]
        wanted = [one for one in read_ones if show in (None, one.source_id, one.file)]
        if show is not None and not wanted:
            raise _not_there(show, [one.source_id for one in read_ones], files)
        found = display.texts(wanted, options.chunk if passages else None)
        print_json(found) if as_json else display.show_texts(found)
    else:
        print_json(display.overview_json(files)) if as_json else display.show_overview(files)
    if not any(facts.documents for facts in files):
        reasons = "; ".join(f"{facts.name}: {facts.refused[0]}" for facts in files[:3] if facts.refused)
        raise InputError(f"nothing could be read; {reasons}", do="mend the files, or name others")


def _options(arguments: list[str]) -> tuple[Any, Path]:
    """The read options, and the folder that their paths start from."""
    from tunesmith.config import parse_plan
    from tunesmith.plan import load_plan
    from tunesmith.read.stage import ReadOptions

    settings = [one for one in arguments if _SETTING.match(one) and not Path(one).exists()]
    documents = [one for one in arguments if one not in settings]
    plans = [one for one in documents if one.lower().endswith(PLAN_SUFFIXES)]
    if plans and len(documents) > 1:
        raise InputError("a plan names its documents itself", where=plans[0], do="give the plan alone")
    if not plans:
        named = [f"documents={json.dumps(documents)}"] if documents else []
        return parse_plan("", [*named, *settings], ReadOptions, name="read"), Path()
    plan = load_plan(Path(plans[0]), settings)
    if plan.read is None or plan.read.documents is None:
        raise InputError(
            "this plan reads no documents", where=plans[0], do="name documents, or a plan with read.documents"
        )
    return plan.read, Path(plans[0]).parent


def _not_there(show: str, names: list[str], files: list[Any]) -> InputError:
    import difflib

    refused = next((facts.refused for facts in files if facts.name == show and facts.refused), None)
    if refused:
        return InputError(refused[0], where=f"--show {show}")
    close = difflib.get_close_matches(show, names, n=1)
    do = f"did you mean {close[0]}?" if close else f"there are: {', '.join(names[:10]) or 'none'}"
    return InputError("no document of that name was read", where=f"--show {show}", do=do)
