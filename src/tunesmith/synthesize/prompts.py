"""The words a model teacher is asked with: Jinja files, sandboxed, tried out before the first request.

A prompt file has two blocks, `system` and `user`, and knows these names: `passage` (the text), `fence` (a
mark that does not occur in it), `title`, `heading`, `kind`, `count` (most pairs wanted)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError, MissingError
from tunesmith.records import Chunk, Kind, content_id

if TYPE_CHECKING:
    import jinja2

BLOCKS = ("system", "user")


@dataclass(frozen=True)
class Prompt:
    template: jinja2.Template
    where: str

    def messages(self, chunk: Chunk, kind: Kind, count: int) -> list[dict[str, str]]:
        """The system and the user message for one passage."""
        names = {
            "passage": chunk.text,
            # Made from the text, so that the text cannot close the fence it stands in.
            "fence": f"document-{content_id(chunk.text, length=12)}",
            "title": chunk.title,
            "heading": chunk.heading or "",
            "kind": kind,
            "count": count,
        }
        return [{"role": block, "content": self._render(block, names)} for block in BLOCKS]

    def _render(self, block: str, names: dict[str, Any]) -> str:
        import jinja2

        try:
            context = self.template.new_context(names)
            return "".join(self.template.blocks[block](context)).strip()
        except jinja2.TemplateError as error:
            raise InputError(
                f"the prompt cannot be filled in: {error}", where=self.where, do=_NAMES
            ) from error


_NAMES = "a prompt file may use: passage, fence, title, heading, kind, count"


def open_prompt(kind: Kind, path: Path | None) -> Prompt:
    """The user's prompt file, or the built-in one of that kind.

    Raises:
        MissingError: the file is not there.
        InputError: it is no template, lacks a block, or uses a name that is not known.
    """
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    where = f"{kind}.jinja" if path is None else str(path)
    try:
        source = (
            (resources.files(__package__) / "prompts" / where).read_text(encoding="utf-8")
            if path is None
            else path.read_text(encoding="utf-8")
        )
    except OSError as error:
        raise MissingError(
            "the prompt file cannot be read", where=where, do="mend synthesize.prompt"
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
    prompt = Prompt(template, where)
    sample = Chunk("", "", "Title", None, "A passage.", 0, 10, None, None, 3)
    user = prompt.messages(sample, kind, 3)[1]["content"]
    if sample.text not in user:
        raise InputError(
            "the prompt does not show the passage", where=where, do="put {{ passage }} into the block user"
        )
    return prompt
