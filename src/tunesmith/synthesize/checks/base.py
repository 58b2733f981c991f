"""What a check is, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tunesmith.records import Example, Kind


@dataclass(frozen=True, slots=True)
class About:
    """What a check knows of an example besides the example."""

    start: int | None = None
    """Where its passage starts in the document."""
    criteria: tuple[str, ...] = ()
    """What a scenario wants its text to keep to."""


Check = Callable[[Example, About], str | None]
"""Says why an example is refused, or `None`."""


@dataclass(frozen=True, slots=True)
class Limits:
    max_question_words: int = 60
    max_answer_words: int = 120
    max_response_words: int = 600
    near_duplicate: float = 0.8
    opener_share: float = 0.05


_PARTS: dict[Kind, tuple[str, str]] = {
    "question_answer": ("question", "answer"),
    "summary": ("question", "answer"),
    "instruction": ("task", "response"),
    "classification": ("text", "label"),
    "conversation": ("question", "answer"),
    "segmentation": ("task", "text"),
    "paraphrase": ("task", "text"),
}


def parts_of(example: Example) -> tuple[tuple[str, str], tuple[str, str]]:
    """What is asked and what is answered, each with its name in messages."""
    asked, answered = _PARTS[example.kind]
    return (asked, example.instruction), (answered, example.target)
