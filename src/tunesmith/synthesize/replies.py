"""A model's reply to entries: strict JSON first, repaired JSON second, checked against the ask's form always."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.synthesize.asks import Form


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a reply holds, with the fields of its form; an optional field that is missing is empty."""

    fields: Mapping[str, Any]
    is_repaired: bool = False

    def text(self, name: str) -> str:
        value = self.fields.get(name, "")
        return value.strip() if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    reason: str
    raw: str


def read_reply(form: Form, text: str, *, is_cut: bool) -> list[Entry | Unreadable]:
    """What the reply holds, entry by entry. A free text is one entry with the field `text`.

    Args:
        form: what was asked for.
        text: the message of the model.
        is_cut: the server stopped it at the token limit. Such a text is never repaired: half an answer would pass for
            one.
    """
    if form.is_free_text:
        return [_read_free_text(text, is_cut=is_cut)]
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
    entries = [_entry(form, one, text, is_repaired) for one in _entries(form, value)]
    return entries or _nothing(form, value, text)


def _read_free_text(text: str, *, is_cut: bool) -> Entry | Unreadable:
    body = _without_thoughts(text).strip()
    if is_cut:
        return Unreadable("the reply was cut at max_tokens", text)
    return Entry({"text": body}) if body else Unreadable("the reply is empty", text)


def _without_thoughts(text: str) -> str:
    return re.sub(r"^\s*<think>.*?</think>", "", text, flags=re.DOTALL)


def _without_wrapping(text: str) -> str:
    """The reply without a model's thoughts and without the fence round its JSON."""
    text = _without_thoughts(text)
    fenced = re.search(r"```(?:json|JSON)?\s*\n(.*?)```", text, flags=re.DOTALL)
    return (fenced.group(1) if fenced else text).strip().lstrip("\ufeff")


def _repaired(body: str) -> Any:
    import json_repair

    # Words before and after the JSON confuse the repair; so does one object a line, of which it keeps the last only.
    lines = [line.strip().rstrip(",") for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.startswith("{") and line.endswith("}") for line in lines):
        return [json_repair.loads(line) for line in lines]
    start = min((at for at in (body.find("{"), body.find("[")) if at >= 0), default=-1)
    return json_repair.loads(body[start:]) if start >= 0 else None


def _entries(form: Form, value: Any) -> list[Any]:
    """The entries in the shapes that models choose: the asked-for object, a bare list, one bare entry."""
    if form.several is None:
        return [value] if isinstance(value, Mapping) else []
    if isinstance(value, Mapping):
        inner = value.get(form.several)
        if isinstance(inner, list):
            return inner
        return [value] if next(iter(form.fields)) in value else []
    return value if isinstance(value, list) else []


def _entry(form: Form, entry: Any, raw: str, is_repaired: bool) -> Entry | Unreadable:
    required = [name for name in form.fields if name not in form.optional]
    if isinstance(entry, str) and len(required) == 1 and form.fields[required[0]]["type"] == "string":
        entry = {required[0]: entry}  # a list of plain texts
    if not isinstance(entry, Mapping):
        return Unreadable("an item of the reply is no object", raw)
    wrong = [name for name in required if not _is_filled(form.fields[name], entry.get(name))]
    if wrong:
        return Unreadable(f"an item of the reply has no {' and no '.join(wrong)}", raw)
    return Entry({name: entry[name] for name in form.fields if name in entry}, is_repaired)


def _is_filled(schema: Mapping[str, Any], value: Any) -> bool:
    if schema["type"] == "array":
        return (
            isinstance(value, list) and bool(value) and all(_is_filled(schema["items"], one) for one in value)
        )
    if schema["type"] == "object":
        return isinstance(value, Mapping) and all(
            _is_filled(part, value.get(name)) for name, part in schema["properties"].items()
        )
    if not isinstance(value, str) or not value.strip():
        return False
    return "enum" not in schema or value.strip().lower() in schema["enum"]


def _nothing(form: Form, value: Any, text: str) -> list[Entry | Unreadable]:
    """An empty list is a fair answer to a passage without facts; anything else is not what was asked for."""
    is_fair = form.several is not None and (
        value == [] or (isinstance(value, Mapping) and value.get(form.several) == [])
    )
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
