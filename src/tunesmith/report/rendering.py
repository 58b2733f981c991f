"""Templates, and what goes from them into a page."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render(name: str, **data: Any) -> str:
    """A template filled; every text of `data` is escaped on its way."""
    return templates().get_template(name).render(**data)


def inner(name: str, **data: Any) -> str:
    """Like `render`, for a part that is put into another template as it is."""
    from markupsafe import Markup

    return Markup(render(name, **data))


def own_file(name: str) -> str:
    """A file of our own that goes into the page as it is: no text of a user's ever passes here."""
    from markupsafe import Markup

    environment = templates()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


@cache
def templates() -> Environment:
    """The environment of all templates: everything escaped, a name that is not there is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from tunesmith.report import words

    environment = Environment(
        loader=PackageLoader("tunesmith.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=words.count, plural=words.plural, teacher=words.teacher_words)
    return environment
