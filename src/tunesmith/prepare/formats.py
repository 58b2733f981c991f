"""The layouts that finished rows come in: which one it is, and what a row of it asks and answers.

| name | columns |
|---|---|
| `alpaca` | `instruction`, `input` (may be empty), `output` |
| `prompt_completion` | `prompt`, `completion`: texts, or lists of messages |
| `messages` | `messages`: a list of `{role, content}` |
| `sharegpt` | `conversations`: a list of `{from, value}` |
| `question_answer` | `question`, `answer`, and the `context` that the answer stands in, if any |
| `text_label` | `text`, `label` |
| `source_target` | `source`, `target` |

Each column may go by the other names that public sets use (`ALIASES`), or by any name the user gives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.prepare.prompts import student_prompt, transcript

FormatName = Literal[
    "messages", "sharegpt", "prompt_completion", "alpaca", "question_answer", "text_label", "source_target"
]

FORMATS: dict[FormatName, tuple[str, ...]] = {
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "prompt_completion": ("prompt", "completion"),
    "alpaca": ("instruction", "output"),
    "question_answer": ("question", "answer"),
    "text_label": ("text", "label"),
    "source_target": ("source", "target"),
}
"""What a row of each format must hold, in the order in which formats that fit equally well are preferred."""

EXTRA: dict[FormatName, tuple[str, ...]] = {"alpaca": ("input",), "question_answer": ("context",)}
"""What it may hold besides."""

ALIASES: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "conversations": ("conversations", "conversation"),
    "prompt": ("prompt",),
    "completion": ("completion", "response"),
    "instruction": ("instruction",),
    "input": ("input", "context"),
    "output": ("output", "response"),
    "question": ("question",),
    "answer": ("answer", "answers"),
    "context": ("context", "passage"),
    "text": ("text", "sentence", "review"),
    "label": ("label", "sentiment", "category"),
    "source": ("source", "document", "dialogue", "article"),
    "target": ("target", "summary", "summaries", "highlights"),
}
COMMON = ("id", "source_id", "split", "system")
"""Columns that any format may have."""
ROLES = frozenset(ALIASES) | frozenset(COMMON)

ROLE_NAMES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
}
SHORT_LIST = 100
"""Rows from which a format is recognised."""


class BadRow(ValueError):
    """A row that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing asked and answered, whatever the format."""

    instruction: str
    answers: tuple[str, ...]
    """The right answer first, then others that are right too."""
    context: str | None = None
    """A passage or input that belongs to the instruction."""
    earlier: tuple[tuple[str, str], ...] = ()
    """(role, text) of the turns before it; roles are `user`, `assistant`."""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Recognised:
    format: FormatName
    also: tuple[FormatName, ...]
    """Other formats that the rows fit as well."""


class Columns:
    """Finds a row's values by our names: as the user maps them, else under the usual names."""

    def __init__(self, mapped: Mapping[str, str]) -> None:
        self.mapped = mapped

    def get(self, values: Mapping[str, Any], role: str) -> Any:
        """The value for a role; `None` where the row has none."""
        name = self.name(values, role)
        return None if name is None else _look_up(values, name)

    def name(self, values: Mapping[str, Any], role: str) -> str | None:
        """The column a role is found under, if there is one."""
        if role in self.mapped:
            return self.mapped[role] if _has(values, self.mapped[role]) else None
        # A column that the user gave to another role does not serve this one too.
        taken = set(self.mapped.values())
        return next(
            (name for name in ALIASES.get(role, (role,)) if name in values and name not in taken), None
        )

    def used(self, values: Mapping[str, Any], format: FormatName) -> set[str]:
        """The columns of a row that are read in this format."""
        roles = (*FORMATS[format], *EXTRA.get(format, ()), *COMMON)
        return {name.split(".")[0] for role in roles if (name := self.name(values, role)) is not None}


def recognise(rows: Sequence[Mapping[str, Any]], mapped: Mapping[str, str]) -> Recognised | None:
    """The format that most of the rows fit; `None` when they fit none.

    What the user named counts: with `columns: {prompt: …, completion: …}` the rows are prompts and completions,
    whatever else they hold.
    """
    columns = Columns(mapped)
    named = [name for name, needs in FORMATS.items() if set(needs) & set(mapped)]
    fits = {
        name: sum(all(columns.get(row, role) is not None for role in FORMATS[name]) for row in rows)
        for name in (named or FORMATS)
    }
    best = max(fits.values(), default=0)
    if not best:
        return None
    found = [name for name, count in fits.items() if count == best]
    return Recognised(found[0], tuple(found[1:]))


def read_asked(values: Mapping[str, Any], format: FormatName, columns: Columns, *, turns: str) -> list[Asked]:
    """What a row asks and answers: one entry, or with `turns: each` one for each answer of a conversation.

    Raises:
        BadRow: the row lacks what its format needs, or holds something else there.
    """
    missing = [role for role in FORMATS[format] if columns.name(values, role) is None]
    if missing:
        has = ", ".join(map(str, values)) or "nothing"
        raise BadRow(f"there is no {' and no '.join(missing)}; the row has {has}")
    if format in ("messages", "sharegpt"):
        said = _messages(columns.get(values, FORMATS[format][0]), FORMATS[format][0])
        return _of_conversation(_with_system(said, values, columns), turns)
    if format == "prompt_completion":
        prompt, completion = columns.get(values, "prompt"), columns.get(values, "completion")
        if isinstance(_parsed_list(prompt), list):
            said = [*_messages(prompt, "prompt"), *_as_messages(completion)]
            return _of_conversation(_with_system(said, values, columns), turns)
        if written := _written_turns(values, prompt):
            return _of_conversation([*written, *_as_messages(completion)], "last")
    asked_role, answer_role = FORMATS[format]
    instruction = _text(columns.get(values, asked_role), asked_role)
    answers = _answers(columns.get(values, answer_role), answer_role)
    extra = EXTRA.get(format, ())
    context = _optional_text(columns.get(values, extra[0]), extra[0]) if extra else None
    more = values.get("other_references")
    if isinstance(more, list):  # as `prepare` writes them
        answers = tuple(dict.fromkeys([*answers, *(_text(part, answer_role) for part in more)]))
    return [Asked(instruction, answers, context or None, system=_system(values, columns))]


