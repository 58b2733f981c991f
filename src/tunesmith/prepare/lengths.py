"""How long the rows are in the base model's tokens, against what it can see at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunesmith.records import Row

QUANTILES = (0.5, 0.9, 0.99, 1.0)
AT_ONCE = 1000

Count = Callable[[list[str]], list[int]]
"""Tokens of each text, without special ones."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of one split."""

    rows: int
    prompt: tuple[int, ...]
    """Median, 90th and 99th percentile, and longest; nearest rank."""
    answer: tuple[int, ...]
    whole: tuple[int, ...]
    """Prompt, answer and what the template puts round them; without the answer where a model reads it apart."""
    over_window: int
    """Rows that do not fit into the window."""


def measure_lengths(
    rows: Sequence[Row], count: Count, *, template: int, window: int, answer_window: int | None = None
) -> Lengths:
    """Lengths of rows.

    Args:
        count: the base model's tokenizer.
        template: tokens put round prompt and answer.
        window: most tokens of a whole row.
        answer_window: most tokens of an answer that is read apart from its prompt (by a decoder of its own, or not at
            all, as a label); `None` where it stands in the row.
    """
    prompts: list[int] = []
    answers: list[int] = []
    # The template is put round each question with its answer again.
    n_templates = [1 + sum(turn["role"] == "assistant" for turn in row.earlier) for row in rows]
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        prompts += count([row.prompt for row in part])
        answers += count([row.completion for row in part])
    apart = answer_window is not None
    whole = [
        prompt + n * template + (0 if apart else answer)
        for prompt, answer, n in zip(prompts, answers, n_templates, strict=True)
    ]
    room = answer_window if answer_window is not None else max(answers, default=0)
    return Lengths(
        rows=len(rows),
        prompt=quantiles(prompts),
        answer=quantiles(answers),
        whole=quantiles(whole),
        over_window=sum(
            length > window or answer > room for length, answer in zip(whole, answers, strict=True)
        ),
    )


def quantiles(values: Sequence[int]) -> tuple[int, ...]:
    """The values at `QUANTILES`, by nearest rank; empty for no values."""
    ordered = sorted(values)
    return tuple(ordered[max(0, math.ceil(q * len(ordered)) - 1)] for q in QUANTILES) if ordered else ()
