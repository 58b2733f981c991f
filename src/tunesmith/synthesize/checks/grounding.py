"""Whether an example says what its passage says."""

from __future__ import annotations

from tunesmith.records import Example
from tunesmith.synthesize.checks.base import About
from tunesmith.synthesize.checks.words import numbers, stated_numbers

QUOTED = ("question_answer", "summary", "instruction")
"""Kinds of which a teacher quotes its evidence."""


def check_grounded(example: Example, about: About) -> str | None:
    """The quoted evidence stands in the passage, and so does every number of the answer."""
    passage = example.context
    if passage is None or example.kind in ("classification", "segmentation", "conversation"):
        return None
    if example.attributes.get("answerable") == "no":
        return None
    if example.kind in QUOTED and (problem := _evidence_problem(example, passage, about.start)):
        return problem
    missing = sorted(numbers(example.target) - stated_numbers(passage))
    if missing:
        return f"the answer's {', '.join(missing)} does not stand in the passage"
    return None


def _evidence_problem(example: Example, passage: str, start: int | None) -> str | None:
    if example.evidence_start is None or example.evidence_end is None:
        quote = example.attributes.get("quote", "")
        if quote:
            return f"the quoted evidence does not stand in the passage: “{quote[:80]}”"
        return "no evidence was quoted"
    within = start is None or (
        0 <= example.evidence_start - start < example.evidence_end - start <= len(passage)
    )
    return None if within else "the evidence lies outside the passage"
