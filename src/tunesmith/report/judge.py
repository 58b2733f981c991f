"""The section on a judge: its verdicts as a bar, its grades, how far people agree, and the reasons to doubt it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunesmith.report.section import Section
from tunesmith.report.study import Study
from tunesmith.report.words import MISSING, interval, metric_name, number, places_for, shortened

TEXT_LETTERS = 400
REPLIES_LISTED = 50
"""Replies without a verdict that are shown; beyond these they are counted."""
OUTCOMES = (("wins", "won"), ("ties", "tied"), ("losses", "lost"), ("unparsed", "without a verdict"))
FILLED = (("half", "half"), ("won", "won"), ("lost", "lost"))


def is_pairwise(found: Mapping[str, Any]) -> bool:
    """Whether a judge's summary tells of preferences, and not of grades alone."""
    return "wins" in found


def judge_section(study: Study) -> Section | None:
    """What a judge said of the systems; left out when nobody judged."""
    found = study.judge
    if found is None:
        return None
    replies = [*found.get("unparsed_replies", ()), *_ungraded(found)]
    return Section(
        "judge",
        "Judge",
        "judge.html.j2",
        {
            "judge": found["judge"],
            "pairwise": _pairwise(found) if is_pairwise(found) else None,
            "graded": _graded(found["graded"]) if "graded" in found else None,
            "people": _people(found["people"]) if "people" in found else None,
            "notes": judge_notes(found),
            "replies": [
                {**reply, "text": shortened(reply["text"], TEXT_LETTERS)}
                for reply in replies[:REPLIES_LISTED]
            ],
            "n_replies": len(replies),
        },
    )


def judge_notes(found: Mapping[str, Any]) -> list[str]:
    """Every reason to doubt the judge, in sentences."""
    notes = [*found.get("warnings", ())]
    if is_pairwise(found):
        notes += found["length_controlled"]["notes"]
    for part in ("graded", "people"):
        notes += found.get(part, {}).get("warnings", ())
    return list(dict.fromkeys(notes))


def _pairwise(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "words": found["words"],
        "bar": [
            {
                "name": name,
                "words": words,
                "count": found[name],
                "percent": 100 * found[name] / found["n"],
            }
            for name, words in OUTCOMES
        ],
        "facts": _facts(found),
        "controls": [
            (name, f"{one['wins']} / {one['ties']} / {one['losses']}")
            for name, one in found.get("controls", {}).items()
        ],
        "attributes": [
            {
                "attribute": row["attribute"],
                "value": row["value"],
                "n": row["n"],
                "counts": f"{row['wins']} / {row['ties']} / {row['losses']}",
                "rate": with_span(row["net_win_rate"]),
                "ratio": with_span(row["ratio"]),
            }
            for row in found.get("attributes", ())
        ],
    }


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value, and interval or explanation. A judge that knows no order has no rates of order."""
    shown = [("Net win rate", "net_win_rate", "wins and half of the ties")]
    if "ratio" in found:
        adjusted = "; half a win and half a loss added" if found["ratio"]["adjusted"] else ""
        shown.append(("Wins for each loss", "ratio", f"ties apart{adjusted}"))
    if found.get("graded_preference", {}).get("n"):
        shown.append(
            ("Mean preference", "graded_preference", "by the judge's probabilities, a tie as half; even: 0.5")
        )
    shown.append(
        (
            "Net win rate at equal length",
            "length_controlled",
            "what would be left if both wrote equally long answers",
        )
    )
    if found["flip_rate"]["n"]:
        shown += [
            ("Verdict changed with the order", "flip_rate", "of the items; such an item is a tie"),
            ("Chose the answer shown first", "first_position", "of the decided replies; a fair judge: half"),
        ]
    facts = [(title, *_estimate(found[name], words)) for title, name, words in shown]
    if found["unparsed"] and "net_win_rate_if_unparsed" in found:
        filled = found["net_win_rate_if_unparsed"]
        values = ", ".join(f"{number(filled[name], 3)} as {words}" for name, words in FILLED)
        facts.append(
            ("Net win rate over all items", number(filled["half"], 3), f"no verdict counted: {values}")
        )
    return facts


def _estimate(part: Mapping[str, Any], words: str) -> tuple[str, str]:
    value, low, high = (part[name] for name in ("value", "low", "high"))
    if value is None:
        return MISSING, words
    places = places_for(value, low, high)
    return number(value, places), f"interval: {interval(low, high, places)}; {words}"


def with_span(part: Mapping[str, Any]) -> str:
    """A value with its interval, of equal decimals."""
    value, low, high = (part[name] for name in ("value", "low", "high"))
    if value is None:
        return MISSING
    places = places_for(value, low, high)
    return f"{number(value, places)} ({interval(low, high, places)})"


def _graded(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rows": [
            {
                "system": row["system"],
                "metric": metric_name(row["metric"]),
                "mean": with_span(row),
                "n": row["n"],
                "without": _statuses(row),
            }
            for row in found["scores"]
        ],
        "attributes": [
            {
                "attribute": row["attribute"],
                "value": row["value"],
                "system": row["system"],
                "metric": metric_name(row["metric"]),
                "mean": with_span({**row, "value": row["mean"]}),
                "n": row["n"],
            }
            for row in found["attributes"]
        ],
    }


def _statuses(row: Mapping[str, Any]) -> str:
    """Why answers have no grade, or were not asked about; empty when all were graded."""
    return ", ".join(f"{count} {status}" for status, count in row["status"].items() if status != "ok")


def _ungraded(found: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for reply in found.get("graded", {}).get("ungraded", ()):
        yield {**reply, "id": f"{reply['id']} ({reply['system']}, {metric_name(reply['metric'])})"}


def _people(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rows": [_agreement(what, part) for what, part in found["agreements"].items()],
        "unknown": found["unknown"],
        "tables": [
            (_rated_name(what), list(part["table"]), _cells(part["table"]))
            for what, part in found["agreements"].items()
        ],
    }


def _agreement(what: str, part: Mapping[str, Any]) -> dict[str, Any]:
    people = part.get("people")
    return {
        "what": _rated_name(what),
        "n": part["n"],
        "share": with_span(part["share"]),
        "kappa": with_span(part.get("weighted_kappa", part["kappa"])),
        "is_weighted": "weighted_kappa" in part,
        "alpha": with_span(part["alpha"]),
        "people": MISSING if people is None else number(people["share"], 3),
    }


def _rated_name(what: str) -> str:
    return "Preference" if what == "verdict" else metric_name(what)


def _cells(table: Mapping[str, Mapping[str, int]]) -> Sequence[tuple[str, list[int]]]:
    return [(name, list(row.values())) for name, row in table.items()]
