"""Decoding parameters that would change nothing are errors that say so."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tunesmith.generate.stage import GenerateOptions


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": 0.7}, "temperature has no effect without do_sample"),
        ({"top_k": 50, "top_p": 0.9}, "top_k, top_p has no effect without do_sample"),
        ({"seed": 3}, "seed has no effect without do_sample"),
        ({"do_sample": True, "top_k": 1}, "leaves nothing to draw"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens .9. is more than max_new_tokens .8."),
        ({"systems": ["base", "base"]}, "one system twice"),
        ({"temperature": 0.0, "do_sample": True}, "greater than 0"),
        ({"beams": 4}, "Extra inputs are not permitted"),
    ],
)
def test_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GenerateOptions.model_validate(given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"do_sample": True},
        {"do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 0.9, "seed": 3},
        {"num_beams": 5, "repetition_penalty": 1.1, "min_new_tokens": 4},
        {"num_beams": 5, "do_sample": True, "top_k": 50},
    ],
)
def test_accepted(given: dict[str, Any]) -> None:
    options = GenerateOptions.model_validate(given)
    assert {name: getattr(options, name) for name in given} == given
