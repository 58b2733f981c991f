"""One thing that was looked at, and what it means for a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Standing = Literal["ok", "note", "failed", "missing"]
"""`note`: a run works, and there is something to know; `failed`: its result would be wrong, or it would stop;
`missing`: something has to be got first."""

SHOWN = 3
"""Of rows or labels that something is wrong with, so many are named."""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    standing: Standing
    words: str
    do: str | None = None
    """The next step, where there is one."""


def exit_code(checks: Sequence[Check]) -> int:
    """0, or 3 when a check failed, or 4 when something is missing; the codes of every other command."""
    standings = {check.standing for check in checks}
    return 3 if "failed" in standings else 4 if "missing" in standings else 0
