"""Which of a few labels a judge's reply means. Tolerant of form, strict about content.

Quotes, case, markdown, tags left open, a JSON object, a `Verdict:` before the label and misspellings within two edits
of exactly one label are read through. Whatever is not on the menu is unparsed: a label that is merely mentioned in a
sentence is not a verdict, and an earlier field does not stand in for a last one that cannot be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Literal

Outcome = Literal["won", "lost", "tied"]

TIE_LABELS = (
    "tie",
    "ties",
    "tied",
    "a tie",
    "draw",
    "a draw",
    "equal",
    "equally good",
    "same",
    "both",
    "neither",
)
MOST_EDITS = 2
SHORTEST_MISSPELT: dict[Outcome, int] = {"won": 4, "lost": 4, "tied": 5}
"""Letters. Near a shorter label stand other words: `the` is not a misspelt `tie`, nor `sane` a `same`."""
FIELD_NAMES = (
    "final verdict",
    "final answer",
    "verdict",
    "winner",
    "preference",
    "preferred",
    "better",
    "choice",
    "answer",
)

_FIELD = "|".join(name.replace(" ", r"[ _]?") for name in FIELD_NAMES)
_TAGGED = re.compile(rf"<\s*(?:{_FIELD})\s*>?(.*?)(?=<|$)", re.IGNORECASE | re.DOTALL)
_NAMED = re.compile(
    rf"(?:^|[\s*_#])[*_]*(?:{_FIELD})[*_]*\s*(?:is|=|:|\s[-–—]\s)[*_:]*\s*(.*)", re.IGNORECASE | re.MULTILINE
)
_FENCED = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_TAG = re.compile(r"</?[^<>\n]{1,40}>?")
_BOXED = re.compile(r"\\boxed\s*{([^{}]*)}?")
_EDGES = " \t\r\n\"'`“”‘’«»„*_#[](){}.,;:!?-–—"


def parse_label(text: str | None, labels: Mapping[Outcome, Iterable[str]]) -> Outcome | None:
    """The key whose labels the text means, or `None`.

    Args:
        text: a judge's whole reply.
        labels: key to the texts that stand for it; keys share no label.
    """
    if text is None or not text.strip():
        return None
    menu = {clean_label(label): key for key, texts in labels.items() for label in texts}
    field = _verdict_field(text)
    # `<tie` may be a label in brackets as well as a tag left open
    readings = [clean_label(_TAG.sub(" ", field)), clean_label(re.sub(r"[<>/]", " ", field))]
    exact = [menu[reading] for reading in readings if reading in menu]
    return exact[0] if exact else _misspelt(readings, menu)


def clean_label(text: str) -> str:
    """Lower case, single spaces, without quotes, brackets, marks and stops at the edges."""
    return " ".join(text.strip(_EDGES).casefold().split())


def _verdict_field(text: str) -> str:
    """The last place where the text gives its verdict: in a JSON object, a tag, after `Verdict:`; or all of it."""
    for block in (*reversed(_FENCED.findall(text)), text):
        found = _json_field(block)
        if found is not None:
            return found
    places = [*_TAGGED.finditer(text), *_BOXED.finditer(text), *_NAMED.finditer(text)]
    fields = [(match.start(), match[1]) for match in places if match[1].strip(_EDGES)]
    return max(fields)[1] if fields else text


def _json_field(text: str) -> str | None:
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        content = json.loads(text[start : end + 1])
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    values = {str(key).replace("_", " ").casefold(): value for key, value in content.items()}
    return next((str(values[name]) for name in FIELD_NAMES if isinstance(values.get(name), str | int)), None)


def _misspelt(readings: Iterable[str], menu: Mapping[str, Outcome]) -> Outcome | None:
    """The key of the only label within two edits; two swapped neighbours are one edit."""
    from rapidfuzz.distance import OSA

    near = {
        key
        for reading in readings
        for label, key in menu.items()
        if len(label) >= SHORTEST_MISSPELT[key] and OSA.distance(reading, label) <= MOST_EDITS
    }
    return next(iter(near)) if len(near) == 1 else None
