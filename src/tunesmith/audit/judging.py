"""Verdicts that fell out, a judge that saw one side first, knew which was which, or liked the longer answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.audit.study import BASE_NAMES, AuditedStudy, Finding
from tunesmith.compare.labels import TIE_LABELS, Outcome, clean_label, parse_label
from tunesmith.errors import InputError
from tunesmith.tables import TableRow

VERDICT_COLUMNS = ("verdict", "judgement", "judgment", "winner", "preference", "choice", "label")
FIRST_COLUMNS = ("first", "shown_first", "model_a", "a", "left", "position_a", "answer_a_system", "system_a")
PROMPT_COLUMNS = ("judge_prompt", "prompt")
TEXT_COLUMNS = {
    "lost": ("base_answer", "base_text", "base_output", "base"),
    "won": ("tuned_answer", "tuned_text", "tuned_output", "tuned"),
}
REVEALING = re.compile(
    r"\b(?:base(?:line)?|fine[\s_-]?tuned|finetuned|tuned|untuned|original|pre[\s_-]?trained|student|teacher|sft|lora)\b",
    re.IGNORECASE,
)
SIDES = (("a", "b"), ("1", "2"), ("first", "second"), ("left", "right"))
LONGEST_NAME = 80
"""Characters. Longer texts in a column `a` are the answer and not who gave it."""
ALWAYS = 0.95
FEWEST = 10
LONGER_WINS = 0.6


@dataclass(frozen=True, slots=True)
class _Verdict:
    id: str
    text: str
    outcome: Outcome | None
    is_plain: bool
    """Whether the text is a label as it stands, so that a plain comparison of strings understands it."""
    row: TableRow


def look_at_verdicts(study: AuditedStudy) -> Iterator[Finding]:
    """Findings about a judge's verdicts."""
    if not study.verdicts:
        return
    column = next((name for name in VERDICT_COLUMNS if name in study.verdicts[0].values), None)
    if column is None:
        raise InputError(
            f"there is no column of verdicts; there are: {', '.join(map(str, study.verdicts[0].values))}",
            where=study.verdicts[0].where,
            do=f"name it {VERDICT_COLUMNS[0]}",
        )
    rows = [row for row in study.verdicts if not row.values.get("control") and not row.values.get("vote")]
    labels = _labels(study, rows, column)
    verdicts = [_verdict(row, column, labels, number) for number, row in enumerate(rows, start=1)]
    yield from _dropped(verdicts)
    yield from _fixed_order(study, verdicts)
    yield from _revealing(study, verdicts, labels)
    yield from _length_bias(study, verdicts)


def _labels(study: AuditedStudy, rows: Sequence[TableRow], column: str) -> dict[Outcome, list[str]]:
    """The two labels that the judge chose between: the systems' names, or else the two most frequent texts."""
    texts = [clean_label(row.text(column) or "") for row in rows]
    ties = {clean_label(label) for label in TIE_LABELS}
    frequent = [
        text for text, _ in Counter(text for text in texts if text and text not in ties).most_common()
    ]
    if "win" in frequent or "loss" in frequent:  # our own judge's records, told from the tuned side
        return {"lost": ["loss"], "won": ["win"], "tied": ["tie"]}
    named = [system for system in study.systems[:2] if clean_label(system) in frequent]
    first_two = named if len(named) == 2 else frequent[:2]
    base = next((text for text in first_two if "base" in text or "original" in text), None)
    # the base first; of two sides, the first one
    first_two.sort(key=lambda text: (text != base, text))
    lost, won = (*first_two, "", "")[:2]
    return {"lost": [lost or "base"], "won": [won or "tuned"], "tied": sorted(ties - {lost, won})}


def _verdict(row: TableRow, column: str, labels: dict[Outcome, list[str]], number: int) -> _Verdict:
    text = row.text(column) or ""
    known = {label.casefold() for several in labels.values() for label in several}
    outcome = parse_label(text, labels)
    first = _named_first(row)
    if first is not None and (labels["lost"][0], labels["won"][0]) in SIDES and outcome in ("won", "lost"):
        # the labels are sides, and the row says which system stood on the first one
        first_won = outcome == "lost"
        outcome = "won" if first_won != _is_base(first) else "lost"
    return _Verdict(row.text("id") or str(number), text, outcome, text.strip().casefold() in known, row)


def _named_first(row: TableRow) -> str | None:
    """The system that was shown first, if the row names it and not only its side."""
    named = _first_column(row)
    return None if named is None or any(named.casefold() in side for side in SIDES) else named


def _first_column(row: TableRow) -> str | None:
    """What the row says was shown first, unless that is the text itself."""
    order = row.values.get("order")
    if isinstance(order, str) and order.endswith(" first"):
        return order.removesuffix(" first")
    values = (row.values.get(name) for name in FIRST_COLUMNS)
    return next(
        (v.strip() for v in values if isinstance(v, str) and v.strip() and len(v) < LONGEST_NAME), None
    )


def _is_base(name: str) -> bool:
    return any(word in name.casefold() for word in BASE_NAMES)


def _dropped(verdicts: Sequence[_Verdict]) -> Iterator[Finding]:
    odd = [verdict for verdict in verdicts if not verdict.is_plain]
    if odd:
        plain = _ratio([v for v in verdicts if v.is_plain])
        unparsed = sum(verdict.outcome is None for verdict in odd)
        examples = ", ".join(repr(v.text[:40]) for v in odd[:3])
        effect = (
            f"{len(odd)} of {len(verdicts)} verdicts are not a label as they stand ({examples}) and fall out where "
            f"labels are compared as text. Tuned against base is {plain} without them and {_ratio(verdicts)} read "
            f"tolerantly; {unparsed} cannot be read at all."
        )
        severity: Any = "high" if len(odd) > 0.05 * len(verdicts) else "medium"
        yield Finding("dropped_verdicts", severity, len(odd), len(verdicts), tuple(v.id for v in odd), effect)


