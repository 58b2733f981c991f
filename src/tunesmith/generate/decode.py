"""One batch of prompts in, the new tokens of each out.

This module imports torch and transformers at its top, since it subclasses their parts; it is itself imported only when
generation starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tunesmith.generate.beams import rows_draw_alone
from tunesmith.generate.options import Decoding
from tunesmith.generate.prefill import Prefill
from tunesmith.tasks.base import Batch, Rendered, Task
from tunesmith.tasks.sampling import RowSampler, generators


@dataclass(frozen=True, slots=True)
class Answer:
    ids: tuple[int, ...]
    """The new tokens, without the end token."""
    n_new: int
    """How many tokens were generated, the end token included."""
    ended: bool
    """Whether the end token came before the limit."""


def generation_config(
    options: Decoding, stop_ids: Sequence[int], start: Mapping[str, int] | None = None
) -> Any:
    """Everything about decoding, said outright: what a model was shipped with must not add sampling or penalties.

    `start` is what a decoder of its own begins with (`Task.start`).
    """
    beam_sampling = options.do_sample and options.num_beams > 1
    configure: Any = GenerationConfig
    return configure(
        max_new_tokens=options.max_new_tokens,
        min_new_tokens=options.min_new_tokens or None,
        num_beams=options.num_beams,
        # One answer at a time is sampled by `RowSampler`, on top of the greedy search.
        do_sample=beam_sampling,
        temperature=options.temperature if beam_sampling else None,
        top_k=options.top_k if beam_sampling else None,
        top_p=options.top_p if beam_sampling else None,
        repetition_penalty=options.repetition_penalty,
        length_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=list(stop_ids),
        pad_token_id=stop_ids[0],  # answers are cut at their end token, so what pads them is never read
        use_cache=True,
        **(start or {}),
    )


def prefill(model: Any, task: Task, prompts: Sequence[Rendered]) -> Prefill:
    """The prompts, computed once, for `generate_batch` to answer under as many settings as there are."""
    n_start = len(task.start) if task.answer_apart else None
    return Prefill(model, prompts, task.stop_ids[0], n_start=n_start)


def generate_batch(
    model: Any,
    task: Task,
    prompts: Sequence[Rendered],
    options: Decoding,
    *,
    shared: Prefill | None = None,
    is_last: bool = True,
) -> list[Answer]:
    """The answers to prompts under one decoding setting.

    Args:
        shared: the same prompts as `prefill` left them; without it they are prefilled for this setting alone.
        is_last: whether no other setting follows, so that what is shared may be used up.
    """
    shared = shared or prefill(model, task, prompts)
    seeds = [row_seed(options, row.row_id) for row in prompts]
    beam_sampling = options.do_sample and options.num_beams > 1
    draws = rows_draw_alone(model, generators(seeds)) if beam_sampling else nullcontext()
    with torch.no_grad(), draws:
        output = model.generate(
            **shared.inputs(options.num_beams, is_last=is_last),
            generation_config=generation_config(options, task.stop_ids, task.start),
            logits_processor=_processors(options, seeds),
        )
    # The prompt, or a decoder's start, is cut off by position: all rows are equally long up to here.
    return [_answer(row, task.stop_ids) for row in output[:, shared.length :].tolist()]


def _processors(options: Decoding, seeds: Sequence[int]) -> LogitsProcessorList:
    """Run after the penalties, in transformers' order: temperature, top-k, top-p, then the draw."""
    steps: list[Any] = []
    if options.do_sample and options.num_beams == 1:
        if options.temperature is not None and options.temperature != 1.0:
            steps.append(TemperatureLogitsWarper(options.temperature))
        if options.top_k is not None:
            steps.append(TopKLogitsWarper(options.top_k))
        if options.top_p is not None and options.top_p < 1.0:
            steps.append(TopPLogitsWarper(options.top_p))
        steps.append(RowSampler(seeds))
    return LogitsProcessorList(steps)


def row_seed(options: Decoding, row_id: str) -> int:
    """A seed for one row under one setting."""
    setting = repr((options.seed, options.temperature, options.top_k, options.top_p, row_id))
    return int.from_bytes(hashlib.blake2b(setting.encode(), digest_size=7).digest())


def _answer(new_ids: list[int], stop_ids: Sequence[int]) -> Answer:
    for position, token in enumerate(new_ids):
        if token in stop_ids:
            return Answer(tuple(new_ids[:position]), position + 1, ended=True)
    return Answer(tuple(new_ids), len(new_ids), ended=False)


def reference_losses(model: Any, task: Task, batch: Batch) -> list[tuple[float, int]]:
    """For each row of a right-padded batch: the sum of -ln p over its reference and end token, and their number."""
    with torch.no_grad():
        losses, rows = task.token_losses(model, batch.to(model.device))
    # float64, so that the order of adding does not show
    values = losses.double().cpu()
    owners = rows.cpu()
    sums = torch.zeros(len(batch.row_ids), dtype=torch.float64).index_add_(0, owners, values)
    counts = torch.bincount(owners, minlength=len(batch.row_ids))
    return [(total, int(n)) for total, n in zip(sums.tolist(), counts.tolist(), strict=True)]
