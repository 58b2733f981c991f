"""The section on a judge: its verdicts as a bar, what they come to, and the reasons to doubt them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.report.section import Section
from tunesmith.report.study import Study
from tunesmith.report.words import MISSING, interval, number, places_for, shortened

TEXT_LETTERS = 400
REPLIES_LISTED = 50
"""Replies without a verdict that are shown; beyond these they are counted."""
OUTCOMES = (("wins", "won"), ("ties", "tied"), ("losses", "lost"), ("unparsed", "without a verdict"))


def judge_section(study: Study) -> Section | None:
    """What a judge said of the two systems; left out when nobody judged."""
    found = study.judge
    if found is None:
        return None
    replies = found["unparsed_replies"]
    return Section(
        "judge",
        "Judge",
        "judge.html.j2",
        {
            "judge": found["judge"],
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
            "notes": [*found["warnings"], *found["length_controlled"]["notes"]],
            "replies": [
                {**reply, "text": shortened(reply["text"], TEXT_LETTERS)}
                for reply in replies[:REPLIES_LISTED]
            ],
            "n_replies": len(replies),
        },
    )


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value, and interval or explanation. A judge that knows no order has no rates of order."""
    shown = [
        ("Net win rate", "net_win_rate", "wins and half of the ties"),
        (
            "Net win rate at equal length",
            "length_controlled",
            "what would be left if both wrote equally long answers",
        ),
    ]
    if found["flip_rate"]["n"]:
        shown += [
            ("Verdict changed with the order", "flip_rate", "of the items; such an item is a tie"),
            ("Chose the answer shown first", "first_position", "of the decided replies; a fair judge: half"),
        ]
    return [(title, *_estimate(found[name], words)) for title, name, words in shown]


def _estimate(part: Mapping[str, Any], words: str) -> tuple[str, str]:
    value, low, high = (part[name] for name in ("value", "low", "high"))
    if value is None:
        return MISSING, words
    places = places_for(value, low, high)
    return number(value, places), f"interval: {interval(low, high, places)}; {words}"
