"""The rows of a job as tokens, and the checks that something is learnt, the right part, and nearly all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.errors import GateError, InputError
from tunesmith.options import changed
from tunesmith.records import Refused, Row
from tunesmith.tasks.base import Rendered, Task
from tunesmith.train.options import TrainOptions


@dataclass(frozen=True, slots=True)
class Data:
    train: list[Rendered]
    validation: list[Rendered]
    refused: tuple[Refused, ...]


def render_rows(task: Task, train: Sequence[Row], validation: Sequence[Row], options: TrainOptions) -> Data:
    """All rows as tokens. Raises `GateError` when what would be learnt is nothing, or everything."""
    rendered = [task.render(row) for row in train]
    checked = [task.render(row) for row in validation]
    refused = tuple(item for item in (*rendered, *checked) if isinstance(item, Refused))
    data = Data(
        [item for item in rendered if isinstance(item, Rendered)],
        [item for item in checked if isinstance(item, Rendered)],
        refused,
    )
    if not data.train:
        reason = refused[0].reason if refused else "there are no training rows"
        raise GateError(
            f"there is nothing to train on: {reason}",
            where="train",
            do="Look at prepare/train.jsonl and train.max_length.",
        )
    n_trained = sum(row.n_trained for row in data.train)
    if n_trained == 0:
        raise GateError(
            "no token would be trained", where="train", do="Look at the completions of the training rows."
        )
    lost = lost_answers(task, train, rendered)
    check_lost(lost, lost + n_trained, options.max_length or task.context_length, options.max_lost_answers)
    if n_trained == sum(row.n_tokens for row in data.train):
        raise GateError(
            "every token would be trained, prompts included",
            where="train",
            do="Look at the prompts of the training rows.",
        )
    if not data.validation:
        idle = changed(options, "early_stopping_patience", "eval_steps")
        if idle:
            raise InputError(
                f"{', '.join(idle)} has no effect: there are no validation rows",
                where=f"train.{idle[0]}",
                do="Leave it out, or split off a validation set.",
            )
    return data


def check_lost(lost: int, n_answer: int, limit: int, allowed: float) -> None:
    """Raise `GateError` when more than the allowed share of the answers' tokens is in rows that are too long."""
    share = lost / n_answer if n_answer else 0.0
    if share > allowed:
        raise GateError(
            f"{share:.1%} of the answers' tokens would be lost, {lost} of {n_answer}: rows too long for {limit} tokens",
            where="train.max_length",
            do="Make the chunks shorter, raise max_length, set truncate: prompt_left, or allow it: max_lost_answers.",
        )


def lost_answers(task: Task, rows: Sequence[Row], rendered: Sequence[Rendered | Refused]) -> int:
    """Answer tokens of training rows that were refused for their length."""
    long = {item.id for item in rendered if isinstance(item, Refused) and item.check == "too_long"}
    return sum(task.answer_length(row) for row in rows if row.id in long)
