"""The base of every stage's options: frozen, closed, and checked as a whole before anything heavy is imported."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of one stage. Unknown keys are errors; values cannot change after the check.

    A field's `description` is what `tunesmith init` writes as its comment and the reference page prints, so it is one
    plain sentence with the unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def changed(options: Options, *names: str) -> list[str]:
    """Those of the keys `names` that somebody set to something else than their default."""
    fields = type(options).model_fields
    return [
        name
        for name in names
        if name in options.model_fields_set and getattr(options, name) != fields[name].default
    ]
