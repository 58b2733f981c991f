"""A model's reply to drafts: strict JSON first, repaired JSON second, checked against the schema always."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.records import Kind

_TEXT = {"type": "string"}
_PAIR = {
    "type": "object",
    "properties": {"question": _TEXT, "answer": _TEXT, "evidence": _TEXT},
    "required": ["question", "answer", "evidence"],
    "additionalProperties": False,
}
SCHEMAS: dict[Kind, dict[str, Any]] = {
    "question_answer": {
        "type": "object",
        "properties": {"pairs": {"type": "array", "items": _PAIR}},
        "required": ["pairs"],
        "additionalProperties": False,
    },
    "summary": {
        "type": "object",
        "properties": {"summary": _TEXT, "evidence": _TEXT},
        "required": ["summary", "evidence"],
        "additionalProperties": False,
    },
}


@dataclass(frozen=True, slots=True)
class Written:
    """One question and answer, or one summary (its question is empty), as the model gave it."""

    question: str
    answer: str
    evidence: str
    is_repaired: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    reason: str
    raw: str


def read_reply(kind: Kind, text: str, *, is_cut: bool) -> list[Written | Unreadable]:
    """What the reply holds, item by item.

    Args:
        kind: what was asked for.
        text: the message of the model.
        is_cut: the server stopped it at the token limit. Such a text is never repaired: half an answer
        would pass for one.
    """
    body = _without_wrapping(text)
    if not body:
        return [Unreadable("the reply is empty", text)]
    is_repaired = False
    try:
        value = json.loads(body)
    except ValueError:
        if is_cut:
            return [Unreadable("the reply was cut at max_tokens", text)]
        value, is_repaired = _repaired(body), True
    return [_item(kind, entry, text, is_repaired) for entry in _entries(kind, value)] or _nothing(value, text)


def _without_wrapping(text: str) -> str:
    """The reply without a model's thoughts and without the fence round its JSON."""
    text = re.sub(r"^\s*<think>.*?</think>", "", text, flags=re.DOTALL)
    fenced = re.search(r"```(?:json|JSON)?\s*\n(.*?)```", text, flags=re.DOTALL)
    return (fenced.group(1) if fenced else text).strip().lstrip("\ufeff")


def _repaired(body: str) -> Any:
    import json_repair

    # Words before and after the JSON confuse the repair; so does one object a line, of which it keeps the
    # last only.
    lines = [line.strip().rstrip(",") for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.startswith("{") and line.endswith("}") for line in lines):
        return [json_repair.loads(line) for line in lines]
    start = min((at for at in (body.find("{"), body.find("[")) if at >= 0), default=-1)
    return json_repair.loads(body[start:]) if start >= 0 else None


def _entries(kind: Kind, value: Any) -> list[Any]:
    """The items in the shapes that models choose: the asked-for object, a bare list, one bare item."""
    if kind == "summary":
        return [value] if isinstance(value, Mapping) else []
    if isinstance(value, Mapping):
        inner = value.get("pairs")
        if isinstance(inner, list):
            return inner
        return [value] if "question" in value else []
    return value if isinstance(value, list) else []


def _item(kind: Kind, entry: Any, raw: str, is_repaired: bool) -> Written | Unreadable:
    wanted = ("summary",) if kind == "summary" else ("question", "answer")
    if not isinstance(entry, Mapping):
        return Unreadable("an item of the reply is no object", raw)
    wrong = [name for name in wanted if not isinstance(entry.get(name), str) or not entry[name].strip()]
    if wrong:
        return Unreadable(f"an item of the reply has no {' and no '.join(wrong)}", raw)
    evidence = entry.get("evidence")
    quoted = evidence.strip() if isinstance(evidence, str) else ""
    if kind == "summary":
        return Written("", entry["summary"].strip(), quoted, is_repaired)
    return Written(entry["question"].strip(), entry["answer"].strip(), quoted, is_repaired)


def _nothing(value: Any, text: str) -> list[Written | Unreadable]:
    """An empty list is a fair answer to a passage without facts; anything else is not what was asked for."""
    is_fair = value == [] or (isinstance(value, Mapping) and value.get("pairs") == [])
    return [] if is_fair else [Unreadable("the reply is not the JSON that was asked for", text)]


_SAME = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‑": "-", "\u00a0": " "})


def find_quote(quote: str, passage: str) -> tuple[int, int] | None:
    """Where the quote stands in the passage, or `None`; spaces and the shapes of quotes and dashes do not matter."""
    text = quote.translate(_SAME).strip(" \"'…")
    there = passage.translate(_SAME)
    # A model likes to end half a sentence with a full stop of its own.
    for words in (text.split(), text.rstrip(" .,;").split()):
        found = re.search(r"\s+".join(re.escape(word) for word in words), there) if words else None
        if found:
            return found.span()
    return None
