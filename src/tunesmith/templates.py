"""Jinja texts that users write: sandboxed, with every name checked before the first one is filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True, slots=True)
class Template:
    template: jinja2.Template
    where: str

    def render(self, names: Mapping[str, Any]) -> str:
        """Raises `InputError` where the text uses a name that is not among `names`."""
        import jinja2

        try:
            return self.template.render(names)
        except jinja2.TemplateError as error:
            raise InputError(
                f"the text cannot be filled in: {error}",
                where=self.where,
                do=f"the names it may use are {', '.join(names)}",
            ) from error


def open_template(source: str, *, where: str) -> Template:
    """A text as a template. Raises `InputError` where it is none."""
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    try:
        return Template(environment.from_string(source), where)
    except jinja2.TemplateSyntaxError as error:
        raise InputError(
            f"this is no Jinja template: {error.message}", where=f"{where}:{error.lineno}"
        ) from error
