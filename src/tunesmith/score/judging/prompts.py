"""The words a judge is asked with: Jinja files in `score/prompts`, each with a block `system` and a block `user`.

Task, passage, reference and answers are foreign text. Each stands between two marks that hold a code made from all
those texts, so that none of them can hold the code or guess it: a text that had it in it would have another code.
Control tokens of chat models within them (`<|im_end|>`, `[/INST]`, …) get a zero-width space, because servers heed
those in any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import count
from typing import TYPE_CHECKING, Literal

from tunesmith.records import content_id

if TYPE_CHECKING:
    import jinja2

Mode = Literal["pairwise", "correctness", "rubric"]
BLOCKS = ("system", "user")

_CONTROL_TOKEN = re.compile(
    r"<[|｜][^<>|｜\n]{1,40}[|｜]>|</?s>|</?bos>|</?eos>|\[/?(?:INST|SYSTEM_PROMPT)\]|<</?SYS>>|<(?:start|end)_of_turn>"
)

PAIRWISE_CRITERIA = {
    "Correct": "what it says is true and agrees with the reference and the passage, where there are any",
    "Complete": "it answers everything that the task asks",
    "Clear": "it can be understood at once and does not repeat itself",
    "Form": "it keeps to the form and the limits that the task states",
}
RUBRIC_CRITERIA = {
    "grammatical_correctness": "spelling, grammar and punctuation are right",
    "coherence": "the sentences follow from each other and form one answer",
    "correctness": "it answers what was asked, and what it says is true",
}
CORRECTNESS = {
    "correct": "it says what the reference says, in whatever words, and nothing that contradicts it",
    "partly": "it says some of what the reference says, or all of it beside something wrong",
    "wrong": "it misses or contradicts what the reference says",
}


@dataclass(frozen=True)
class JudgePrompt:
    template: jinja2.Template
    criteria: Mapping[str, str]
    hash: str
    """Of the template and the criteria."""
    is_brief: bool = False
    """Whether the verdict alone is asked for, without a reason before it."""

    def messages(self, texts: Mapping[str, str | None]) -> tuple[dict[str, str], ...]:
        """System and user message. `texts` are the foreign ones by the names the template knows them by."""
        shown = {name: None if text is None else _defused(text) for name, text in texts.items()}
        code = fence_code(text for text in shown.values() if text is not None)
        context = self.template.new_context(
            {"fence": code, "criteria": self.criteria, "texts": shown, "is_brief": self.is_brief}
        )
        return tuple(
            {"role": block, "content": "".join(self.template.blocks[block](context)).strip()}
            for block in BLOCKS
        )


def fence_code(texts: Iterable[str]) -> str:
    """Sixteen hex digits made from the texts that occur in none of them, whatever the case."""
    held = list(texts)
    folded = [text.casefold() for text in held]
    for attempt in count():
        code = content_id("fence", str(attempt), *held)
        if not any(code in text for text in folded):
            return code
    raise AssertionError("unreachable: count() does not end")


def open_prompt(
    mode: Mode, criteria: Mapping[str, str] | None = None, *, is_brief: bool = False
) -> JudgePrompt:
    """The built-in words of a mode; `criteria` in place of its own; brief: without asking for a reason."""
    own = {"pairwise": PAIRWISE_CRITERIA, "rubric": RUBRIC_CRITERIA, "correctness": CORRECTNESS}[mode]
    template, source = _template(mode)
    chosen = dict(criteria or own)
    words = [source, *(part for item in chosen.items() for part in item), *(["brief"] if is_brief else [])]
    return JudgePrompt(template, chosen, content_id(*words, length=12), is_brief)


def _defused(text: str) -> str:
    """The text with the control tokens of chat models broken up: servers would take them for the end of the message."""
    return _CONTROL_TOKEN.sub(lambda match: f"{match.group()[0]}\u200b{match.group()[1:]}", text)


@lru_cache
def _template(mode: Mode) -> tuple[jinja2.Template, str]:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    source = (resources.files("tunesmith.score") / "prompts" / f"{mode}.j2").read_text(encoding="utf-8")
    # not a page: escaping would change the texts that are judged
    environment = SandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source), source
