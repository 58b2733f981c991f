"""One check of a result: how it ended, what it is about, what was found; and how several are ordered and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["good", "look", "problem", "unknown"]


@dataclass(frozen=True)
class Check:
    outcome: Outcome
    title: str
    detail: str


def worst_first(found: Sequence[Check]) -> list[Check]:
    order = [outcome for outcome, _ in tally(found)]
    return sorted(found, key=lambda check: order.index(check.outcome))


def tally(found: Sequence[Check]) -> list[tuple[Outcome, int]]:
    """How many checks ended how, the worst first."""
    order: tuple[Outcome, ...] = ("problem", "look", "unknown", "good")
    counted = Counter(check.outcome for check in found)
    return [(outcome, counted[outcome]) for outcome in order if counted[outcome]]