def _ratio(verdicts: Sequence[_Verdict]) -> str:
    counts = Counter(verdict.outcome for verdict in verdicts)
    return f"{counts['won']} to {counts['lost']}"


def _fixed_order(study: AuditedStudy, verdicts: Sequence[_Verdict]) -> Iterator[Finding]:
    firsts = [(verdict.id, _shown_first(study, verdict)) for verdict in verdicts]
    known = [(id, first) for id, first in firsts if first is not None]
    if len(known) < FEWEST:
        return
    first, count = Counter(first for _, first in known).most_common(1)[0]
    if count >= ALWAYS * len(known):
        effect = (
            f"the judge saw {first} first in {count} of {len(known)} comparisons: judges prefer a side, and this "
            "cannot be told from a preference for the answer. Ask in both orders."
        )
        yield Finding(
            "fixed_order", "high", count, len(known), tuple(id for id, one in known if one == first), effect
        )


def _shown_first(study: AuditedStudy, verdict: _Verdict) -> str | None:
    named = _first_column(verdict.row)
    if named is not None:
        return named
    prompt = next(
        (verdict.row.values[n] for n in PROMPT_COLUMNS if isinstance(verdict.row.values.get(n), str)), None
    )
    texts = _texts(study, verdict)
    if prompt is None or texts is None:
        return None
    places = {
        name: prompt.find(text) for name, text in zip(("the base", "the tuned model"), texts, strict=True)
    }
    if min(places.values()) < 0 or len(set(places.values())) == 1:
        return None
    return min(places, key=lambda name: places[name])


def _texts(study: AuditedStudy, verdict: _Verdict) -> tuple[str, str] | None:
    """The base's and the tuned model's answer that the verdict is about."""
    found = [
        next((verdict.row.values[n] for n in names if isinstance(verdict.row.values.get(n), str)), None)
        for names in TEXT_COLUMNS.values()
    ]
    if None in found and len(study.systems) >= 2:
        found = [study.texts.get((system, verdict.id)) for system in study.systems[:2]]
    base, tuned = found
    return (base, tuned) if base is not None and tuned is not None else None


def _revealing(
    study: AuditedStudy, verdicts: Sequence[_Verdict], labels: dict[Outcome, list[str]]
) -> Iterator[Finding]:
    names = {clean_label(system) for system in study.systems}
    telling = [
        label for key in ("lost", "won") for label in labels[key] if label in names or REVEALING.search(label)
    ]
    if telling:
        ids = tuple(verdict.id for verdict in verdicts)
        effect = (
            f"the judge chose between labels that say which is which ({', '.join(map(repr, telling))}): it may have "
            "judged the name. Use neutral letters."
        )
        yield Finding("label_reveals_condition", "high", len(verdicts), len(verdicts), ids, effect)
        return
    prompts = [
        (v.id, next((v.row.values[n] for n in PROMPT_COLUMNS if isinstance(v.row.values.get(n), str)), ""))
        for v in verdicts
    ]
    told = [id for id, prompt in prompts if REVEALING.search(re.sub(r"(?s)```.*?```", "", prompt))]
    if told and any("judge_prompt" in verdict.row.values for verdict in verdicts):
        where = f"{len(told)} of {len(verdicts)} comparisons"
        effect = f"the judge's prompt names the condition in {where}: it may have judged the name."
        yield Finding("label_reveals_condition", "high", len(told), len(verdicts), tuple(told), effect)


def _lengths(study: AuditedStudy, verdict: _Verdict) -> tuple[float, float] | None:
    """Words of the base's and the tuned model's answer, or the lengths that the row tells."""
    texts = _texts(study, verdict)
    if texts is not None:
        return len(texts[0].split()), len(texts[1].split())
    base, tuned = verdict.row.number("base_length"), verdict.row.number("tuned_length")
    return None if base is None or tuned is None else (base, tuned)


def _length_bias(study: AuditedStudy, verdicts: Sequence[_Verdict]) -> Iterator[Finding]:
    from scipy.stats import binomtest

    decided = []
    for verdict in verdicts:
        lengths = _lengths(study, verdict)
        if lengths is None or verdict.outcome not in ("won", "lost"):
            continue
        base, tuned = lengths
        if base != tuned:
            decided.append((verdict.id, verdict.outcome == "won", tuned > base))
    if len(decided) < FEWEST:
        return
    longer = [id for id, won, is_longer in decided if won == is_longer]
    if len(longer) >= LONGER_WINS * len(decided) and binomtest(len(longer), len(decided)).pvalue < 0.05:
        wins = {}
        for is_longer in (True, False):
            of_these = [won for _, won, one in decided if one == is_longer]
            wins[is_longer] = f"{sum(of_these)} of {len(of_these)}"
        effect = (
            f"the longer answer won {len(longer)} of {len(decided)} decided comparisons. Tuned won {wins[True]} "
            f"where it was longer "
            f"and {wins[False]} where it was shorter: the judge rewards length, or length stands for something "
            f"it was asked for."
        )
        severity: Any = "high" if len(longer) >= 0.8 * len(decided) else "medium"
        yield Finding("length_bias", severity, len(longer), len(decided), tuple(longer), effect)
