"""What is learnt of the rows, whatever the task: what is lost or cut, whether use and training agree, and padding."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tunesmith.doctor.check import SHOWN, Check
from tunesmith.errors import GateError
from tunesmith.plan import Plan
from tunesmith.records import Refused, Row
from tunesmith.tasks.base import IGNORED, Rendered, Task
from tunesmith.train.rows import check_lost, lost_answers


def truncation(plan: Plan, task: Task, rows: Sequence[Row], rendered: Sequence[Rendered | Refused]) -> Check:
    """How many of the answers' tokens are lost in rows that are too long, and how much of the prompts is cut."""
    refused = [item for item in rendered if isinstance(item, Refused)]
    whole = [item for item in rendered if isinstance(item, Rendered)]
    long = [item for item in refused if item.check == "too_long"]
    n_answer = sum(task.answer_length(row) for row in rows)
    lost = lost_answers(task, rows, rendered)
    try:
        check_lost(lost, n_answer, plan.train.max_length or task.context_length, plan.train.max_lost_answers)
    except GateError as error:
        do = f"{long[0].reason}; or allow it: max_lost_answers" if task.answer_apart else error.do
        return Check("truncation", "failed", error.what, do)
    if not whole:
        return Check(
            "truncation", "failed", "there is no row to learn from", refused[0].reason if refused else None
        )
    share = lost / n_answer if n_answer else 0.0
    answers = "labels" if task.measures else "answers' tokens"
    words = f"{share:.1%} of the {answers} lost in {len(long)} of {len(rows)} rows"
    cut = [item.n_cut for item in whole if item.n_cut]
    read = sum(item.n_prompt + item.n_cut for item in whole)
    words += (
        f"; {len(cut)} prompts cut, {sum(cut) / read:.1%} of all their tokens" if cut else "; no prompt cut"
    )
    return Check("truncation", "note" if long or cut else "ok", words)


def prompts(task: Task, rows: Sequence[Row], whole: Sequence[Rendered]) -> Check:
    """The prompt in use is the beginning of the row in training, or all that the encoder reads."""
    by_id = {row.id: row for row in rows}
    differing = []
    for item in whole:
        room = 0 if task.answer_apart else len(item.input_ids) - item.n_prompt
        used = task.render_prompt(by_id[item.row_id], room=room)
        if not isinstance(used, Rendered) or used.input_ids != item.input_ids[: item.n_prompt]:
            differing.append(item.row_id)
    if differing:
        return Check(
            "prompts", "failed", f"prompts in use differ from training: {', '.join(differing[:SHOWN])}"
        )
    what = "the same as" if task.answer_apart else "the beginnings of the rows"
    return Check("prompts", "ok", f"{len(whole)} prompts in use are {what} in training")


def ends(task: Task, whole: Sequence[Rendered]) -> Check:
    """Every answer learns its end; after a target's end token mBART has the language."""
    tail = -2 if task.answer_apart else -1
    endless = [item.row_id for item in whole if not set(item.labels[tail:]) & set(task.stop_ids)]
    if endless:
        return Check("end learnt", "failed", f"no end token is learnt: {', '.join(endless[:SHOWN])}")
    return Check("end learnt", "ok", "every answer learns its end token")


def padding(task: Task, whole: Sequence[Rendered], pad: int | None) -> Check:
    """Rows of different lengths side by side: nothing of the padding is learnt or seen, and no end token is lost."""
    rows = sorted(whole, key=lambda row: row.n_tokens)
    pair = [rows[0], rows[-1]]
    batch = task.collate(pair)
    for index, row in enumerate(pair):
        labels = batch.labels[index].tolist()
        seen = batch.attention_mask[index].tolist()
        n, m = len(row.input_ids), len(row.labels)
        learnt = labels[:m] == list(row.labels) and all(label == IGNORED for label in labels[m:])
        if not learnt or not all(seen[:n]) or any(seen[n:]):
            return Check("padding", "failed", f"padding is learnt or seen beside row {row.row_id}")
    if pad is None:
        words = "the tokenizer has no padding token"
    elif pad in task.stop_ids:
        words = "the padding token is an end token"
    else:
        words = "the padding token is one of its own"
    return Check("padding", "ok", f"{words}; padding is told by its place, and none of it is learnt")


def lengths(
    plan: Plan, task: Task, whole: Sequence[Rendered], test: Sequence[Row], limits: dict[str, int]
) -> Check:
    """How long rows are beside the limits, and whether test prompts and answers fit.

    Args:
        limits: what is limited (`row`, or `source` and `target`, or `text`) to its most tokens.
    """
    words = "; ".join(
        f"{_spread([_tokens(item, what) for item in whole])} tokens a {what}, of at most {limit:,}"
        for what, limit in limits.items()
    )
    if task.measures:  # a label takes no room
        return Check("context", "ok", words)
    room = plan.generate.max_new_tokens
    long = [row.id for row in test if task.answer_length(row) > room]
    if long:
        return Check(
            "context",
            "note",
            f"{words}; {len(long)} of {len(test)} test answers are longer than generate.max_new_tokens ({room})",
            "Raise generate.max_new_tokens, or these answers cannot be given in full.",
        )
    if task.answer_apart:
        return Check("context", "ok", words)
    misfits = [row.id for row in test if isinstance(task.render_prompt(row, room=room), Refused)]
    if misfits:
        return Check(
            "context",
            "note",
            f"{words}; {len(misfits)} of {len(test)} test prompts leave no room for {room} new tokens",
            "Make the chunks shorter, or set generate.truncate.",
        )
    return Check("context", "ok", words)


def _tokens(item: Rendered, what: str) -> int:
    return item.n_target if what == "target" else len(item.input_ids)


def _spread(values: Sequence[int]) -> str:
    return f"{min(values):,} to {max(values):,} (median {round(statistics.median(values)):,})"
