"""Generate: the answers of the base and of every adapter to the same prompts, from one loaded base."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.generate.options import GenerateOptions, Progress
from tunesmith.generate.systems import Systems, open_as_trained
from tunesmith.generate.wanted import Item, Wanted, Work
from tunesmith.models.load import quiet, set_threads
from tunesmith.records import GenerationNote, Prediction, Row, Status, system_under
from tunesmith.tasks.base import Rendered, Task, base_for

__all__ = ["GenerateOptions", "Progress", "answer_keys", "generate_predictions"]

MAIN = ""
"""The name of the decoding setting that the main keys make."""


def _say_nothing(done: int, total: int | None, what: str) -> None:
    return


def _note_nothing(note: GenerationNote) -> None:
    return


def generate_predictions(
    rows: Sequence[Row],
    base: str,
    adapters: Mapping[str, Path | None],
    options: GenerateOptions,
    *,
    done: Collection[str] = (),
    task: str = "causal",
    progress: Progress = _say_nothing,
    note: Callable[[GenerationNote], None] = _note_nothing,
) -> Iterator[Prediction]:
    """Every system's answer to every row under every decoding setting, as batches finish.

    Under the main keys a prediction's `system` is the adapter's name; under a setting of `options.settings` it is
    `NAME@SETTING`. The prompts of a batch go through the model once for all settings that read the same prompts.

    Args:
        rows: what is asked, with the reference as completion.
        base: builtin, a folder, or a hub id.
        adapters: system name to the folder `train` wrote; `None` is the base itself.
        options: decoding, the same for all systems.
        done: content keys (`Prediction.key`) of answers that are kept already; a key of other weights, another template
            or other decoding matches nothing. Batches are planned over all rows, so that a resumed run computes the
            same batches as one that was never interrupted.
        note: hears what a reader of the answers should know, before the answers in question are given.

    Raises:
        MissingError: the base or an adapter is not there.
        InputError: an adapter was trained on another base.
    """
    base = base_for(task, base)
    opened, options = open_as_trained(task, base, adapters, options)
    wanted = Wanted(opened, rows, base, adapters, options, frozenset(done))
    if not wanted.n_left:
        return
    set_threads(options.threads)
    n_done = wanted.n_total - wanted.n_left
    progress(n_done, wanted.n_total, "generating")
    with quiet():
        systems = Systems(opened, base, adapters, options)
    for system in adapters:
        settings = systems.settings(system)
        checked = not options.batch_check or settings["dtype"] == "float32"
        for plan in wanted.plans:
            for name in plan.decodings:
                for item in plan.refused:
                    if wanted.is_wanted(system, name, item):
                        n_done += 1
                        yield _failed(opened, item, wanted.work(system, name, settings))
            for index, batch in enumerate(plan.batches):
                names = [
                    name
                    for name in plan.decodings
                    if any(wanted.is_wanted(system, name, item) for item in batch)
                ]
                if not names:
                    continue
                # A batch of one has no company.
                is_checked = not checked and MAIN in names and index == plan.middle and len(batch) > 1
                checked = checked or is_checked
                with quiet(), systems.use(system) as model:
                    works = [wanted.work(system, name, settings) for name in names]
                    predictions, notes = _predict(
                        model, opened, batch, works, check=options.batch_check if is_checked else 0
                    )
                for one in notes:
                    if one.rule not in wanted.told[system]:
                        wanted.told[system].add(one.rule)
                        note(one)
                for prediction in predictions:
                    if prediction.key not in wanted.done:
                        n_done += 1
                        yield prediction
                progress(n_done, wanted.n_total, f"generating, {system}")


def answer_keys(
    rows: Sequence[Row],
    base: str,
    adapters: Mapping[str, Path | None],
    options: GenerateOptions,
    *,
    task: str = "causal",
) -> dict[tuple[str, str], str]:
    """The content key of every answer that `generate_predictions` would give, by the prediction's system and row id.

    Nothing is loaded but the tokenizer.

    Raises:
        MissingError: the base or an adapter is not there.
    """
    base = base_for(task, base)
    opened, options = open_as_trained(task, base, adapters, options)
    wanted = Wanted(opened, rows, base, adapters, options, frozenset())
    return {(system_under(system, name), id): key for (system, name, id), key in wanted.keys.items()}


def _predict(
    model: Any, task: Task, batch: Sequence[Item], works: Sequence[Work], *, check: int
) -> tuple[list[Prediction], list[GenerationNote]]:
    """The answers of one system to a batch, one setting after the other, over prompts that were prefilled once."""
    from tunesmith.generate.decode import generate_batch, prefill, reference_losses

    scored = [item.reference for item in batch if item.reference is not None]
    losses = reference_losses(model, task, task.collate(scored)) if scored else []
    by_row = {row.row_id: loss for row, loss in zip(scored, losses, strict=True)}
    prompts = [item.prompt for item in batch if item.prompt is not None]
    started = time.monotonic()
    shared = prefill(model, task, prompts)
    # Every setting would have needed it: a share of the time is each one's.
    seconds_of_prompts = (time.monotonic() - started) / (len(works) if shared.is_shared else 1)
    notes = [] if shared.is_shared or len(works) == 1 else [_prefilled_apart(works[0].of)]
    predictions = []
    for work in works:
        started = time.monotonic()
        answers = generate_batch(
            model, task, prompts, work.decoding, shared=shared, is_last=work is works[-1]
        )
        seconds = time.monotonic() - started + seconds_of_prompts
        if check and work.system == work.of:
            notes.append(_batch_effect(model, task, prompts, answers, work, check))
        for item, prompt, answer in zip(batch, prompts, answers, strict=True):
            text = task.decode(answer.ids)
            status: Status = "truncated" if not answer.ended else "ok" if text else "empty"
            nll, n_tokens = by_row.get(item.row.id, (None, None))
            predictions.append(
                Prediction(
                    id=item.row.id,
                    source_id=item.row.source_id,
                    system=work.system,
                    prompt=item.row.prompt,
                    text=text,
                    references=task.references(item.row),
                    status=status,
                    finish_reason="eos" if answer.ended else "length",
                    n_prompt_tokens=prompt.n_prompt,
                    n_new_tokens=answer.n_new,
                    latency_ms=seconds * 1000 / len(batch),
                    reference_nll=nll,
                    reference_tokens=n_tokens,
                    settings=work.settings | ({"n_prompt_tokens_cut": prompt.n_cut} if prompt.n_cut else {}),
                    key=work.key(item),
                )
            )
    return predictions, notes


def _prefilled_apart(system: str) -> GenerationNote:
    return GenerationNote(
        system,
        "prefilled_apart",
        "This kind of model keeps prompts in a form that cannot be shared by several decoding settings: each setting"
        " computed them anew. The answers are the same; it took longer.",
    )


def _batch_effect(
    model: Any,
    task: Task,
    prompts: Sequence[Rendered],
    answers: Sequence[Any],
    work: Work,
    n: int,
) -> GenerationNote:
    from tunesmith.generate.check import batch_effect

    return batch_effect(
        model, task, prompts, answers, work.decoding, system=work.of, dtype=work.settings["dtype"], n=n
    )


def _failed(task: Task, item: Item, work: Work) -> Prediction:
    assert item.problem is not None
    return Prediction(
        id=item.row.id,
        source_id=item.row.source_id,
        system=work.system,
        prompt=item.row.prompt,
        text="",
        references=task.references(item.row),
        status="error",
        finish_reason="error",
        settings=work.settings,
        error=item.problem.reason,
        key=work.key(item),
    )
