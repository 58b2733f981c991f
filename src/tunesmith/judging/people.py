"""How far people agree with the judge: their verdicts or ratings of the same items, read from a file and held against
the judge's.

A judge is believed only as far as that. Several raters of one item count by their majority; where there is none, the
item says nothing about the judge and is counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from tunesmith.compare.agreement import RatedItem, agreement, alpha
from tunesmith.compare.judged import settle
from tunesmith.compare.labels import TIE_LABELS, Outcome, clean_label, parse_label
from tunesmith.errors import InputError
from tunesmith.records import Grade, Judgement
from tunesmith.score.judging.pointwise import grade_name
from tunesmith.score.judging.replies import GRADES
from tunesmith.tables import TableRow, read_table

VERDICT = "verdict"
"""The column of a preference, and what the agreement on it is called."""
ONE_RATER = "people"
JUDGE = "\0judge"
"""No rater can be called this."""
OUTCOMES = ("lost", "tied", "won")
VALUES = ("0", "0.5", "1")
ENOUGH = 50
"""Items that people have rated, below which their agreement says little."""
SHORTFALL = 0.1
"""The judge may agree with people this much less than they with each other before it is called indicative only."""

Key = tuple[str, str, str]
"""(what was rated, item, system); the system is empty for a preference."""


@dataclass
class People:
    """What people said."""

    ratings: dict[Key, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """What was rated to rater to category."""
    unread: list[dict[str, str]] = field(default_factory=list)
    """{id, rater, what, text} of what is on no scale."""


def people_agreement(
    path: Path, judgements: Sequence[Judgement], grades: Sequence[Grade], *, seed: int = 20
) -> dict[str, Any]:
    """The agreement of the judge with people, for the preference and for each criterion.

    Args:
        path: rows with `id` and `verdict` (a system's name, `base`, `tuned`, `win`, `loss` or `tie`), or with `id` and
            a column for each criterion (0, 0.5 or ½, 1), or `id`, `criterion` and `value`; with `system` where several
            were graded; with `rater` where several people rated.
        judgements: of the judge, with its controls.
        grades: of the judge.
        seed: of the resampling.

    Returns:
        `agreements` {what: {n, share, kappa, weighted_kappa for grades, table, alpha {n, raters, value, low, high} over
        judge and people; with several raters also `people` {share, n, alpha}; no_majority, no_verdict}};
        `unknown`: ratings of items that the judge did not judge; `unread` [{id, rater, what, text}];
        `warnings` [sentence].

    Raises:
        InputError: the file cannot be used, a person rated one thing twice, or nothing in it was judged.
    """
    said, source_of = _said_by_judge(judgements, grades)
    people = _read(path, judgements, grades)
    common = [key for key in people.ratings if key in source_of]
    if not common:
        raise InputError(
            "none of these ratings is of something that was judged",
            where=str(path),
            do="give the ids (and systems) of the judged files",
        )
    found: dict[str, Any] = {"agreements": {}, "unknown": len(people.ratings) - len(common)}
    for what in dict.fromkeys(what for what, _, _ in common):
        keys = [key for key in common if key[0] == what]
        found["agreements"][what] = _agreement(what, keys, people, said, source_of, seed)
    found["unread"] = people.unread
    found["warnings"] = list(_warnings(found))
    return found


def _said_by_judge(
    judgements: Sequence[Judgement], grades: Sequence[Grade]
) -> tuple[dict[Key, str], dict[Key, str]]:
    """The judge's category and the source of everything that it was asked; without a verdict only the source."""
    said: dict[Key, str] = {}
    source_of: dict[Key, str] = {}
    for item in settle(judgement for judgement in judgements if not judgement.control):
        source_of[VERDICT, item.id, ""] = item.source_id
        if item.outcome is not None:
            said[VERDICT, item.id, ""] = item.outcome
    for grade in grades:
        key = (grade_name(grade.mode, grade.criterion), grade.id, grade.system)
        source_of[key] = grade.source_id
        if grade.value is not None:
            said[key] = f"{grade.value:g}"
    return said, source_of


def _agreement(
    what: str,
    keys: Sequence[Key],
    people: People,
    said: Mapping[Key, str],
    source_of: Mapping[Key, str],
    seed: int,
) -> dict[str, Any]:
    categories, is_ordinal = (OUTCOMES, False) if what == VERDICT else (VALUES, True)
    pooled, everybody, alone = [], [], []
    n_split = n_silent = 0
    for key in keys:
        ratings, source = people.ratings[key], source_of[key]
        judge = {JUDGE: said[key]} if key in said else {}
        majority = _majority(list(ratings.values()))
        n_split += majority is None
        n_silent += not judge
        voice = {} if majority is None else {ONE_RATER: majority}
        pooled.append(RatedItem(source, {**judge, **voice}))
        everybody.append(RatedItem(source, {**judge, **ratings}))
        alone.append(RatedItem(source, ratings))
    found = agreement(pooled, JUDGE, ONE_RATER, categories, is_ordinal=is_ordinal, seed=seed)
    found["alpha"] = alpha(everybody, categories, is_ordinal=is_ordinal, seed=seed)
    if any(len(item.ratings) > 1 for item in alone):
        pairs = [one == other for item in alone for one, other in combinations(item.ratings.values(), 2)]
        found["people"] = {
            "share": sum(pairs) / len(pairs),
            "n": len(pairs),
            "alpha": alpha(alone, categories, is_ordinal=is_ordinal, seed=seed),
        }
    return found | {"no_majority": n_split, "no_verdict": n_silent}


def _majority(said: Sequence[str]) -> str | None:
    """What more people said than anything else."""
    (first, most), *others = Counter(said).most_common(2)
    return None if others and others[0][1] == most else first


def _warnings(found: Mapping[str, Any]) -> Iterator[str]:
    for what, part in found["agreements"].items():
        if part["n"] < ENOUGH:
            yield (
                f"people and judge can be compared on {part['n']} items of {what}: fewer than {ENOUGH} say little"
            )
        people, share = part.get("people"), part["share"]["value"]
        if people and share is not None and share < people["share"] - SHORTFALL:
            yield (
                f"on {what} the judge agrees with people in {share:.0%} of items, people with each other in"
                f" {people['share']:.0%}: take the judge's verdict as indicative only"
            )
        kappa = part["kappa"]
        if kappa["low"] is not None and kappa["low"] <= 0:
            yield f"on {what} the judge agrees with people no more than chance may do"
    if found["unread"]:
        yield f"{len(found['unread'])} of the people's ratings are on no scale and are left out"


def _read(path: Path, judgements: Sequence[Judgement], grades: Sequence[Grade]) -> People:
    people = People()
    labels = _labels(judgements)
    systems = list(dict.fromkeys(grade.system for grade in grades))
    metrics = _metrics(grades)
    seen: dict[tuple[Key, str], str] = {}
    n_rows = 0
    for row in read_table(path):
        n_rows += 1
        rater = (row.text("rater") or ONE_RATER).strip()
        for key, text in _cells(row, labels, metrics, systems):
            if (key, rater) in seen:
                raise InputError(
                    f"{rater} rated {key[0]} of item {key[1]} before ({seen[key, rater]})",
                    where=row.where,
                    do="keep one row per item and person; name several people in a column `rater`",
                )
            seen[key, rater] = row.where
            category = parse_label(text, labels) if key[0] == VERDICT else _grade(text)
            if category is None:
                people.unread.append({"id": key[1], "rater": rater, "what": key[0], "text": text})
            else:
                people.ratings[key][rater] = category
    if not n_rows:
        raise InputError("there are no ratings in this file", where=str(path), do="check the file")
    return people


def _labels(judgements: Sequence[Judgement]) -> dict[Outcome, Sequence[str]]:
    """What a preference may be called. A system's own name counts before any general word."""
    if not judgements:
        return {}
    names = {clean_label(judgements[0].base): "lost", clean_label(judgements[0].tuned): "won"}
    general: dict[Outcome, tuple[str, ...]] = {
        "lost": ("base", "loss", "lost"),
        "won": ("tuned", "win", "won"),
        "tied": TIE_LABELS,
    }
    return {
        outcome: [
            *(name for name, of in names.items() if of == outcome),
            *(word for word in words if clean_label(word) not in names),
        ]
        for outcome, words in general.items()
    }


def _metrics(grades: Sequence[Grade]) -> dict[str, list[str]]:
    """What a column may be called to the metrics it rates: people's `correctness` is the same to both modes."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for grade in grades:
        metric = grade_name(grade.mode, grade.criterion)
        found[_plain(grade.criterion)][metric] = None
        found[_plain(metric)][metric] = None
    return {name: list(metrics) for name, metrics in found.items()}


def _cells(
    row: TableRow,
    labels: Mapping[Outcome, Sequence[str]],
    metrics: Mapping[str, Sequence[str]],
    systems: Sequence[str],
) -> Iterator[tuple[Key, str]]:
    """Every rating of a row as it is written; an empty cell is none."""
    id = (row.text("id") or "").strip()
    if not id:
        raise InputError("this row has no id", where=row.where, do="give the id of the judged item")
    columns = {_plain(str(name)): str(name) for name in row.values}
    written: dict[str, str | None] = {}
    if "criterion" in columns and "value" in columns:
        criterion = _plain(row.text(columns["criterion"]) or "")
        if criterion not in metrics:
            raise InputError(
                f"nothing was graded on {criterion!r}; there are: {', '.join(metrics) or 'no grades'}",
                where=row.where,
                do="name a criterion that was judged",
            )
        written[criterion] = row.text(columns["value"])
    else:
        written = {name: row.text(columns[name]) for name in metrics if name in columns}
    is_preference = bool(labels) and VERDICT in columns
    if not written and not is_preference:
        wanted = [*([VERDICT] if labels else []), *metrics]
        raise InputError(
            f"there is no column {' or '.join(wanted)}; there are: {', '.join(map(str, row.values))}",
            where=row.where,
            do="name the column after what was judged",
        )
    if is_preference and (text := (row.text(columns[VERDICT]) or "").strip()):
        yield (VERDICT, id, ""), text
    if not written:
        return
    system = row.text("system") or (systems[0] if len(systems) == 1 else None)
    if system is None or system not in systems:
        raise InputError(
            f"which system's answer is rated? there are: {', '.join(systems)}"
            if system is None
            else f"no answers of {system!r} were graded; there are: {', '.join(systems)}",
            where=row.where,
            do="name it in a column `system`",
        )
    for name, cell in written.items():
        if cell is not None and cell.strip():
            for metric in metrics[name]:
                yield (metric, id, system), cell.strip()


def _grade(text: str) -> str | None:
    value = GRADES.get(text)
    if value is None:
        try:
            value = float(text)
        except ValueError:
            return None
    said = f"{value:g}"
    return said if said in VALUES else None


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
