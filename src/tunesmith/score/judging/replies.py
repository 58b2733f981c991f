"""What a judge's reply means. Tolerant of form, strict about content.

The verdict has to end the reply: it is the last JSON object that has one, else the last line. An object or a label
that comes earlier never stands in for a last one that cannot be read, an object that stands word for word in a text
under examination is a quotation and no verdict, and of a reply that was cut off only a finished object at its end
counts. Which labels a text means is left to a `LabelReader`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.score.judging.asking import LabelReader, Outcome, Reply, told_chances

Letter = Literal["A", "B", "TIE"]
Correctness = Literal["correct", "partly", "wrong"]

LETTERS: dict[Outcome, Letter] = {"won": "A", "lost": "B", "tied": "TIE"}
LETTER_WORDS = (
    "{}",
    "answer {}",
    "answer_{}",
    "response {}",
    "option {}",
    "{} is better",
    "answer {} is better",
)
LETTER_LABELS: dict[Outcome, tuple[str, ...]] = {
    "won": tuple(words.format("A") for words in LETTER_WORDS),
    "lost": tuple(words.format("B") for words in LETTER_WORDS),
    "tied": (
        *("tie", "tied", "a tie", "it is a tie", "draw", "a draw"),
        *("equal", "equally good", "same", "both", "neither"),
    ),
}
CORRECTNESS: dict[Outcome, Correctness] = {"won": "correct", "tied": "partly", "lost": "wrong"}
CORRECTNESS_LABELS: dict[Outcome, tuple[str, ...]] = {
    "won": ("correct", "fully correct"),
    "tied": ("partly", "partly correct", "partially", "partially correct", "partial"),
    "lost": ("wrong", "incorrect", "not correct"),
}
GRADES = {"0": 0.0, "0.0": 0.0, "0.5": 0.5, ".5": 0.5, "½": 0.5, "1/2": 0.5, "0,5": 0.5, "1": 1.0, "1.0": 1.0}

BRACES_TRIED = 5

_THOUGHTS = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_BOLD = re.compile(r"[*_`]+")
_KEY = re.compile(r"""\s*["']verdict["']\s*[:=]\s*(.*)""", re.IGNORECASE)
_FIELD = re.compile(r"\b(?:verdict|winner|final answer)\b[\"'*_\s]*[:=]|<\s*verdict\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Read:
    """`value` is `None` when the reply holds none; then `status` says why."""

    value: str | None
    status: str
    reason: str


def read_letter(
    reply: Reply, texts: Sequence[str], read_label: LabelReader, *, has_drawn: bool = False
) -> Read:
    """`A`, `B` or `TIE`.

    Args:
        reply: whose probabilities, where it has any, are the verdict, and not its text.
        texts: those under examination.
        read_label: which label a text means.
        has_drawn: the text is a draw from the probabilities, and it is what counts.
    """
    if reply.likeliest is not None and reply.trouble is None and not has_drawn:
        return _likeliest(reply)
    return _read(reply, texts, read_label, LETTER_LABELS, LETTERS)


def read_correctness(reply: Reply, texts: Sequence[str], read_label: LabelReader) -> Read:
    """`correct`, `partly` or `wrong`; the likeliest, where the reply has probabilities."""
    if reply.likeliest is not None and reply.trouble is None:
        return _likeliest(reply)
    return _read(reply, texts, read_label, CORRECTNESS_LABELS, CORRECTNESS)


def _likeliest(reply: Reply) -> Read:
    assert reply.chances is not None
    return Read(reply.likeliest, "ok", told_chances("verdict", [*reply.chances], [*reply.chances.values()]))


def read_grades(
    reply: Reply, texts: Sequence[str], criteria: Iterable[str]
) -> dict[str, tuple[float | None, str, str]]:
    """For each criterion its grade (0, 0.5, 1 or `None`), a status and the judge's reason."""
    names = list(criteria)
    text = _without_thoughts(reply.text)
    found = _last_object(text, {_plain(name) for name in names}, is_cut=reply.is_cut)
    trouble = _trouble(reply)
    if trouble is None and found is not None and _is_quoted(found, texts):
        trouble = "echo"
    if trouble is not None or found is None:
        status = trouble or ("cut off" if reply.is_cut else "off menu")
        return dict.fromkeys(names, (None, status, ""))
    grades = {name: GRADES.get(str(found.values.get(_plain(name))).strip()) for name in names}
    return {
        name: (grade, "off menu" if grade is None else "ok", found.reason) for name, grade in grades.items()
    }


@dataclass(frozen=True, slots=True)
class _Object:
    values: dict[str, Any]
    """By plain names."""
    start: int
    end: int
    text: str

    @property
    def reason(self) -> str:
        reason = self.values.get("reason")
        return reason.strip() if isinstance(reason, str) else ""


def _read(
    reply: Reply,
    texts: Sequence[str],
    read_label: LabelReader,
    labels: Mapping[Outcome, tuple[str, ...]],
    values: Mapping[Outcome, str],
) -> Read:
    trouble = _trouble(reply)
    if trouble is not None:
        return Read(None, trouble, "")
    text = _without_thoughts(reply.text)
    found = _last_object(text, {"verdict"}, is_cut=reply.is_cut)
    if found is not None and _is_quoted(found, texts):
        return Read(None, "echo", "")
    if found is not None:
        outcome = read_label(_folded(str(found.values["verdict"])), labels)
        before = text[: found.start].strip()
        reason = found.reason or ("" if "{" in before else before.removesuffix("```json").strip())
    else:
        last = next((line for line in reversed(text.splitlines()) if _BOLD.sub("", line).strip()), "")
        named = _KEY.match(last)
        outcome = None if reply.is_cut else read_label(_folded(named[1] if named else last), labels)
        reason = text[: text.rfind(last)].strip() if outcome is not None else ""
    if outcome is None:
        return Read(None, "cut off" if reply.is_cut else "off menu", reason)
    return Read(values[outcome], "ok", reason)


def _trouble(reply: Reply) -> str | None:
    if reply.trouble is not None:
        return "no reply"
    return None if reply.text.strip() else ("cut off" if reply.is_cut else "off menu")


def _folded(text: str) -> str:
    """Full-width letters, which some models write, as plain ones."""
    return unicodedata.normalize("NFKC", text)


def _without_thoughts(text: str) -> str:
    return _THOUGHTS.sub("", text)


def _last_object(text: str, wanted: set[str], *, is_cut: bool) -> _Object | None:
    """The last JSON object that has one of the wanted fields, unless a verdict of another form comes after it.

    Objects as they should be come first; when there is none, or only before a later field, what follows the last
    opening brace is repaired (single quotes, missing quotes or braces), but never in a reply that was cut off.
    """
    found = None
    for one in _objects(text):
        if wanted & one.values.keys():
            found = one
    rest = text if found is None else text[found.end :]
    if is_cut:
        return found if found is not None and not rest.strip(" \t\r\n`.") else None
    if found is not None and not _FIELD.search(rest):
        return found
    return _repaired(text, wanted, after=0 if found is None else found.end)


def _objects(text: str) -> Iterator[_Object]:
    """Strict JSON objects, outermost ones only, from left to right."""
    decoder = json.JSONDecoder(strict=False)
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield _Object(_plain_names(value), start, end, text[start:end])
        start = text.find("{", end)


def _repaired(text: str, wanted: set[str], *, after: int) -> _Object | None:
    """What follows the last opening brace as an object, however broken; a brace within a string is stepped over."""
    import json_repair

    start = text.rfind("{", after)
    for _ in range(BRACES_TRIED):
        if start < 0:
            break
        value = json_repair.loads(text[start:])
        values = _plain_names(value) if isinstance(value, dict) else {}
        if wanted & values.keys():
            return _Object(values, start, len(text), text[start:])
        start = text.rfind("{", after, start)
    return None


def _plain_names(value: Mapping[str, Any]) -> dict[str, Any]:
    return {_plain(str(name)): content for name, content in value.items()}


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip(" \"'*`").casefold())


def _is_quoted(found: _Object, texts: Iterable[str]) -> bool:
    """Whether the object stands in a text under examination, white space apart."""
    bare = "".join(found.text.split())
    return any(bare in "".join(text.split()) for text in texts if "{" in text)
