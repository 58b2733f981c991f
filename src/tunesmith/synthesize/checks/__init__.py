"""Checks that an example has to pass. Each says in words why it refuses.

A check of the first table is made anew for each run, sees the examples one by one in their order, and takes about
constant time for each, so that a set of any size is checked in one pass. `semantic_duplicate` looks at many at a time;
`round_trip` and `judge` ask a model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tunesmith.synthesize.checks.base import About, Check, Limits
from tunesmith.synthesize.checks.constraint import check_constraint
from tunesmith.synthesize.checks.duplicates import exact_duplicate, near_duplicate, opener
from tunesmith.synthesize.checks.grounding import check_grounded
from tunesmith.synthesize.checks.language import check_language
from tunesmith.synthesize.checks.shape import check_format, check_length, check_refusal, check_self_contained

__all__ = [
    "ALL_CHECKS",
    "CHECKS",
    "DEFAULT_CHECKS",
    "MODEL_CHECKS",
    "SEMANTIC",
    "About",
    "Check",
    "Limits",
    "open_check",
]

CHECKS: dict[str, Callable[[Limits], Check]] = {
    "format": lambda limits: check_format,
    "length": lambda limits: partial(check_length, limits=limits),
    "refusal": lambda limits: check_refusal,
    "self_contained": lambda limits: check_self_contained,
    "language": lambda limits: check_language,
    "constraint": lambda limits: check_constraint,
    "grounded": lambda limits: check_grounded,
    "exact_duplicate": lambda limits: exact_duplicate(),
    "near_duplicate": near_duplicate,
    "opener": opener,
}
"""Name in the plan -> a fresh check."""

SEMANTIC = "semantic_duplicate"
MODEL_CHECKS = ("round_trip", "judge")
ALL_CHECKS = (*CHECKS, SEMANTIC, *MODEL_CHECKS)
DEFAULT_CHECKS = tuple(name for name in CHECKS if name != "opener")
"""Those that need no model and suit every kind. Duplicates stand last, so that a refused example does not shadow a
good one."""


def open_check(name: str, limits: Limits) -> Check:
    """A fresh check of that name. Raises `KeyError` where there is none among `CHECKS`."""
    return CHECKS[name](limits)
