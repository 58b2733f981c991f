"""What a prompt or a row asks for, and whether the answer keeps it."""

from __future__ import annotations

import re

from tunesmith.audit.study import Answer
from tunesmith.synthesize.checks.constraint import broken_constraints

COLUMNS = ("constraint", "length", "format")
"""Columns of a row that may state a constraint."""


def violated_constraint(answer: Answer) -> str | None:
    """What the answer breaks, in words; empty when it keeps everything; `None` when nothing checkable is stated."""
    broken = broken_constraints(_instructions(answer), answer.prediction.text)
    return None if broken is None else "; ".join(broken)


def _instructions(answer: Answer) -> str:
    """The question and stated constraints; not the passage, which may speak of sentences too."""
    told = [str(answer.columns[name]) for name in COLUMNS if isinstance(answer.columns.get(name), str)]
    question = answer.question
    if question == answer.prediction.prompt:
        question = re.split(
            r"\n\s*(?:passage|context|text|document|dialogue|article)\s*:",
            question,
            maxsplit=1,
            flags=re.IGNORECASE,
        )[0]
    return "\n".join([question, *(f"in {text}" for text in told)])
