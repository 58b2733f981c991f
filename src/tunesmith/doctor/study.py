"""What a plan would teach: its first rendered row, and whether rows, template and machine fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tunesmith.doctor import causal, classify, learning, room, seq2seq
from tunesmith.doctor.check import Check
from tunesmith.errors import TunesmithError
from tunesmith.models.load import choose_device, choose_dtype, cpu_multiplies_bfloat16, model_folder
from tunesmith.pipeline import run_plan, survey
from tunesmith.plan import Plan
from tunesmith.read.files import find_files
from tunesmith.records import Row
from tunesmith.sizes import READ_AT_MOST_MB
from tunesmith.store import Run, read_rows
from tunesmith.tasks.base import Rendered, Task, base_for
from tunesmith.train.jobs import Job, open_for


@dataclass(frozen=True)
class Findings:
    checks: tuple[Check, ...]
    first_example: tuple[tuple[str, bool], ...] = ()
    """The first training row as (text, is trained) pieces; empty when there are no rows yet."""


@dataclass(frozen=True)
class _Rows:
    train: list[Row]
    validation: list[Row]
    test: list[Row]


def check_plan(plan: Plan, root: Path, folder: Path) -> Findings:
    """Look at a plan, and at its rows: those of the run folder, or made now where that is quick and costs nothing.

    Args:
        root: the folder that relative paths of the plan are relative to.
        folder: the run folder; quick stages up to `prepare` are run in it, and the run goes on from there.

    Raises:
        TunesmithError: the documents or the plan cannot be used.
    """
    try:
        base = base_for(plan.task, plan.train.base)
        model_folder(base)
    except TunesmithError as error:
        return Findings((Check("base", "missing", str(error.what), error.do),))
    checks = [Check("base", "ok", base), _precision(plan)]
    # A classifier's labels are those of its rows; the others can be opened, and looked at, before there are rows.
    found = _rows(plan, root, folder) if plan.task == "classify" else None
    if isinstance(found, Check):
        return Findings((*checks, found))
    try:
        task = open_for(Job(found.train if found else [], [], folder, plan.train), plan.task)
    except TunesmithError as error:
        name = {"causal": "template", "classify": "labels"}.get(plan.task, "base")
        return Findings((*checks, Check(name, "failed", str(error.what), error.do)))
    config = _config(base, plan)
    checks += _before_rows(task, config)
    found = found or _rows(plan, root, folder)
    if isinstance(found, Check):
        return Findings((*checks, found))
    rendered = [task.render(row) for row in found.train]
    whole = [item for item in rendered if isinstance(item, Rendered)]
    checks.append(learning.truncation(plan, task, found.train, rendered))
    if not whole:
        return Findings(tuple(checks))
    tokenizer: Any = cast(Any, task).tokenizer
    checks += [
        learning.prompts(task, found.train, whole),
        *([] if task.measures else [learning.ends(task, whole)]),
        learning.padding(task, whole, tokenizer.pad_token_id),
        learning.lengths(plan, task, whole, found.test, _limits(task)),
        *_of_rows(plan, task, base, found, whole),
        room.memory(plan.train.model_copy(update={"base": base}), config, whole),
        room.disk(plan, base, folder),
    ]
    return Findings(tuple(checks), task.pieces(whole[0]))


def _config(base: str, plan: Plan) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(model_folder(base), trust_remote_code=plan.train.trust_remote_code)


def _before_rows(task: Any, config: Any) -> list[Check]:
    if task.name == "causal":
        return causal.before_rows(task)
    return seq2seq.before_rows(task, config) if task.name == "seq2seq" else []


def _of_rows(plan: Plan, task: Any, base: str, rows: _Rows, whole: Sequence[Rendered]) -> list[Check]:
    if task.name == "causal":
        return causal.of_rows(task, rows.train, whole)
    if task.name == "classify":
        held_out = [*rows.validation, *rows.test]
        return classify.of_rows(
            task, rows.train, held_out, base, weighed=plan.train.class_weights is not None
        )
    return []


def _limits(task: Task) -> dict[str, int]:
    """What is limited, to its most tokens."""
    of_task: Any = task
    if task.name == "seq2seq":
        return {"source": of_task.max_length, "target": of_task.max_target_length}
    return {"text" if task.name == "classify" else "row": of_task.max_length}


def _rows(plan: Plan, root: Path, folder: Path) -> _Rows | Check:
    """The rows of all splits, or the check that says what to run first."""
    run = Run(folder)
    standing = {stage.name: stage.standing for stage in survey(plan, root, run)}
    if standing["prepare"] != "cached":
        documents = plan.read.documents if plan.read is not None else None
        size = (
            sum(file.path.stat().st_size for file in find_files(documents, root)) / 1e6 if documents else 0.0
        )
        is_free = plan.synthesize is None or plan.synthesize.teacher == "builtin"
        if standing.get("synthesize", "cached") != "cached" and not (is_free and size <= READ_AT_MOST_MB):
            return Check(
                "rows",
                "missing",
                "there are no rows yet, and making them takes long or costs something",
                "Run the plan with --until prepare, then ask the doctor again.",
            )
        run_plan(plan, root, folder, until="prepare")
    train, validation, test = (
        list(read_rows(folder / f"prepare/{split}.jsonl", Row)) for split in ("train", "validation", "test")
    )
    return _Rows(train, validation, test)


def _precision(plan: Plan) -> Check:
    options = plan.train
    device = choose_device(options.device)
    name = str(choose_dtype(options.dtype, device)).removeprefix("torch.")
    if options.method == "full" and options.dtype == "auto":
        name = "float32"
    words = f"{'4 bits, computing in ' if options.in_four_bits else ''}{name} on {device}"
    if device.type == "cpu" and name == "float16":
        return Check("dtype", "note", f"{words}: slow, and coarse", "Take dtype: auto.")
    if device.type == "cpu" and name == "bfloat16" and not cpu_multiplies_bfloat16():
        return Check(
            "dtype", "note", f"{words}, which this CPU does not have in hardware", "Take dtype: auto."
        )
    return Check("dtype", "ok", words)
