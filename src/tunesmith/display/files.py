"""What `score`, `compare`, `tally` and `estimate` print for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tunesmith.display.console import number, plain_console, with_interval
from tunesmith.display.runs import comparison_table
from tunesmith.records import Comparison


def show_scores(found: dict[str, Any]) -> None:
    """What `tunesmith score` prints for people; the signatures stand below the table."""
    console = plain_console()
    table = Table()
    for heading in ("system", "metric"):
        table.add_column(heading, no_wrap=True)
    for heading in ("value", "95 % interval", "floor", "items", "documents"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status")
    for row in found["scores"]:
        table.add_row(
            row["system"],
            row["metric"] + ("" if row["higher_is_better"] else " ↓"),
            number(row["value"]),
            f"{number(row['low'])} … {number(row['high'])}",
            number(row["floor"]),
            str(row["n"]),
            str(row["clusters"]),
            ("" if row["is_valid"] else "INVALID: ")
            + ", ".join(f"{count} {status}" for status, count in row["status"].items()),
        )
    console.print(table)
    if any(row["floor"] is not None for row in found["scores"]):
        console.print("floor: each answer held against another item's reference", style="dim")
    if not all(row["is_valid"] for row in found["scores"]):
        console.print("INVALID: too many items failed or could not be scored for the value to speak for all")
    for metric, signature in {row["metric"]: row["signature"] for row in found["scores"]}.items():
        console.print(f"{metric}: {signature}", soft_wrap=True, style="dim")


def show_comparisons(found: dict[str, Any]) -> None:
    """What `tunesmith compare` prints for people."""
    console = plain_console()
    comparisons = []
    for row in found["comparisons"]:
        fields = {**row, "n_sources": row["clusters"], "warnings": tuple(row["warnings"])}
        fields.pop("clusters")
        comparisons.append(Comparison(**fields))
    console.print(comparison_table(comparisons))
    for one in comparisons:
        console.print(one.words, soft_wrap=True)
    for spread in found.get("seeds", ()):
        console.print(f"{spread['metric']}, over seeds: {spread['words']}", soft_wrap=True)
    for warning in dict.fromkeys(warning for one in comparisons for warning in one.warnings):
        console.print(f"Note: {warning}", soft_wrap=True)


def show_tally(found: dict[str, Any]) -> None:
    """What `tunesmith tally` prints for people; a second judge's count stands beside the first."""
    console = plain_console()
    counts = [found, found["other"]] if "other" in found else [found]
    table = Table("", *(("first", "second")[: len(counts)] if len(counts) > 1 else ("count",)))
    for name in ("n", "wins", "losses", "ties", "unparsed"):
        table.add_row(name, *(str(one[name]) for one in counts))
    for name in ("win_rate", "net_win_rate", "ratio"):
        table.add_row(name.replace("_", " "), *(with_interval(one[name]) for one in counts))
    for name, label in (("half", "as half"), ("won", "all won"), ("lost", "all lost")):
        row = (number(one["net_win_rate_if_unparsed"][name]) for one in counts)
        table.add_row(f"net win rate, unparsed {label}", *row)
    console.print(table)
    for one in counts:
        console.print(one["words"], soft_wrap=True)
        for text, count in one["unparsed_texts"].items():
            console.print(f"not understood, {count} times: {text!r}", soft_wrap=True, markup=False)
    if "mcnemar" in found:
        test = found["mcnemar"]
        console.print(
            f"tuned wins by the first only {test['first_only']} times, by the second only {test['second_only']} times;"
            f" exact McNemar p = {number(test['p'])}, {test['n']} items",
            soft_wrap=True,
        )


def show_estimate(found: dict[str, Any]) -> None:
    """What `tunesmith estimate` prints for people."""
    console = plain_console()
    table = Table("items", "smallest difference seen")
    for row in found["table"]:
        table.add_row(f"{row['items']:,}", number(row["detectable"]))
    console.print(table)
    console.print(
        f"seen in {found['power']:.0%} of cases at {found['confidence']:.0%} confidence; items differ by"
        f" {number(found['deviation'])} (standard deviation), {number(found['items_per_source'])} items a document,"
        f" correlation {number(found['correlation'])} within one",
        soft_wrap=True,
    )
    if found["needed"]:
        needed = found["needed"]
        console.print(f"A difference of {number(needed['difference'])} takes {needed['items']:,} items.")
