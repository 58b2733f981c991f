"""What tasks share about texts: control tokens in a document, and cutting what is too long."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.records import Refused, Row
from tunesmith.tasks.base import Truncate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_HEAD_SHARE = 4
"""Of `prompt_middle` one part in four is kept at the beginning, after Sun et al. 2019 ("How to Fine-Tune BERT for Text
Classification?": 128 tokens of the head and 382 of the tail were best)."""


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    """Finds the tokenizer's control tokens where they are written out in a text."""
    texts = sorted((text for text in tokenizer.all_special_tokens if len(text) > 1), key=len, reverse=True)
    return re.compile("|".join(re.escape(text) for text in texts)) if texts else None


def without_control_tokens(text: str, control: re.Pattern[str] | None) -> str:
    """The text with control tokens broken up by an invisible character: a document must not end a turn."""
    if control is None:
        return text
    return control.sub(lambda match: f"{match.group()[0]}\u200b{match.group()[1:]}", text)


def fitting_ids(
    tokenizer: Any, text: str, limit: int, truncate: Truncate, encode: Callable[[str], Sequence[int]]
) -> tuple[list[int], int] | None:
    """At most `limit` ids of a text, and how many were cut away by whole tokens; `None` where that cannot be.

    Args:
        encode: all that the model is given for a text, special tokens and template included.
    """
    ids = list(encode(text))
    if len(ids) <= limit:
        return ids, 0
    if truncate == "refuse":
        return None
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
        "offset_mapping"
    ]
    length = len(ids)
    n_drop = length - limit
    # Tokens merge differently at the new border, so the first guess can be a token or two too long.
    while n_drop < len(spans):
        ids = list(encode(_shortened(text, spans, n_drop, truncate)))
        if len(ids) <= limit:
            return ids, length - len(ids)
        n_drop += len(ids) - limit
    return None


def _shortened(text: str, spans: Sequence[tuple[int, int]], n_drop: int, truncate: Truncate) -> str:
    """The text without `n_drop` tokens at its beginning, its end, or after its first quarter."""
    n_kept = len(spans) - n_drop
    if truncate == "prompt_left":
        return text[spans[n_drop][0] :]
    if truncate == "prompt_right":
        return text[: spans[n_kept - 1][1]]
    n_head = n_kept // _HEAD_SHARE
    head = text[: spans[n_head - 1][1]] if n_head else ""
    return f"{head} {text[spans[n_head + n_drop][0] :]}" if head else text[spans[n_drop][0] :]


def too_long(row: Row, *, what: str, length: int, limit: int, do: str) -> Refused:
    return Refused(
        row.id,
        row.source_id,
        check="too_long",
        reason=f"the {what} has {length} tokens, and the limit is {limit}; {do}",
        instruction=row.instruction or row.prompt,
        target=row.completion,
    )
