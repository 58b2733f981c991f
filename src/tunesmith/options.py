"""The base of every stage's options: frozen, closed, and checked as a whole before anything heavy is imported."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of one stage. Unknown keys are errors; values cannot change after the check.

    A field's `description` is what `tunesmith init` writes as its comment and the reference page prints, so it is one
    plain sentence with the unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
