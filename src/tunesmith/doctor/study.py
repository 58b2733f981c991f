"""What a plan would teach: its first rendered row, and whether rows, template and machine fit each other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.doctor.check import Check
from tunesmith.doctor.machine import GIB, available_memory
from tunesmith.doctor.memory import estimate_training_bytes
from tunesmith.errors import GateError, TunesmithError
from tunesmith.forecast import count_weights
from tunesmith.models.load import (
    choose_device,
    choose_dtype,
    cpu_multiplies_bfloat16,
    model_folder,
)
from tunesmith.pipeline import run_plan, survey
from tunesmith.plan import Plan
from tunesmith.read.files import find_files
from tunesmith.records import Refused, Row
from tunesmith.sizes import READ_AT_MOST_MB
from tunesmith.store import Run, read_rows
from tunesmith.tasks.base import IGNORED, Rendered, base_for
from tunesmith.tasks.causal import CausalTask
from tunesmith.train.rows import check_lost, lost_answers

SHOWN = 3


@dataclass(frozen=True)
class Findings:
    checks: tuple[Check, ...]
    first_example: tuple[tuple[str, bool], ...] = ()
    """The first training row as (text, is trained) pieces; empty when there are no rows yet."""


def check_plan(plan: Plan, root: Path, folder: Path) -> Findings:
    """Look at a plan, and at its rows: those of the run folder, or made now where that is quick and costs nothing.

    Args:
        root: the folder that relative paths of the plan are relative to.
        folder: the run folder; quick stages up to `prepare` are run in it, and the run goes on from there.

    Raises:
        TunesmithError: the documents or the plan cannot be used.
    """
    try:
        model_folder(base_for(plan.task, plan.train.base))
    except TunesmithError as error:
        return Findings((Check("base", "missing", str(error.what), error.do),))
    checks = [Check("base", "ok", plan.train.base)]
    if plan.task != "causal":
        words = (
            f"rows, template and memory are looked at for task: causal, and this plan has task: {plan.task}"
        )
        return Findings((*checks, _precision(plan), Check("rows", "note", words)))
    try:
        task = CausalTask.open(
            plan.train.base,
            plan.train,
            max_length=plan.train.max_length,
            truncate=plan.train.truncate,
            template=plan.train,
        )
    except TunesmithError as error:
        return Findings((*checks, Check("template", "failed", str(error.what), error.do)))
    checks += [_template(task), _stops(task), _precision(plan)]
    found = _rows(plan, root, folder)
    if isinstance(found, Check):
        return Findings((*checks, found))
    train, test = found
    rendered = [task.render(row) for row in train]
    whole = [item for item in rendered if isinstance(item, Rendered)]
    checks.append(_lost(plan, task, train, rendered))
    if not whole:
        return Findings(tuple(checks))
    checks += [
        _prompts(task, train, whole),
        _ends(task, whole),
        _padding(task, whole),
        _context(plan, task, whole, test),
        *_thoughts(task, train),
        _memory(plan, task, whole),
        _disk(plan, folder),
    ]
    return Findings(tuple(checks), task.pieces(whole[0]))


def _rows(plan: Plan, root: Path, folder: Path) -> tuple[list[Row], list[Row]] | Check:
    """Training and test rows, or the check that says what to run first."""
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
    return (
        list(read_rows(folder / "prepare/train.jsonl", Row)),
        list(read_rows(folder / "prepare/test.jsonl", Row)),
    )


def _template(task: CausalTask) -> Check:
    tokenizer = task.tokenizer
    if not tokenizer.chat_template:
        return Check("template", "ok", "the model has none: a plain one with an instruction and a response")
    source = str(tokenizer.chat_template)
    if "strftime_now" in source and "date_string" not in source:
        return Check(
            "template",
            "failed",
            "the model's chat template writes today's date into every prompt: prompts in use differ from training",
            "Give the model a chat template without a date.",
        )
    return Check("template", "ok", "the model's own chat template")


def _stops(task: CausalTask) -> Check:
    names = [repr(task.tokenizer.convert_ids_to_tokens(stop)) for stop in task.stop_ids]
    words = f"an answer ends with {' or '.join(names)}"
    end = task.template.turn_end
    if end is not None and end not in task.stop_ids:
        return Check("stop tokens", "failed", f"{words}, and the template ends it with another token")
    return Check("stop tokens", "ok", words)


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


def _lost(plan: Plan, task: CausalTask, rows: Sequence[Row], rendered: Sequence[Rendered | Refused]) -> Check:
    refused = [item for item in rendered if isinstance(item, Refused)]
    n_cut = sum(isinstance(item, Rendered) and item.n_cut > 0 for item in rendered)
    n_answer = sum(task.answer_length(row) for row in rows)
    task_of_any_kind: Any = task  # mypy takes the frozen fields of a task for another protocol
    lost = lost_answers(task_of_any_kind, rows, rendered)
    try:
        check_lost(lost, n_answer, task.max_length, plan.train.max_lost_answers)
    except GateError as error:
        return Check("truncation", "failed", error.what, error.do)
    if len(refused) == len(rendered):
        return Check(
            "truncation", "failed", "there is no row to learn from", refused[0].reason if refused else None
        )
    share = lost / n_answer if n_answer else 0.0
    words = (
        f"{share:.1%} of the answers' tokens lost in {len(refused)} of {len(rows)} rows; {n_cut} prompts cut"
    )
    return Check("truncation", "note" if refused or n_cut else "ok", words)


def _prompts(task: CausalTask, rows: Sequence[Row], whole: Sequence[Rendered]) -> Check:
    """The prompt in use is the beginning of the row in training, with at most one beginning-of-text token."""
    by_id = {row.id: row for row in rows}
    differing = []
    for item in whole:
        used = task.render_prompt(by_id[item.row_id], room=len(item.input_ids) - item.n_prompt)
        if not isinstance(used, Rendered) or used.input_ids != item.input_ids[: item.n_prompt]:
            differing.append(item.row_id)
    if differing:
        return Check(
            "prompts", "failed", f"prompts in use differ from training: {', '.join(differing[:SHOWN])}"
        )
    bos = task.tokenizer.bos_token_id
    doubled = [item.row_id for item in whole if bos is not None and bos not in task.stop_ids]
    doubled = [
        item.row_id for item in whole if item.row_id in set(doubled) and item.input_ids[:2] == (bos, bos)
    ]
    if doubled:
        return Check("prompts", "failed", f"two beginning-of-text tokens: {', '.join(doubled[:SHOWN])}")
    return Check("prompts", "ok", f"{len(whole)} prompts in use are the beginnings of the rows in training")


def _ends(task: CausalTask, whole: Sequence[Rendered]) -> Check:
    endless = [item.row_id for item in whole if item.labels[-1] not in task.stop_ids]
    if endless:
        return Check("end learnt", "failed", f"no end token is learnt: {', '.join(endless[:SHOWN])}")
    return Check("end learnt", "ok", "every answer learns its end token")


def _padding(task: CausalTask, whole: Sequence[Rendered]) -> Check:
    """Rows of different lengths side by side: nothing of the padding is learnt or seen, and no end token is lost."""
    rows = sorted(whole, key=lambda row: len(row.input_ids))
    pair = [rows[0], rows[-1]]
    batch = task.collate(pair)
    for index, row in enumerate(pair):
        n = len(row.input_ids)
        labels = batch.labels[index].tolist()
        seen = batch.attention_mask[index].tolist()
        if labels[:n] != list(row.labels) or any(label != IGNORED for label in labels[n:]) or any(seen[n:]):
            return Check("padding", "failed", f"padding is learnt or seen beside row {row.row_id}")
    tokenizer = task.tokenizer
    if tokenizer.pad_token_id is None:
        words = "the tokenizer has no padding token"
    elif tokenizer.pad_token_id in task.stop_ids:
        words = "the padding token is an end token"
    else:
        words = "the padding token is one of its own"
    return Check("padding", "ok", f"{words}; padding is told by its place, and none of it is learnt")


def _context(plan: Plan, task: CausalTask, whole: Sequence[Rendered], test: Sequence[Row]) -> Check:
    longest = max(len(item.input_ids) for item in whole)
    words = f"the longest row has {longest} of {task.max_length} tokens"
    room = plan.generate.max_new_tokens
    short = [row.id for row in test if task.answer_length(row) > room]
    if short:
        return Check(
            "context",
            "note",
            f"{words}; {len(short)} of {len(test)} test answers are longer than generate.max_new_tokens ({room})",
            "Raise generate.max_new_tokens, or these answers cannot be given in full.",
        )
    misfits = [row.id for row in test if isinstance(task.render_prompt(row, room=room), Refused)]
    if misfits:
        return Check(
            "context",
            "note",
            f"{words}; {len(misfits)} of {len(test)} test prompts leave no room for {room} new tokens",
            "Make the chunks shorter, or set generate.truncate.",
        )
    return Check("context", "ok", words)


def _thoughts(task: CausalTask, rows: Sequence[Row]) -> list[Check]:
    if not task.template.thinks or task.options.thinking != "keep":
        return []
    if any("</think>" in row.completion for row in rows):
        return [Check("thinking", "ok", "the template knows thoughts, and the answers have some")]
    return [
        Check(
            "thinking",
            "note",
            "the template knows thoughts and the answers have none: the base will think at length before it answers",
            "Take thinking: off, so that base and tuned answer at once.",
        )
    ]


def _memory(plan: Plan, task: CausalTask, whole: Sequence[Rendered]) -> Check:
    import torch
    from transformers import AutoConfig

    options = plan.train
    weights = count_weights(options.base) or 0
    config: Any = AutoConfig.from_pretrained(
        model_folder(options.base), trust_remote_code=options.trust_remote_code
    )
    device = choose_device(options.device)
    size = 4 if choose_dtype(options.dtype, device) == torch.float32 else 2
    needed = estimate_training_bytes(config, weights, options, whole, size)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()
    words = f"about {needed / GIB:.2f} GiB for weights, optimiser and a batch (an estimate)"
    if free is None:
        return Check("memory", "note", f"{words}; what is available is not known here")
    words += f"; {free / GIB:.1f} GiB available"
    if needed > free:
        return Check(
            "memory",
            "note",
            words,
            "Take gradient_checkpointing: true, method: qlora, a smaller batch (auto_find_batch_size finds it).",
        )
    return Check("memory", "ok", words)


def _disk(plan: Plan, folder: Path) -> Check:
    weights = count_weights(plan.train.base) or 0
    # An adapter is small beside its base; a whole model is kept with its moments in each checkpoint.
    trained = weights if plan.train.method == "full" else weights // 10
    needed = trained * ((plan.train.save_total_limit + 1) * 12 + 8)
    place = next(one for one in (folder, *folder.resolve().parents) if one.exists())
    free = shutil.disk_usage(place).free
    words = f"at most {needed / GIB:.2f} GiB for checkpoints; {free / GIB:.1f} GiB free"
    if needed > free:
        return Check("disk", "failed", words, "Free some room, or lower save_total_limit or lora_r.")
    return Check("disk", "ok", words)
