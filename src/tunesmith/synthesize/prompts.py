"""The words a model is asked with: Jinja files, sandboxed, tried out before the first request.

A prompt file has two blocks, `system` and `user`. Which names it may use is in `asks.FORMS`, and on the page about
synthesize; besides them it knows `fence`, a mark that occurs in nothing that it is shown.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError, MissingError
from tunesmith.records import content_id
from tunesmith.synthesize.asks import FORMS

if TYPE_CHECKING:
    import jinja2

BLOCKS = ("system", "user")


class _AnyLevel(dict[str, str]):
    """Stands for the attributes of a grid that is not known yet: every name has a level."""

    def __missing__(self, name: str) -> str:
        return f"some {name}"


SAMPLES: dict[str, Any] = {
    "passage": "A passage to try the prompt with.",
    "title": "A title",
    "heading": "A heading",
    "count": 3,
    "question": "A question to try the prompt with?",
    "label": "first label",
    "labels": ["first label", "second label"],
    "instruction": "An instruction to try the prompt with.",
    "target": "An answer to try the prompt with.",
    "attributes": _AnyLevel(tone="friendly"),
    "texts": {"tone": "as to a friend"},
    "criteria": ["It names one benefit."],
    "variant": 1,
    "variants": 2,
}
"""What a prompt file is tried with before the first request."""


@dataclass(frozen=True)
class Prompt:
    template: jinja2.Template
    where: str
    names: tuple[str, ...]

    def messages(self, names: Mapping[str, Any]) -> list[dict[str, str]]:
        """The system and the user message. Raises `InputError` where the file uses a name it does not know."""
        known = {name: names.get(name) for name in self.names}
        # Made from what is shown, so that no text can close the fence it stands in.
        shown = content_id(*(str(known[name]) for name in sorted(known)), length=12)
        known["fence"] = f"document-{shown}"
        return [{"role": block, "content": self._render(block, known)} for block in BLOCKS]

    def _render(self, block: str, names: dict[str, Any]) -> str:
        import jinja2

        try:
            context = self.template.new_context(names)
            return "".join(self.template.blocks[block](context)).strip()
        except jinja2.TemplateError as error:
            # Blocks are run as compiled: their lines are those of the code that Jinja made.
            lines = [
                one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == _COMPILED
            ]
            line = self.template.get_corresponding_lineno(lines[-1] or 0) if lines else None
            raise InputError(
                f"the prompt cannot be filled in: {error}",
                where=self.where if line is None else f"{self.where}:{line}",
                do=f"a prompt file of this kind may use: {', '.join(sorted(names))}",
            ) from error


_COMPILED = "<template>"
"""What Jinja calls a template that was made from a text."""


def open_prompts(files: Mapping[str, Path]) -> dict[str, Prompt]:
    """The prompt of every ask: the user's file where there is one, else the built-in one.

    Raises:
        MissingError: a file is not there.
        InputError: it is no template, lacks a block, uses a name that is not known, or does not show what it is about.
    """
    return {name: open_prompt(name, files.get(name)) for name in FORMS}


def built_in_prompt(name: str) -> str:
    """The text of a prompt file that comes with tunesmith."""
    return (resources.files(__package__) / "prompts" / f"{name}.jinja").read_text(encoding="utf-8")


def open_prompt(name: str, path: Path | None) -> Prompt:
    """The prompt of one ask. Raises as `open_prompts` does."""
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    form = FORMS[name]
    where = f"{name}.jinja" if path is None else str(path)
    try:
        source = built_in_prompt(name) if path is None else path.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingError(
            "the prompt file cannot be read", where=where, do=f"mend synthesize.prompts.{name}"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError("the prompt file is not UTF-8 text", where=where, do="save it as UTF-8") from error
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    try:
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise InputError(
            f"the prompt is no Jinja template: {error.message}", where=f"{where}:{error.lineno}"
        ) from error
    missing = [block for block in BLOCKS if block not in template.blocks]
    if missing:
        raise InputError(
            f"the prompt lacks the block {' and '.join(missing)}",
            where=where,
            do="write {% block system %}…{% endblock %} and {% block user %}…{% endblock %}",
        )
    prompt = Prompt(template, where, form.names)
    user = prompt.messages(SAMPLES)[1]["content"]
    hidden = [shown for shown in form.shows if str(SAMPLES[shown]) not in user]
    if hidden:
        raise InputError(
            f"the prompt does not show the {' nor the '.join(hidden)}",
            where=where,
            do=f"put {' and '.join('{{ ' + shown + ' }}' for shown in hidden)} into the block user",
        )
    return prompt
