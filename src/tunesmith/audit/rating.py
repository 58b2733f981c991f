"""People's ratings: of the same items for all systems, and none without a value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tunesmith.audit.study import AuditedStudy, Finding, Severity
from tunesmith.tables import TableRow

SYSTEM_COLUMNS = ("system", "model")
ITEM_COLUMNS = ("item", "item_id", "id")
VALUE_COLUMNS = ("rating", "score", "verdict", "grammar", "coherence", "correctness", "correct")
MANY = 0.05


def look_at_ratings(study: AuditedStudy) -> Iterator[Finding]:
    """Findings about ratings."""
    ids = [_text(row, ITEM_COLUMNS) or str(number) for number, row in enumerate(study.ratings, start=1)]
    yield from _different_items(study.ratings, ids)
    valued = [name for name in VALUE_COLUMNS if any(name in row.values for row in study.ratings)]
    empty = tuple(
        id
        for id, row in zip(ids, study.ratings, strict=True)
        if valued and all(row.values.get(name) in (None, "") for name in valued)
    )
    if empty:
        n = len(study.ratings)
        effect = f"{len(empty)} of {n} ratings have no value ({', '.join(valued)}): averages leave them out unseen."
        yield Finding("dropped_verdicts", _severity(len(empty), n), len(empty), n, empty, effect)


def _different_items(rows: Sequence[TableRow], ids: Sequence[str]) -> Iterator[Finding]:
    rated: dict[str, set[str]] = defaultdict(set)
    for id, row in zip(ids, rows, strict=True):
        system = _text(row, SYSTEM_COLUMNS)
        if system is not None:
            rated[system].add(id)
    if len(rated) < 2:
        return
    everything = {id for items in rated.values() for id in items}
    odd = tuple(sorted(id for id in everything if any(id not in items for items in rated.values())))
    if odd:
        n = len(everything)
        parts = ", ".join(f"{system} {len(items)}" for system, items in rated.items())
        effect = f"people rated different items of the systems ({parts} of {n}): the averages do not compare."
        yield Finding("different_items", _severity(len(odd), n), len(odd), n, odd, effect)


def _severity(count: int, n: int) -> Severity:
    return "high" if count > MANY * n else "medium"


def _text(row: TableRow, names: Sequence[str]) -> str | None:
    return next((row.text(name) for name in names if row.values.get(name) not in (None, "")), None)
