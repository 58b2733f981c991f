"""One adapter to train: what was asked for, checked, its task opened and its rows as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError, TunesmithError
from tunesmith.models import cards, lineage
from tunesmith.models.load import model_folder, weights_sha256
from tunesmith.records import Row
from tunesmith.tasks.base import Task, base_for, open_task
from tunesmith.train import distributed
from tunesmith.train.options import TrainOptions
from tunesmith.train.rows import Data, render_rows


@dataclass(frozen=True, slots=True)
class Job:
    """One adapter to train."""

    train: Sequence[Row]
    validation: Sequence[Row]
    folder: Path
    options: TrainOptions


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that was set aside so that the others could go on."""

    folder: Path
    error: TunesmithError


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that can begin."""

    task: Task
    data: Data
    folder: Path
    options: TrainOptions


def prepare(job: Job, task: str) -> Prepared:
    """Check the options against the task, open it, and render the rows. Raises what these do."""
    job = with_base(job, task)
    opened = open_for(job, task)
    data = render_rows(opened, job.train, job.validation, job.options)
    return Prepared(opened, data, job.folder, job.options)


def open_for(job: Job, task: str) -> Task:
    """The task as the job is trained with it; for a classifier, with the labels of the job's rows."""
    job = with_base(job, task)
    return open_task(
        task,
        job.options.base,
        job.options,
        max_length=job.options.max_length,
        truncate=job.options.truncate,
        **_own_settings(task, job),
    )


def with_base(job: Job, task: str) -> Job:
    """The job with the name of the model that its task means by `builtin`; `InputError` for options without effect."""
    if idle := job.options.idle(task):
        raise InputError("; ".join(idle), where="train", do="Leave it out, or take the other task.")
    if task == "classify" and job.options.in_four_bits:
        raise InputError(
            "a classifier's base cannot be held in 4 bits here", where="train.method", do="Take method: lora."
        )
    base = base_for(task, job.options.base)
    return replace(job, options=job.options.model_copy(update={"base": base}))


def _own_settings(task: str, job: Job) -> dict[str, Any]:
    """What this task alone wants to know."""
    options = job.options
    if task == "seq2seq":
        return {"max_target_length": options.max_target_length}
    if task == "classify":
        from tunesmith.models.classifier import known_labels
        from tunesmith.tasks.classify import Head
        from tunesmith.tasks.labels import find_labels, weigh_labels

        known = known_labels(options.base, trust_remote_code=options.trust_remote_code)
        labels = find_labels(job.train, options.labels, known)
        weights = weigh_labels(labels, job.train, options.class_weights)
        return {"head": Head(labels, weights, options.seed)}
    return {"template": options}


def adapters_before(options: TrainOptions) -> list[Path]:
    """The adapters to merge into the base. Raises what `check_continues` does, and for tokens that would be lost."""
    if options.continue_from is None:
        return []
    folder = Path(options.continue_from).expanduser()
    found = lineage.check_continues(folder, options.base, weights_sha256(model_folder(options.base)))
    tokens = ((cards.read_card(folder) or {}).get("train") or {}).get("added_tokens", [])
    if options.added_tokens[: len(tokens)] != tokens:
        raise InputError(
            f"the adapter to continue from knows added tokens: {', '.join(tokens)}",
            where="train.added_tokens",
            do="Name these first, in this order.",
        )
    return found


def as_loaded(options: TrainOptions) -> TrainOptions:
    """The options that the base is loaded with.

    Whole models are trained in float32: steps of a usual size would be lost in bfloat16 weights.

    Of several processes, each takes its own device.
    """
    options = options.model_copy(update={"device": distributed.own_device(options.device)})
    if options.method == "full" and options.dtype == "auto":
        return options.model_copy(update={"dtype": "float32"})
    return options
