"""Where finished rows lie."""

from __future__ import annotations

from pathlib import Path

from tunesmith.data_sets import Found, find_tables
from tunesmith.prepare.options import DataOptions


def find_data(options: DataOptions, root: Path) -> Found:
    """The files of one set; `find_tables` says what is raised."""
    return find_tables(options.path, root, subset=options.subset)
