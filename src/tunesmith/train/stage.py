"""Train: rows in, an adapter in peft's format out, with a log of how it went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import InputError, TunesmithError
from tunesmith.models import lineage
from tunesmith.models.load import choose_device, model_folder, weights_sha256
from tunesmith.records import Row, TrainingLog
from tunesmith.train import distributed, following
from tunesmith.train.alone import train_alone
from tunesmith.train.course import plan_of
from tunesmith.train.distributed import world
from tunesmith.train.jobs import FailedJob, Job, Prepared, adapters_before, as_loaded, prepare, with_base
from tunesmith.train.keys import base_key, card_of, passes_key, run_key
from tunesmith.train.options import Progress, TrainOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.train.members import Entry

__all__ = [
    "FailedJob",
    "Job",
    "Progress",
    "TrainOptions",
    "train_adapter",
    "train_adapters",
    "train_step_counts",
]


def _say_nothing(done: int, total: int | None, what: str) -> None:
    return


def train_adapter(
    train: Sequence[Row],
    validation: Sequence[Row],
    folder: Path,
    options: TrainOptions,
    *,
    task: str = "causal",
    progress: Progress = _say_nothing,
) -> TrainingLog:
    """Train one adapter into `folder`, in peft's format (a whole model when `method` is full).

    A call that was killed goes on from its last whole checkpoint (`folder/checkpoints`) when it is made again with the
    same rows and options, and ends with the same weights, to the bit on a CPU with the same number of threads.

    Raises:
        GateError: nothing would be trained, or prompts as well as answers.
        MissingError: no such base model, or no room on the disk.
        InputError: the base model or `target_modules` cannot be used.
        TunesmithError: the loss stopped being a number.
    """
    (outcome,) = train_adapters([Job(train, validation, folder, options)], task=task, progress=progress)
    if isinstance(outcome, FailedJob):
        raise outcome.error
    return outcome


def train_adapters(
    jobs: Sequence[Job], *, task: str = "causal", progress: Progress = _say_nothing
) -> Iterator[TrainingLog | FailedJob]:
    """Train several adapters over one loaded base; a job that fails is set aside with its reason.

    Jobs that share `base`, `dtype` and `device` are trained together, in common passes over the base, where their
    options allow it (plain LoRA of a causal model, without dropout; any ranks, rates, data, steps); each has the losses
    of its run alone, up to rounding. The others follow one after another. The logs' notes say which way was taken.
    Outcomes come in the order of the jobs. Killed and called again, it goes on from its last whole checkpoint.
    """
    if world().size > 1:
        jobs = [replace(job, folder=job.folder.absolute()) for job in jobs]
        device = choose_device(distributed.own_device(jobs[0].options.device)) if jobs else "cpu"
        following.call_the_others(device, (jobs, task))
        distributed.join(device)
    loaded: tuple[object, PreTrainedModel] | None = None
    outcomes: dict[int, TrainingLog | FailedJob] = {}
    alone: dict[int, str] = {}
    for index, job in enumerate(jobs):
        if index in outcomes:
            yield outcomes.pop(index)
            continue
        try:
            ready = prepare(job, task)
            options = ready.options
            if loaded is None or loaded[0] != base_key(options):
                loaded = None  # let go of the old weights before the new ones are read
                loaded = (base_key(options), _load(ready))
            base = loaded[1]
            others = [] if index in alone else _partners(jobs, index, task, passes_key(options))
            if others:
                _train_together(base, {index: ready}, others, task, outcomes, alone, progress)
                if index in outcomes:
                    yield outcomes.pop(index)
                    continue
            if _changes_the_base(ready):
                loaded = None
            reason = alone.get(index) or (_why_alone(task, options) if len(jobs) > 1 else None)
            notes = [f"trained by itself, not together with others: {reason}"] if reason else []
            with following.told_when_lost():
                log = train_alone(base, ready, notes, progress)
        except TunesmithError as error:
            if world().size > 1:
                raise  # the other processes are in the middle of this job
            yield FailedJob(job.folder, error)
        else:
            yield log


def take_part() -> int | None:
    """In every process but the first of a launcher's: train what the first one trains, until it ends; the exit code.

    `None` in the first process, at once: it does the run.
    """
    if world().is_first:
        return None

    def train(work: tuple[Sequence[Job], str]) -> None:
        jobs, task = work
        for _ in train_adapters(jobs, task=task):
            pass

    return following.follow(train)


def train_step_counts(
    job: Job, stops: Mapping[int, Path], *, task: str = "causal", progress: Progress = _say_nothing
) -> dict[int, TrainingLog]:
    """One run that leaves an adapter in `stops[n]` after n steps, for each n: that of a run with `max_steps: n`.

    That is possible where the learning rate of a step does not depend on how many there will be, but for a decay at
    the end. With a constant rate it costs as many steps as the largest n. With `warmup_stable_decay` it costs one run
    at the constant rate, up to where the last decay begins, and from it, for each n, a branch of that decay's steps.
    Each adapter has its own best validation and its own end by early stopping. `job.folder` is not used; checkpoints
    lie in the stops' folders meanwhile, and the same call goes on from them. Several processes train each n from its
    first step.

    Raises:
        InputError: the schedule depends on the number of steps; there are no stops; or one is too short for its decay.
        Others: as `train_adapter`.
    """
    options = job.options
    if options.knows_its_end:
        raise InputError(
            "the learning rate of a step depends on how many steps there will be, so one run cannot stand for several",
            where="train.lr_scheduler_type",
            do="Take lr_scheduler_type: constant, or warmup_stable_decay with warmup_steps, or train each number of "
            "steps by itself.",
        )
    if not stops or min(stops) < 1:
        raise InputError("name at least one number of steps, from 1 on", where="stops")
    if short := options.too_few_steps(min(stops)):
        raise InputError(short, where="stops")
    from tunesmith.train.joint import train_together

    ordered: dict[int, Path] = dict(sorted(stops.items()))
    first = next(iter(ordered.values()))
    one_run = options.model_copy(update={"max_steps": max(ordered)})
    ready = prepare(replace(job, options=one_run), task)
    jobs = {
        steps: replace(ready, folder=folder, options=ready.options.model_copy(update={"max_steps": steps}))
        for steps, folder in ordered.items()
    }
    if world().size > 1:
        return {
            steps: _at_full_cost(replace(job, folder=one.folder, options=one.options), task, progress)
            for steps, one in jobs.items()
        }
    base: list[PreTrainedModel] = [_load(ready)]
    if _why_alone(task, ready.options) is None:
        entry, key = _entry(ready, dict(ordered.items()))
        (found,) = train_together(base[0], [entry], [key], first / "checkpoints-together", progress)
        if isinstance(found, TunesmithError):
            raise found
        if isinstance(found, dict):
            return found

    def load() -> PreTrainedModel:
        if not base:
            base.append(_load(ready))
        return base.pop() if _changes_the_base(ready) else base[0]

    from tunesmith.train.branches import train_branches

    return train_branches(load, jobs, progress)


def _at_full_cost(job: Job, task: str, progress: Progress) -> TrainingLog:
    """For several processes, which cannot pause a run."""
    log = train_adapter(job.train, job.validation, job.folder, job.options, task=task, progress=progress)
    return replace(log, notes=("trained from its first step: several processes share the work", *log.notes))


def _load(ready: Prepared) -> PreTrainedModel:
    """The base of a job, with earlier adapters merged into it."""
    before = adapters_before(ready.options)
    return lineage.load_merged(ready.task.load, ready.options.base, as_loaded(ready.options), before)


def _changes_the_base(ready: Prepared) -> bool:
    """Whether the base in memory has other weights, or another head, after this job; or is shared out."""
    options = ready.options
    return options.method == "full" or ready.task.name == "classify" or distributed.wants_fsdp(options)


def _why_alone(task: str, options: TrainOptions) -> str | None:
    from tunesmith.train.members import why_alone

    return "several processes share the work on each" if world().size > 1 else why_alone(task, options)


def _partners(jobs: Sequence[Job], index: int, task: str, key: object) -> list[tuple[int, Job]]:
    """The later jobs that can share the passes of this one."""
    if index + 1 == len(jobs) or _why_alone(task, jobs[index].options):
        return []
    found = []
    for at in range(index + 1, len(jobs)):
        try:
            options = with_base(jobs[at], task).options
        except TunesmithError:
            continue  # it is told when its turn comes
        if passes_key(options) == key and _why_alone(task, options) is None:
            found.append((at, jobs[at]))
    return found


def _train_together(
    base: PreTrainedModel,
    prepared: dict[int, Prepared],
    others: Sequence[tuple[int, Job]],
    task: str,
    outcomes: dict[int, TrainingLog | FailedJob],
    alone: dict[int, str],
    progress: Progress,
) -> None:
    """Train these jobs in common passes; what comes of each goes into `outcomes`, or, with its reason, into `alone`."""
    from tunesmith.train.joint import train_together

    for at, job in others:
        try:
            prepared[at] = prepare(job, task)
        except TunesmithError as error:
            outcomes[at] = FailedJob(job.folder, error)
    if len(prepared) < 2:
        return
    entries = [_entry(ready, {None: ready.folder}) for ready in prepared.values()]
    first = next(iter(prepared.values()))
    found = train_together(
        base,
        [entry for entry, _ in entries],
        [key for _, key in entries],
        first.folder / "checkpoints-together",
        progress,
    )
    for (at, ready), outcome in zip(prepared.items(), found, strict=True):
        if isinstance(outcome, str):
            alone[at] = outcome
        elif isinstance(outcome, TunesmithError):
            outcomes[at] = FailedJob(ready.folder, outcome)
        else:
            (outcomes[at],) = outcome.values()


def _entry(ready: Prepared, stops: Mapping[int | None, Path]) -> tuple[Entry, str]:
    """The job for joint training, and the key of its run."""
    from tunesmith.train.members import Entry

    options = ready.options
    base_sha256 = weights_sha256(model_folder(options.base))
    key = run_key(options, plan_of(options, ready.data.train), ready.data, [base_sha256])
    entry = Entry(ready, stops, card_of(ready.task, options, base_sha256, []))
    return entry, f"{key} {sorted(steps or 0 for steps in stops)}"
