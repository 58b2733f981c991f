"""What `judge` prints for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from tunesmith.display.console import plain_console, with_interval

SHOWN_CHARACTERS = 200
"""Of a judge's reply that could not be read."""


def show_cost(cost: dict[str, Any], judge: str) -> None:
    """What a judge will be asked, on standard error before it is; nothing where nobody is asked."""
    if cost["requests"]:
        most = cost["most_requests"]
        further = f", at most {most:,} with further votes" if most > cost["requests"] else ""
        Console(stderr=True, highlight=False).print(
            f"Asking {judge}: {cost['requests']:,} requests{further}, {cost['prompt_characters']:,} characters;"
            " replies in the journal are not asked for again",
            soft_wrap=True,
            markup=False,
        )


def show_judged(found: dict[str, Any]) -> None:
    """What `tunesmith judge` prints for people: the result, what qualifies it, and what could not be read."""
    console = plain_console()
    console.print(f"{found['judge']}: {found['base']} against {found['tuned']}", soft_wrap=True, markup=False)
    table = Table("", "")
    table.add_row("items", str(found["n"]))
    table.add_row("won / tied / lost", f"{found['wins']} / {found['ties']} / {found['losses']}")
    table.add_row("without a verdict", str(found["unparsed"]))
    table.add_row("net win rate", with_interval(found["net_win_rate"]))
    table.add_row("at equal length", with_interval(found["length_controlled"]))
    if found["flip_rate"]["n"]:
        table.add_row("verdict changed with the order", with_interval(found["flip_rate"]))
        table.add_row("chose the answer shown first", with_interval(found["first_position"]))
    console.print(table)
    console.print(found["words"], soft_wrap=True, markup=False)
    for note in (*found["length_controlled"]["notes"], *found["warnings"]):
        console.print(f"Note: {note}", soft_wrap=True, markup=False)
    for reply in found["unparsed_replies"]:
        said = " ".join(reply["text"].split())[:SHOWN_CHARACTERS]
        console.print(f"item {reply['id']}, {reply['status']}: {said!r}", soft_wrap=True, markup=False)