def _written_turns(values: Mapping[str, Any], prompt: Any) -> list[tuple[str, str]]:
    """The turns of a row that `prepare` wrote, with its last message, where its prompt still tells just those."""
    turns, last = values.get("earlier"), values.get("instruction")
    if not isinstance(last, str) or not isinstance(turns, list) or not turns:
        return []
    try:
        said = _messages(turns, "earlier")
    except BadRow:
        return []
    system = "\n\n".join(text for role, text in said if role == "system")
    told = transcript(system, [turn for turn in said if turn[0] != "system"])
    return [*said, ("user", last)] if student_prompt("conversation", last, told) == prompt else []


def _of_conversation(said: Sequence[tuple[str, str]], turns: str) -> list[Asked]:
    system = "\n\n".join(text for role, text in said if role == "system")
    spoken = [(role, text) for role, text in said if role != "system"]
    ends = [place for place, (role, _) in enumerate(spoken) if role == "assistant"]
    if not ends:
        raise BadRow("the conversation holds no answer of the assistant")
    for place, (role, text) in enumerate(spoken):
        if place and role == spoken[place - 1][0]:
            raise BadRow(f"two turns of the {role} follow each other (turns {place} and {place + 1})")
        if role == "assistant" and place == 0:
            raise BadRow("the conversation starts with an answer: nobody asked")
        if not text.strip():
            raise BadRow(f"turn {place + 1}, of the {role}, is empty")
    chosen = ends if turns == "each" else ends[-1:]
    return [
        Asked(spoken[end - 1][1], (spoken[end][1],), earlier=tuple(spoken[: end - 1]), system=system)
        for end in chosen
    ]


def _messages(value: Any, column: str) -> list[tuple[str, str]]:
    value = _parsed_list(value)
    if not isinstance(value, list) or not value:
        raise BadRow(f"{column} is not a list of messages")
    found = []
    for number, message in enumerate(value, start=1):
        if not isinstance(message, Mapping):
            raise BadRow(f"message {number} is not an object with a role and a content")
        role = message.get("role", message.get("from"))
        content = message.get("content", message.get("value"))
        if not isinstance(role, str) or role.lower() not in ROLE_NAMES:
            raise BadRow(f"message {number} is from {role!r}, which is neither user, assistant nor system")
        if message.get("tool_calls"):
            raise BadRow(f"message {number} calls a tool, which is not supported")
        found.append((ROLE_NAMES[role.lower()], _content(content, number)))
    return found


def _content(content: Any, number: int) -> str:
    """A text, or the text parts of a list of parts."""
    if isinstance(content, list):
        if not all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
            raise BadRow(f"message {number} holds something other than text")
        return "\n".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise BadRow(f"message {number} has no text")
    return content


def _as_messages(completion: Any) -> list[tuple[str, str]]:
    if isinstance(_parsed_list(completion), list):
        return _messages(completion, "completion")
    return [("assistant", _text(completion, "completion"))]


def _with_system(
    said: list[tuple[str, str]], values: Mapping[str, Any], columns: Columns
) -> list[tuple[str, str]]:
    system = _system(values, columns)
    return [("system", system), *said] if system else said


def _system(values: Mapping[str, Any], columns: Columns) -> str:
    return _optional_text(columns.get(values, "system"), "system") or ""


def _parsed_list(value: Any) -> Any:
    """A list of messages, also where a cell holds it as JSON; other texts in brackets stay texts."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        is_said = bool(found) and all(
            isinstance(one, dict) and {"role", "from"} & one.keys() for one in found
        )
        return found if is_said else value
    return value


def _answers(value: Any, role: str) -> tuple[str, ...]:
    """One answer, a list of them, or SQuAD's `{text: [...], answer_start: [...]}`; doubles are taken once."""
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
    if isinstance(value, list):
        if not value:
            raise BadRow(f"{role} is an empty list")
        return tuple(dict.fromkeys(_text(part, role) for part in value))
    return (_text(value, role),)


def _text(value: Any, role: str) -> str:
    text = _optional_text(value, role)
    if text is None or not text.strip():
        raise BadRow(f"{role} is empty")
    return text


def _optional_text(value: Any, role: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadRow(f"{role} is {value}")
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, int):
        return str(value)
    raise BadRow(f"{role} is not a text but a {type(value).__name__}")


def _has(values: Mapping[str, Any], name: str) -> bool:
    return _look_up(values, name) is not None or name in values


def _look_up(values: Mapping[str, Any], name: str) -> Any:
    """The value under a name; `a.b` looks into an object, and `a.0` into a list."""
    if name in values:
        return values[name]
    found: Any = values
    for part in name.split("."):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found
