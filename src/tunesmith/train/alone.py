"""One run by itself: from its last whole checkpoint to its adapter, with smaller batches where memory runs out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError, MissingError
from tunesmith.models import cards, lineage
from tunesmith.models.load import model_folder, set_threads, weights_sha256
from tunesmith.models.quantised import need_bitsandbytes
from tunesmith.records import TrainingLog
from tunesmith.train import distributed
from tunesmith.train.batches import BatchPlan
from tunesmith.train.checkpoints import Checkpoint, newest_complete
from tunesmith.train.course import is_exhausted, plan_of, planned_steps, step_to_keep
from tunesmith.train.distributed import world
from tunesmith.train.jobs import Prepared
from tunesmith.train.keys import card_of, run_key
from tunesmith.train.options import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerState

    from tunesmith.train.trainer import AnswerTrainer


def train_alone(
    base: PreTrainedModel, job: Prepared, notes: Sequence[str], progress: Progress
) -> TrainingLog:
    """Train, with half the batch and twice the accumulation each time the memory of the device runs out.

    Args:
        base: as the job's task loads it; with `method: full` its own weights are trained.
        notes: what the log is to say beside what happens here.
    """
    log = _with_what_memory_there_is(base, job, notes, progress, None)
    assert log is not None
    return log


def train_up_to(base: PreTrainedModel, job: Prepared, step: int, progress: Progress) -> None:
    """Train as `train_alone` does, and pause after `step` steps, or where the run ends before, with a checkpoint."""
    _with_what_memory_there_is(base, job, (), progress, step)


def key_of(job: Prepared, plan: BatchPlan) -> str:
    """What names the run of a job in its checkpoints."""
    weights = [weights_sha256(model_folder(job.options.base)), *(item["sha256"] for item in _before(job))]
    return run_key(job.options, plan, job.data, weights)


def _before(job: Prepared) -> list[dict[str, str]]:
    """The adapters that were merged into the base, the first of them first."""
    options = job.options
    return lineage.lineage(Path(options.continue_from).expanduser()) if options.continue_from else []


def _with_what_memory_there_is(
    base: PreTrainedModel, job: Prepared, notes: Sequence[str], progress: Progress, halt_at: int | None
) -> TrainingLog | None:
    import torch
    from accelerate.utils.memory import should_reduce_batch_size  # type: ignore[import-untyped]

    plan = replace(plan_of(job.options, job.data.train), processes=world().size, rank=world().rank)
    notes = list(notes)
    if job.options.auto_find_batch_size:
        if world().size > 1:
            raise InputError(
                "the batch that fits is not looked for with several processes",
                where="train.auto_find_batch_size",
                do="Set per_device_train_batch_size and gradient_accumulation_steps.",
            )
        plan = replace(plan, batch_size=plan.batch_size * plan.accumulation, accumulation=1)
    while True:
        try:
            return _fit(base, job, plan, notes, progress, halt_at)
        except (RuntimeError, MemoryError) as error:
            is_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
            if not (is_memory or should_reduce_batch_size(error)):
                raise
            smaller = _smaller(plan, error)
            notes.append(
                f"memory ran out with {plan.batch_size} rows at once; went on with {smaller.batch_size}, "
                f"and {smaller.accumulation} batches a step"
            )
            plan = smaller
            torch.cuda.empty_cache()


def _smaller(plan: BatchPlan, error: BaseException) -> BatchPlan:
    """The same steps in smaller batches, so that the run stays the same but for rounding."""
    if world().size > 1 and plan.batch_size > 1:
        raise MissingError(
            f"the device has too little memory for {plan.batch_size} rows at once",
            where="train.per_device_train_batch_size",
            do=f"Set it to {plan.batch_size // 2} and gradient_accumulation_steps to {plan.accumulation * 2}: "
            "the steps stay the same, and the run goes on from its last checkpoint.",
        ) from error
    if plan.batch_size == 1:
        raise MissingError(
            "the device has too little memory even for one row at a time",
            where="train.per_device_train_batch_size",
            do="Set gradient_checkpointing: true, method: qlora, a smaller max_length, or a smaller base.",
        ) from error
    half = plan.batch_size // 2 if plan.batch_size % 2 == 0 else 1
    return replace(plan, batch_size=half, accumulation=plan.accumulation * (plan.batch_size // half))


def _find_checkpoint(checkpoints: Path, key: str) -> Checkpoint | None:
    """Where the run goes on, the same in every process."""
    checkpoint = None
    if world().is_first:
        checkpoints.mkdir(parents=True, exist_ok=True)
        checkpoint = newest_complete(checkpoints, key=key)
    if world().size > 1:
        checkpoint = distributed.from_first(checkpoint)
        distributed.check_same_folder(checkpoints)
    return checkpoint


def _fit(
    base: PreTrainedModel,
    job: Prepared,
    plan: BatchPlan,
    notes: Sequence[str],
    progress: Progress,
    halt_at: int | None,
) -> TrainingLog | None:
    from transformers import set_seed

    from tunesmith.models import fast
    from tunesmith.models.load import quiet
    from tunesmith.train import adapters, arithmetic, measure
    from tunesmith.train.energy import EnergyMeter, add_energies
    from tunesmith.train.layout import arrange
    from tunesmith.train.logs import Took, sizes_of, training_log
    from tunesmith.train.trainer import AnswerTrainer

    task, data, options = job.task, job.data, job.options
    checkpoints = job.folder / "checkpoints"
    key = key_of(job, plan)
    checkpoint = _find_checkpoint(checkpoints, key)
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
        sizes = sizes_of(model)
        measure.check_disk(job.folder, sizes.trainable, options.save_total_limit)
        if options.auto_find_batch_size:
            measure.try_largest_batch(model, layout, data.train, plan.batch_size)
            found = f"{plan.batch_size} rows go through the model at once, {plan.accumulation} times a step"
            notes = [*notes, found]
        if checkpoint and shared_out:
            adapters.load_trained(model, checkpoint.folder)
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
                total_steps=planned_steps(options, plan),
                halt_at=halt_at,
                key=key,
                seconds_before=checkpoint.seconds if checkpoint else 0.0,
                meter=meter,
                progress=progress,
            )
            state = _to_the_end(trainer, job, plan, checkpoint, halt_at)
        if halt_at is not None:
            return None
        base_sha256 = weights_sha256(model_folder(options.base))
        _keep(trainer, job, state, card_of(task, options, base_sha256, _before(job)))
        log = training_log(
            job,
            plan,
            state,
            base,
            sizes,
            Took(
                seconds=trainer.seconds,
                peak_memory_mb=max(distributed.of_all(measure.peak_memory_mb(device))),
                energy=add_energies(distributed.of_all(meter.energy())),
                matrix_speed=sum(distributed.of_all(arithmetic.matrix_speed(base.dtype, device))),
            ),
            resumed=checkpoint.step if checkpoint else None,
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


def _to_the_end(
    trainer: AnswerTrainer, job: Prepared, plan: BatchPlan, checkpoint: Checkpoint | None, halt_at: int | None
) -> TrainerState:
    """Train what is left to train."""
    from transformers import TrainerState

    from tunesmith.train.adapters import load_trained

    if checkpoint is not None:
        state: TrainerState = TrainerState.load_from_json(str(checkpoint.folder / "trainer_state.json"))
        last = planned_steps(job.options, plan) if halt_at is None else halt_at
        if state.global_step >= last or is_exhausted(state, job.options):
            if not trainer.is_shared_out:
                load_trained(trainer.model, checkpoint.folder)
            return state
    trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
    reached: TrainerState = trainer.state
    return reached


def _keep(trainer: AnswerTrainer, job: Prepared, state: TrainerState, card: dict[str, Any]) -> None:
    """Write what was learnt: the best weights or the last, what it takes to use them, and the card."""
    from tunesmith.train.adapters import load_trained
    from tunesmith.train.trainer import BEST

    options, folder = job.options, job.folder
    best = step_to_keep(state, options)
    has_better = best is not None and best != state.global_step
    if has_better and options.keep_last:
        trainer.save_to(folder / "last")
    if has_better and trainer.is_shared_out:
        if world().is_first:
            shutil.copytree(trainer.checkpoints / BEST, folder, dirs_exist_ok=True)
    else:
        if has_better:
            load_trained(trainer.model, trainer.checkpoints / BEST)
        trainer.save_to(folder)
    if world().is_first:
        if job.task.new_ids:
            job.task.save_tokenizer(folder)
        if options.continue_from and options.method != "full":
            lineage.keep_lineage(folder, Path(options.continue_from).expanduser())
        cards.write_card(folder, card)
