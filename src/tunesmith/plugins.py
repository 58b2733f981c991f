"""From a name in a plan to a function: the stage's own table, then other packages' entry points.

A package adds, say, a metric by an entry point in the group `tunesmith.metric`:

    [project.entry-points."tunesmith.metric"]
    my_metric = "my_package:my_metric"

Nothing is imported before it is asked for, and nothing is registered: a table is a dict one can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module, metadata
from typing import Any

from tunesmith.config import suggest
from tunesmith.errors import InputError


def names(kind: str, table: Mapping[str, str]) -> list[str]:
    """Every name of that kind: those of the table first."""
    added = {entry.name for entry in metadata.entry_points(group=f"tunesmith.{kind}")}
    return [*table, *sorted(added - set(table))]


def load(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """The function that `table` (name to `module:function`) or an entry point has under this name.

    Raises:
        InputError: there is none.
    """
    if name in table:
        module, _, attribute = table[name].partition(":")
        return getattr(import_module(module), attribute)
    for entry in metadata.entry_points(group=f"tunesmith.{kind}", name=name):
        return entry.load()
    raise InputError(f"{name!r} is not a {kind}{suggest(name, names(kind, table))}")
