"""What `judge` prints for people, and `tally` of what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from tunesmith.display.console import number, plain_console, with_interval
from tunesmith.judging.cost import cost_words

SHOWN_CHARACTERS = 200
"""Of a judge's reply that could not be read."""
SHOWN_REPLIES = 20


def show_cost(cost: dict[str, Any], judge: str) -> None:
    """What a judge will be asked, on standard error before it is; nothing where nobody is asked."""
    if cost["requests"]:
        Console(stderr=True, highlight=False).print(
            f"Asking {judge}: {cost_words(cost)}", soft_wrap=True, markup=False
        )


def show_judged(found: dict[str, Any]) -> None:
    """What `tunesmith judge` prints for people: the result, what qualifies it, and what could not be read."""
    console = plain_console()
    if "wins" in found:
        _show_pairwise(console, found)
    if "graded" in found:
        _show_graded(console, found["graded"])
    if "people" in found:
        _show_people(console, found["people"])
    if "mcnemar" in found:
        test = found["mcnemar"]
        console.print(
            f"Against the second judge {found['other']['judge']}: tuned wins by the first only"
            f" {test['first_only']} times, by the second only {test['second_only']} times;"
            f" exact McNemar p = {number(test['p'])}, {test['n']} items",
            soft_wrap=True,
            markup=False,
        )


def _show_pairwise(console: Console, found: Mapping[str, Any]) -> None:
    console.print(f"{found['judge']}: {found['base']} against {found['tuned']}", soft_wrap=True, markup=False)
    table = Table("", "")
    table.add_row("items", str(found["n"]))
    table.add_row("won / tied / lost", f"{found['wins']} / {found['ties']} / {found['losses']}")
    table.add_row("without a verdict", str(found["unparsed"]))
    table.add_row("net win rate", with_interval(found["net_win_rate"]))
    if found["unparsed"]:
        filled = found["net_win_rate_if_unparsed"]
        table.add_row("  these as half / won / lost", " / ".join(number(filled[one]) for one in filled))
    table.add_row("wins among decided", with_interval(found["win_rate"]))
    table.add_row(
        "ratio of wins to losses" + (" (adjusted)" if found["ratio"]["adjusted"] else ""),
        with_interval(found["ratio"]),
    )
    if found["graded_preference"]["n"]:
        table.add_row("mean preference for tuned", with_interval(found["graded_preference"]))
    table.add_row("at equal length", with_interval(found["length_controlled"]))
    if found["flip_rate"]["n"]:
        table.add_row("verdict changed with the order", with_interval(found["flip_rate"]))
        table.add_row("chose the answer shown first", with_interval(found["first_position"]))
    for name, control in found["controls"].items():
        table.add_row(f"control: {name}", f"{control['wins']} / {control['ties']} / {control['losses']}")
    console.print(table)
    if found["attributes"]:
        by = Table("attribute", "value", "items", "won / tied / lost", "net win rate", "ratio")
        for row in found["attributes"]:
            by.add_row(
                row["attribute"],
                row["value"],
                str(row["n"]),
                f"{row['wins']} / {row['ties']} / {row['losses']}",
                with_interval(row["net_win_rate"]),
                with_interval(row["ratio"]),
            )
        console.print(by)
    _show_left_out(console, found["attributes_left_out"])
    console.print(found["words"], soft_wrap=True, markup=False)
    for note in (*found["length_controlled"]["notes"], *found["warnings"]):
        console.print(f"Note: {note}", soft_wrap=True, markup=False)
    _show_replies(console, found["unparsed_replies"])


def _show_graded(console: Console, found: Mapping[str, Any]) -> None:
    console.print(f"{found['judge']}: grades from 0 to 1", soft_wrap=True, markup=False)
    table = Table("system", "grade", "mean", "95 % interval", "items", "documents", "status")
    for row in found["scores"]:
        table.add_row(
            row["system"],
            row["metric"],
            number(row["value"]),
            f"{number(row['low'])} … {number(row['high'])}",
            str(row["n"]),
            str(row["clusters"]),
            ", ".join(f"{count} {status}" for status, count in row["status"].items()),
        )
    console.print(table)
    for row in found.get("comparisons", ()):
        console.print(row["words"], soft_wrap=True, markup=False)
    if found["attributes"]:
        by = Table("attribute", "value", "system", "grade", "mean", "items")
        for row in found["attributes"]:
            by.add_row(
                row["attribute"],
                row["value"],
                row["system"],
                row["metric"],
                with_interval({"value": row["mean"], "low": row["low"], "high": row["high"]}),
                str(row["n"]),
            )
        console.print(by)
    _show_left_out(console, found["attributes_left_out"])
    notes = [warning for row in found.get("comparisons", ()) for warning in row["warnings"]]
    for left in found.get("left_out", ()):
        notes.append(
            f"{left['n']} items were answered by only one of {left['base']} and {left['tuned']}: not compared"
        )
    for note in dict.fromkeys([*notes, *found["warnings"]]):
        console.print(f"Note: {note}", soft_wrap=True, markup=False)
    _show_replies(console, found["ungraded"])


def _show_people(console: Console, found: Mapping[str, Any]) -> None:
    console.print("Judge and people:")
    table = Table("on", "items", "agree", "Cohen's kappa", "Krippendorff's alpha", "people with each other")
    for what, part in found["agreements"].items():
        kappa = part.get("weighted_kappa", part["kappa"])
        people = part.get("people")
        table.add_row(
            what,
            str(part["n"]),
            with_interval(part["share"]),
            with_interval(kappa) + (" weighted" if "weighted_kappa" in part else ""),
            with_interval(part["alpha"]),
            "–" if people is None else f"{number(people['share'])}, alpha {number(people['alpha']['value'])}",
        )
    console.print(table)
    if found["unknown"]:
        console.print(f"Note: {found['unknown']} ratings are of items that were not judged")
    for note in found["warnings"]:
        console.print(f"Note: {note}", soft_wrap=True, markup=False)
    for one in found["unread"][:SHOWN_REPLIES]:
        console.print(
            f"item {one['id']}, {one['rater']} on {one['what']}, on no scale: {one['text']!r}",
            soft_wrap=True,
            markup=False,
        )


def _show_left_out(console: Console, names: list[str]) -> None:
    if names:
        console.print(f"Note: not shown by {', '.join(names)}: too many values", soft_wrap=True, markup=False)


def _show_replies(console: Console, replies: list[dict[str, Any]]) -> None:
    for reply in replies[:SHOWN_REPLIES]:
        said = " ".join(reply["text"].split())[:SHOWN_CHARACTERS]
        of = f" of {reply['system']}, {reply['metric']}" if "metric" in reply else ""
        console.print(f"item {reply['id']}{of}, {reply['status']}: {said!r}", soft_wrap=True, markup=False)
    if len(replies) > SHOWN_REPLIES:
        console.print(f"… and {len(replies) - SHOWN_REPLIES:,} more; --json or --out has them all")
