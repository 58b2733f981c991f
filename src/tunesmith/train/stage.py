"""Train: rows in, an adapter in peft's format out, with a log of how it went."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError, MissingError, TunesmithError
from tunesmith.models import cards, lineage
from tunesmith.models.load import (
    choose_device,
    model_folder,
    set_threads,
    weights_sha256,
)
from tunesmith.models.quantised import need_bitsandbytes
from tunesmith.records import Row, TrainingLog
from tunesmith.tasks.base import Task, base_for, open_task
from tunesmith.train import distributed
from tunesmith.train.batches import BatchPlan
from tunesmith.train.distributed import world
from tunesmith.train.options import Progress, TrainOptions
from tunesmith.train.rows import Data, render_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.train.together import Entry

__all__ = [
    "FailedJob",
    "Job",
    "Progress",
    "TrainOptions",
    "train_adapter",
    "train_adapters",
    "train_step_counts",
]

_HOW_ONLY = {
    "threads",
    "save_steps",
    "report_to",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "packing",
    "attn_implementation",
    "use_liger_kernel",
    "auto_find_batch_size",
    "save_total_limit",
    "keep_last",
    "continue_from",  # its weights count, not where they lie
    "fsdp",
}
"""Options that change how a run is done but not what comes out, beyond rounding."""


_OF_THE_BASE = (
    "base",
    "continue_from",
    "added_tokens",
    "dtype",
    "device",
    "trust_remote_code",
    "in_four_bits",
    "bnb_4bit_quant_type",
    "bnb_4bit_use_double_quant",
    "bnb_4bit_compute_dtype",
)
"""Options that make the base in memory what it is: jobs that agree in them share it."""


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
        distributed.call_the_others(device, (jobs, task))
        distributed.join(device)
    loaded: tuple[object, PreTrainedModel] | None = None
    outcomes: dict[int, TrainingLog | FailedJob] = {}
    alone: dict[int, str] = {}
    for index, job in enumerate(jobs):
        if index in outcomes:
            yield outcomes.pop(index)
            continue
        try:
            job, opened, data = _prepare(job, task)
            options, same_base = job.options, _base_key(job.options)
            if loaded is None or loaded[0] != same_base:
                loaded = None  # let go of the old weights before the new ones are read
                before = _before(options)
                loaded = (
                    same_base,
                    lineage.load_merged(opened.load, options.base, _full_precision(options), before),
                )
            base = loaded[1]
            others = [] if index in alone else _partners(jobs, index, task, same_base)
            if others:
                _train_together(base, {index: (job, opened, data)}, others, task, outcomes, alone, progress)
                if index in outcomes:
                    yield outcomes.pop(index)
                    continue
            changed = options.method == "full" or task == "classify" or distributed.wants_fsdp(options)
            if changed:
                loaded = None  # its weights, or its head, will be other ones, or shared out
            reason = alone.get(index) or (_why_alone(task, options) if len(jobs) > 1 else None)
            notes = [f"trained by itself, not together with others: {reason}"] if reason else []
            with distributed.told_when_lost():
                log = _run(opened, base, data, job, notes, progress)
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

    return distributed.follow(train)


def train_step_counts(
    job: Job, stops: Mapping[int, Path], *, task: str = "causal", progress: Progress = _say_nothing
) -> dict[int, TrainingLog]:
    """One run that leaves an adapter in `stops[n]` after n steps, for each n: that of a run with `max_steps: n`.

    It costs as many steps as the largest n. That is possible where the learning rate of a step does not depend on how
    many there will be. Each adapter has its own best validation and its own end by early stopping. `job.folder` is not
    used; checkpoints lie in the folder of the first stop meanwhile.

    Raises:
        InputError: the schedule depends on the number of steps, or there are no stops.
        Others: as `train_adapter`.
    """
    options = job.options
    by_ratio = options.warmup_steps is None and options.warmup_ratio > 0
    warms_up = options.lr_scheduler_type == "constant_with_warmup" and by_ratio
    if not options.lr_scheduler_type.startswith("constant") or warms_up:
        raise InputError(
            "the learning rate of a step depends on how many steps there will be, so one run cannot stand for several",
            where="train.lr_scheduler_type",
            do="Take lr_scheduler_type: constant, or train each number of steps by itself.",
        )
    if not stops or min(stops) < 1:
        raise InputError("name at least one number of steps, from 1 on", where="stops")
    from tunesmith.train.joint import train_together

    ordered: dict[int, Path] = dict(sorted(stops.items()))
    first = next(iter(ordered.values()))
    one_run = options.model_copy(update={"max_steps": max(ordered)})
    job, opened, data = _prepare(replace(job, options=one_run), task)
    reason = _why_alone(task, job.options)
    if reason is None:
        base = opened.load(job.options.base, job.options)
        entry, key = _entry(job, opened, data, dict(ordered.items()))
        (found,) = train_together(base, [entry], [key], first / "checkpoints-together", progress)
        if isinstance(found, TunesmithError):
            raise found
        if isinstance(found, dict):
            return found
    each = [
        replace(job, folder=folder, options=job.options.model_copy(update={"max_steps": steps}))
        for steps, folder in ordered.items()
    ]
    return {
        steps: train_adapter(one.train, one.validation, one.folder, one.options, task=task, progress=progress)
        for steps, one in zip(ordered, each, strict=True)
    }


def _prepare(job: Job, task: str) -> tuple[Job, Task, Data]:
    job = _with_base(job, task)
    options = job.options
    opened = open_task(
        task,
        options.base,
        options,
        max_length=options.max_length,
        truncate=options.truncate,
        **_own_settings(task, job),
    )
    return job, opened, render_rows(opened, job.train, job.validation, options)


def _base_key(options: TrainOptions) -> tuple[object, ...]:
    return tuple(getattr(options, name) for name in _OF_THE_BASE)


def _why_alone(task: str, options: TrainOptions) -> str | None:
    from tunesmith.train.together import why_alone

    return "several processes share the work on each" if world().size > 1 else why_alone(task, options)


def _partners(jobs: Sequence[Job], index: int, task: str, same_base: object) -> list[tuple[int, Job]]:
    """The later jobs that can share the passes of this one."""
    if index + 1 == len(jobs) or _why_alone(task, jobs[index].options):
        return []
    found = []
    for at in range(index + 1, len(jobs)):
        try:
            options = _with_base(jobs[at], task).options
        except TunesmithError:
            continue  # it is told when its turn comes
        if _base_key(options) == same_base and _why_alone(task, options) is None:
            found.append((at, jobs[at]))
    return found


def _train_together(
    base: PreTrainedModel,
    prepared: dict[int, tuple[Job, Task, Data]],
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
            prepared[at] = _prepare(job, task)
        except TunesmithError as error:
            outcomes[at] = FailedJob(job.folder, error)
    if len(prepared) < 2:
        return
    entries = [_entry(job, opened, data, {None: job.folder}) for job, opened, data in prepared.values()]
    first = next(iter(prepared.values()))[0]
    found = train_together(
        base,
        [entry for entry, _ in entries],
        [key for _, key in entries],
        first.folder / "checkpoints-together",
        progress,
    )
    for (at, (job, _, _)), outcome in zip(prepared.items(), found, strict=True):
        if isinstance(outcome, str):
            alone[at] = outcome
        elif isinstance(outcome, TunesmithError):
            outcomes[at] = FailedJob(job.folder, outcome)
        else:
            (outcomes[at],) = outcome.values()


def _entry(job: Job, opened: Task, data: Data, stops: Mapping[int | None, Path]) -> tuple[Entry, str]:
    """The job for joint training, and the key of its run."""
    from tunesmith.train.together import Entry

    options = job.options
    base_sha256 = weights_sha256(model_folder(options.base))
    plan = BatchPlan(
        [row.n_tokens for row in data.train],
        options.per_device_train_batch_size,
        options.gradient_accumulation_steps,
        options.seed,
    )
    card = _card(opened, options, base_sha256, [])
    entry = Entry(opened, data.train, data.validation, data.refused, options, stops, card)
    return entry, f"{_run_key(options, plan, data, [base_sha256])} {sorted(steps or 0 for steps in stops)}"


def _with_base(job: Job, task: str) -> Job:
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


def _before(options: TrainOptions) -> list[Path]:
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


def _full_precision(options: TrainOptions) -> TrainOptions:
    """Whole models are trained in float32: steps of a usual size would be lost in bfloat16 weights.

    Of several processes, each takes its own device.
    """
    options = options.model_copy(update={"device": distributed.own_device(options.device)})
    if options.method == "full" and options.dtype == "auto":
        return options.model_copy(update={"dtype": "float32"})
    return options


def _run(
    task: Task, base: PreTrainedModel, data: Data, job: Job, notes: list[str], progress: Progress
) -> TrainingLog:
    """Train, with half the batch and twice the accumulation each time the memory of the device runs out."""
    import torch
    from accelerate.utils.memory import should_reduce_batch_size  # type: ignore[import-untyped]

    options = job.options
    batch_size, accumulation = options.per_device_train_batch_size, options.gradient_accumulation_steps
    if options.auto_find_batch_size:
        if world().size > 1:
            raise InputError(
                "the batch that fits is not looked for with several processes",
                where="train.auto_find_batch_size",
                do="Set per_device_train_batch_size and gradient_accumulation_steps.",
            )
        batch_size, accumulation = batch_size * accumulation, 1
    while True:
        plan = BatchPlan(
            [row.n_tokens for row in data.train],
            batch_size,
            accumulation,
            options.seed,
            processes=world().size,
            rank=world().rank,
        )
        try:
            return _fit(task, base, data, job, plan, tuple(notes), progress)
        except (RuntimeError, MemoryError) as error:
            is_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
            if not (is_memory or should_reduce_batch_size(error)):
                raise
            if world().size > 1 and batch_size > 1:
                raise MissingError(
                    f"the device has too little memory for {batch_size} rows at once",
                    where="train.per_device_train_batch_size",
                    do=f"Set it to {batch_size // 2} and gradient_accumulation_steps to {accumulation * 2}: "
                    "the steps stay the same, and the run goes on from its last checkpoint.",
                ) from error
            if batch_size == 1:
                raise MissingError(
                    "the device has too little memory even for one row at a time",
                    where="train.per_device_train_batch_size",
                    do="Set gradient_checkpointing: true, method: qlora, a smaller max_length, or a smaller base.",
                ) from error
            # Steps hold the same rows either way, so the run stays the same but for rounding.
            half = batch_size // 2 if batch_size % 2 == 0 else 1
            accumulation *= batch_size // half
            notes.append(
                f"memory ran out with {batch_size} rows at once; went on with {half}, and {accumulation} batches a step"
            )
            batch_size = half
            torch.cuda.empty_cache()


def _fit(
    task: Task,
    base: PreTrainedModel,
    data: Data,
    job: Job,
    plan: BatchPlan,
    notes: tuple[str, ...],
    progress: Progress,
) -> TrainingLog:
    from transformers import TrainerState, set_seed

    from tunesmith.models import fast
    from tunesmith.models.load import quiet
    from tunesmith.train import adapters, arithmetic, measure
    from tunesmith.train.checkpoints import newest_complete
    from tunesmith.train.energy import EnergyMeter, add_energies
    from tunesmith.train.layout import arrange
    from tunesmith.train.trainer import BEST, AnswerTrainer, best_step, is_exhausted, loss_curve

    options, folder = job.options, job.folder
    base_sha256 = weights_sha256(model_folder(options.base))
    checkpoints = folder / "checkpoints"
    before = lineage.lineage(Path(options.continue_from).expanduser()) if options.continue_from else []
    key = _run_key(options, plan, data, [base_sha256, *(item["sha256"] for item in before)])
    checkpoint = None
    if world().is_first:
        checkpoints.mkdir(parents=True, exist_ok=True)
        checkpoint = newest_complete(checkpoints, key=key)
    if world().size > 1:
        checkpoint = distributed.from_first(checkpoint)
        distributed.check_same_folder(checkpoints)
    shared_out = distributed.wants_fsdp(options)
    set_threads(options.threads or (checkpoint.threads if checkpoint else None))

    if "8bit" in options.optim or "paged" in options.optim:
        need_bitsandbytes(f"optim: {options.optim}", "train.optim")
    device = base.device
    measure.forget_peak_memory(device)
    meter = EnergyMeter(
        device,
        counts_machine=world().local_rank == 0,
        # what all took in earlier sittings is added up in the checkpoint
        before=checkpoint.energy if checkpoint and world().is_first else None,
    )
    set_seed(options.seed)
    model = adapters.put_adapter(base, options, task.adapter_type, task.new_ids)
    if world().size > 1:
        set_seed(options.seed + world().rank)  # the same first weights, but each its own dropout
    fast.speed_up_adapters(model)
    attention = base.config._attn_implementation
    try:
        layout = arrange(base, task, options)
        trainable, total = adapters.count_parameters(model)
        measure.check_disk(folder, trainable, options.save_total_limit)
        if options.auto_find_batch_size:
            measure.try_largest_batch(model, layout, data.train, plan.batch_size)
            notes = (
                *notes,
                f"{plan.batch_size} rows go through the model at once, {plan.accumulation} times a step",
            )
        costs = arithmetic.arithmetic_of(model)
        if checkpoint and shared_out:
            adapters.load_trained(model, checkpoint.folder)
        total_steps = options.max_steps or math.ceil(options.num_train_epochs * plan.steps_per_epoch - 1e-9)
        with quiet():
            trainer = AnswerTrainer(
                model,
                task,
                layout,
                data.train,
                data.validation,
                plan,
                options,
                checkpoints,
                total_steps=total_steps,
                key=key,
                seconds_before=checkpoint.seconds if checkpoint else 0.0,
                meter=meter,
                progress=progress,
            )
            state = (
                TrainerState.load_from_json(str(checkpoint.folder / "trainer_state.json"))
                if checkpoint
                else None
            )
            if checkpoint and state and (state.global_step >= total_steps or is_exhausted(state, options)):
                if not shared_out:
                    adapters.load_trained(model, checkpoint.folder)
            else:
                trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
                state = trainer.state
        best = best_step(state, options.metric_for_best_model) if options.load_best_model_at_end else None
        has_better = best is not None and best != state.global_step
        if has_better and options.keep_last:
            trainer.save_to(folder / "last")
        if has_better and shared_out:
            if world().is_first:
                shutil.copytree(checkpoints / BEST, folder, dirs_exist_ok=True)
        else:
            if has_better:
                adapters.load_trained(model, checkpoints / BEST)
            trainer.save_to(folder)
        if world().is_first:
            if task.new_ids:
                task.save_tokenizer(folder)
            if options.continue_from and options.method != "full":
                lineage.keep_lineage(folder, Path(options.continue_from).expanduser())
            cards.write_card(folder, _card(task, options, base_sha256, before))
        speeds = distributed.of_all(arithmetic.matrix_speed(base.dtype, device))
        log = TrainingLog(
            adapter=folder.name,
            steps=state.global_step,
            epochs=state.global_step / plan.steps_per_epoch,
            train_loss=loss_curve(state, "loss"),
            validation_loss=loss_curve(state, "eval_loss"),
            validation_metrics={
                name: curve for name in task.measures if (curve := loss_curve(state, f"eval_{name}"))
            },
            best_by=options.metric_for_best_model,
            trained_tokens=plan.count([row.n_trained for row in data.train], state.global_step),
            total_tokens=plan.count(plan.lengths, state.global_step),
            seconds=trainer.seconds,
            peak_memory_mb=max(distributed.of_all(measure.peak_memory_mb(device))),
            processes=world().size,
            rows_per_step=plan.rows_per_step,
            energy=add_energies(distributed.of_all(meter.energy())),
            operations=plan.count(arithmetic.total(costs, data.train), state.global_step) if costs else None,
            matrix_speed=sum(speeds),
            trainable_parameters=trainable,
            total_parameters=total,
            n_truncated=sum(row.n_cut > 0 for row in data.train),
            dtype=str(base.dtype).removeprefix("torch."),
            device=str(device),
            first_example=task.pieces(data.train[0]),
            best_step=best,
            resumed_from_step=checkpoint.step if checkpoint else None,
            refused=data.refused,
            notes=notes,
        )
    finally:
        base.set_attn_implementation(attention)
        if options.method != "full" and not shared_out:
            adapters.take_adapter_off(model)
    distributed.wait_for_all()
    if world().is_first:
        shutil.rmtree(checkpoints)
    return log


def _run_key(options: TrainOptions, plan: BatchPlan, data: Data, weights: Sequence[str]) -> str:
    """Equal for two calls that train the same weights."""
    digest = hashlib.sha256()
    fixed = options.model_dump(mode="json", exclude=_HOW_ONLY)
    digest.update(json.dumps([fixed, plan.rows_per_step, *weights], sort_keys=True).encode())
    for rows in (data.train, data.validation):
        for row in rows:
            digest.update(repr((row.row_id, row.input_ids, row.labels)).encode())
        digest.update(b"/")
    return digest.hexdigest()


def _card(
    task: Task, options: TrainOptions, base_sha256: str, before: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """`continues`: the adapters that were merged into the base before, the first of them first."""
    return {
        "base": options.base,
        "base_sha256": base_sha256,
        "task": task.name,
        "template_sha256": task.template_sha256,
        **task.card(),
        "continues": list(before),
        "train": options.model_dump(mode="json") | {"load_in_4bit": options.in_four_bits},
    }
