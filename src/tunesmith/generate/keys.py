"""What an answer depends on, as one key: kept answers are used again only where theirs is the same."""

from __future__ import annotations

import json
from typing import Any

from tunesmith.generate.options import Decoding
from tunesmith.records import Refused, Row, content_id
from tunesmith.tasks.base import Rendered


def conditions_key(settings: dict[str, Any], decoding: Decoding) -> str:
    """What all answers of a system under one decoding setting have in common: weights, template, precision, decoding.

    Args:
        settings: with `base_sha256`, `adapter_sha256`, `template_sha256` and `dtype`.
    """
    made_with = {
        name: settings[name] for name in ("base_sha256", "adapter_sha256", "template_sha256", "dtype")
    }
    return json.dumps([made_with, decoding.as_it_acts], sort_keys=True)


def answer_key(conditions: str, system: str, row: Row, prompt: Rendered | Refused) -> str:
    """The key of one answer: its conditions, who gives it to which row, and the prompt as the model sees it.

    The references belong to it, since a prediction also says how likely the first of them is.
    """
    seen = prompt.reason if isinstance(prompt, Refused) else json.dumps(prompt.input_ids)
    references = json.dumps([row.completion, *row.other_references])
    return content_id(conditions, system, row.id, references, seen, length=32)
