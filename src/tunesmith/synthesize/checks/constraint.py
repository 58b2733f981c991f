"""What a task states, and whether the answer keeps it: counts of sentences or words, JSON, yes or no."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tunesmith.records import Example
from tunesmith.sentences import sentence_spans
from tunesmith.synthesize.checks.base import About
from tunesmith.synthesize.checks.words import NUMBER_WORDS

LARGEST_WORD = 12
NUMBERS = {
    **{word: int(value) for word, value in NUMBER_WORDS.items() if int(value) <= LARGEST_WORD},
    "a": 1,
    "a single": 1,
    "single": 1,
}
_NUMBER = r"\d+|" + "|".join(sorted(NUMBERS, key=len, reverse=True))
_STATED = re.compile(
    rf"\b(?P<kind>exactly|only|in|with|using|as|of|at most|no more than|not more than|up to|maximum(?: "
    rf"of)?|max\.?|under|"
    rf"fewer than|less than|below|within|at least|no fewer than|minimum(?: of)?)\s+(?:(?P<second>exactly|at "
    rf"most|no more than|"
    rf"up to|at "
    rf"least|about|around|roughly|approximately)\s+)?(?P<low>{_NUMBER})(?:\s*(?:-|–|to|or)\s*(?P<high>{_NUMBER}))?\s+"
    rf"(?:(?:short|long|simple|complete|concise|full|brief)\s+)?(?P<unit>sentence|word|paragraph|bullet "
    rf"point|bullet|line)s?\b",
    re.IGNORECASE,
)
_MOST = (
    "at most",
    "no more than",
    "not more than",
    "up to",
    "maximum",
    "maximum of",
    "max",
    "max.",
    "within",
)
_BELOW = ("under", "fewer than", "less than", "below")
_LEAST = ("at least", "no fewer than", "minimum", "minimum of")
_ABOUT = ("about", "around", "roughly", "approximately")
_JSON = re.compile(r"\b(?:in|as|only|valid)\s+(?:a\s+)?(?:valid\s+)?JSON\b", re.IGNORECASE)
_YES_NO = re.compile(
    r"\b(?:answer|reply|respond)\s+(?:only\s+)?(?:with\s+)?[\"'“]?yes[\"'”]?\s+or\s+[\"'“]?no\b",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*(?:[-*•–]|\d+[.)])\s+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Constraint:
    unit: str
    least: int
    most: int | None


def broken_constraints(stated: str, text: str) -> list[str] | None:
    """What a text breaks of what was stated, in words; `None` when nothing that can be checked was stated."""
    text = text.strip()
    constraints = find_constraints(stated)
    wants_json, wants_yes_no = bool(_JSON.search(stated)), bool(_YES_NO.search(stated))
    if not constraints and not wants_json and not wants_yes_no:
        return None
    broken = [words for words in (_broken(constraint, text) for constraint in constraints) if words]
    if wants_json and not _is_json(text):
        broken.append("not JSON")
    if wants_yes_no and text.strip(" .!\"'").lower() not in ("yes", "no"):
        broken.append("neither yes nor no")
    return broken


def check_constraint(example: Example, about: About) -> str | None:
    """The answer keeps every count and format that the task, or a criterion of the scenario, states."""
    if example.kind not in ("instruction", "summary", "conversation"):
        return None  # a question that speaks of "two lines" states nothing
    # "3 to 5 sentences." states as much as "in 3 to 5 sentences".
    criteria = [f"in {one}" if one[:1].isdigit() else one for one in about.criteria]
    stated = "\n".join([example.instruction, *criteria])
    broken = broken_constraints(stated, example.target)
    return f"a stated constraint is broken: {'; '.join(broken)}" if broken else None


def find_constraints(text: str) -> list[Constraint]:
    """Counts that a text asks for. Approximate ones ("about 50 words") are no constraints."""
    found = []
    for match in _STATED.finditer(text):
        kinds = {(match["kind"] or "").lower(), (match["second"] or "").lower()}
        if kinds & set(_ABOUT):
            continue
        low = _number(match["low"])
        high = _number(match["high"]) if match["high"] else None
        unit = "bullet point" if match["unit"].lower().startswith("bullet") else match["unit"].lower()
        if high is not None:
            found.append(Constraint(unit, low, high))
        elif kinds & set(_MOST):
            found.append(Constraint(unit, 0, low))
        elif kinds & set(_BELOW):
            found.append(Constraint(unit, 0, low - 1))
        elif kinds & set(_LEAST):
            found.append(Constraint(unit, low, None))
        elif unit != "word" or "exactly" in kinds:  # "in 50 words" is a size, not a count to the word
            found.append(Constraint(unit, low, low))
    return found


def _broken(constraint: Constraint, text: str) -> str:
    count = _count(constraint.unit, text)
    if count < constraint.least or (constraint.most is not None and count > constraint.most):
        if constraint.most is None:
            wanted = f"at least {constraint.least}"
        elif constraint.least == constraint.most:
            wanted = str(constraint.most)
        else:
            wanted = (
                f"{constraint.least} to {constraint.most}"
                if constraint.least
                else f"at most {constraint.most}"
            )
        return f"{count} {constraint.unit}{'' if count == 1 else 's'}, {wanted} asked for"
    return ""


def _count(unit: str, text: str) -> int:
    if unit == "word":
        return len(text.split())
    if unit == "sentence":
        return sum(1 for _ in sentence_spans(text, 0, len(text)))
    if unit == "paragraph":
        return sum(1 for part in re.split(r"\n\s*\n", text) if part.strip())
    if unit == "line":
        return sum(1 for line in text.splitlines() if line.strip())
    return len(_BULLET.findall(text))


def _number(text: str) -> int:
    return NUMBERS[text.lower()] if text.lower() in NUMBERS else int(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(re.sub(r"^```(?:json)?\s*|\s*```$", "", text))
    except (json.JSONDecodeError, RecursionError):
        return False
    return True
