"""What the batch changes: below float32 the same prompt can get another answer in another company.

Sums of rounded numbers depend on their order, and the order on the shape of the batch. In float32 that stays far below
what could tip a choice between tokens; in bfloat16 it does not. So a few answers of the run are given once more alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tunesmith.generate.decode import Answer, generate_batch
from tunesmith.generate.options import Decoding
from tunesmith.generate.prefill import side_by_side
from tunesmith.records import GenerationNote
from tunesmith.tasks.base import Rendered, Task


def batch_effect(
    model: Any,
    task: Task,
    prompts: Sequence[Rendered],
    answers: Sequence[Answer],
    decoding: Decoding,
    *,
    system: str,
    dtype: str,
    n: int,
) -> GenerationNote:
    """Answers `n` prompts of a batch alone, and compares texts and the logits of the first new token.

    Args:
        prompts: a batch, as it was answered.
        answers: its answers under `decoding`.
        n: how many of them are given once more, spread evenly over the batch.
    """
    n = min(n, len(prompts))
    chosen = [index * len(prompts) // n for index in range(n)]
    together = _next_logits(model, task, prompts)[chosen]
    n_differ, largest = 0, 0.0
    for index, row in zip(chosen, together, strict=True):
        prompt = [prompts[index]]
        alone = generate_batch(model, task, prompt, decoding)[0]
        n_differ += task.decode(alone.ids) != task.decode(answers[index].ids)
        largest = max(largest, float((_next_logits(model, task, prompt)[0] - row).abs().max()))
    return GenerationNote(
        system,
        "batch_effect",
        f"In {dtype}, {n_differ} of {n} answers of {system} differ between a batch of {len(prompts)} and one by one;"
        f" logits of the first new token by up to {largest:.2g}.",
        {
            "n": n,
            "n_differ": n_differ,
            "share": n_differ / n,
            "largest_logit_difference": largest,
            "batch_size": len(prompts),
        },
    )


def _next_logits(model: Any, task: Task, prompts: Sequence[Rendered]) -> torch.Tensor:
    """Logits of the first new token, (prompts, vocabulary) in float32."""
    from transformers import GenerationConfig

    padded = side_by_side(prompts, on_the_left=task.answer_apart)
    ids, mask = (part.to(model.device) for part in padded)
    configure: Any = GenerationConfig
    config = configure(max_new_tokens=1, do_sample=False, num_beams=1, pad_token_id=0, **task.start)
    with torch.no_grad():
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            return_dict_in_generate=True,
            output_logits=True,
        )
    logits: torch.Tensor = output.logits[0].float()
    return logits
