"""From a name in a plan to an object: tables one can read, then other packages' entry points.

A package adds, say, a metric by an entry point in the group `tunesmith.metric`:

    [project.entry-points."tunesmith.metric"]
    my_metric = "my_package:my_metric"

Nothing is imported before it is asked for, and every look-up calls the factory anew: nobody can change yours.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from tunesmith.config import suggest
from tunesmith.errors import MissingError

TABLES: dict[str, dict[str, str]] = {
    "metric": {},
}
"""Kind of object to name to `module:factory`."""


def names(kind: str) -> list[str]:
    """Every name of that kind, built-in ones first."""
    added = [entry.name for entry in metadata.entry_points(group=f"tunesmith.{kind}")]
    return [*TABLES[kind], *sorted(set(added) - set(TABLES[kind]))]


def load(kind: str, name: str) -> Any:
    """A fresh object of that kind and name.

    Raises:
        MissingError: there is none of that name, or its package cannot be imported.
    """
    place = TABLES[kind].get(name)
    if place is None:
        found = list(metadata.entry_points(group=f"tunesmith.{kind}", name=name))
        if not found:
            raise MissingError(f"{name!r} is not a {kind}{suggest(name, names(kind))}")
        factory = found[0].load()
    else:
        module, _, attribute = place.partition(":")
        factory = getattr(import_module(module), attribute)
    return factory()
