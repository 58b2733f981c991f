"""One part of the page: what it is called, and what its template is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    id: str
    """The anchor on the page."""
    title: str
    template: str
    """File in `templates/`; it sees `data`, the study, and the filters that `render_report` gives every template."""
    data: Mapping[str, Any]
    is_listed: bool = True
    """Whether the contents at the top name it."""
