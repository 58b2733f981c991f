"""What `tunesmith doctor` shows: a line a check, and the first row with what is learnt of it marked."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tunesmith.display.console import plain_console
from tunesmith.doctor.check import Check

SIGNS = {"ok": "✓", "note": "!", "failed": "✗", "missing": "?"}
_STYLES = {"ok": "green", "note": "yellow", "failed": "bold red", "missing": "bold red"}
OPEN, CLOSE = "⟦", "⟧"
"""Stand round what is learnt where there is no colour."""


def show_checks(checks: Sequence[Check]) -> None:
    console = plain_console()
    for check in checks:
        line = Text(SIGNS[check.standing], style=_STYLES[check.standing])
        line.append(f" {check.name:<13} ", style="bold")
        line.append(check.words, style="none")
        console.print(line, soft_wrap=True)
        if check.do and check.standing != "ok":
            console.print(Text(f"  {'':<13} → {check.do}"), soft_wrap=True)


def show_example(pieces: Sequence[tuple[str, bool]]) -> None:
    """The first training row; learnt text is green on a terminal, and in brackets elsewhere."""
    if not pieces:
        return
    console = plain_console()
    is_coloured = console.is_terminal and not console.no_color
    mark = "green" if is_coloured else f"{OPEN}in brackets{CLOSE}"
    console.print(
        Text(f"\nThe first training row as the model sees it; what is learnt is {mark}:\n"), soft_wrap=True
    )
    console.print(picture(pieces, coloured=is_coloured), soft_wrap=True)


def picture(pieces: Sequence[tuple[str, bool]], *, coloured: bool) -> Text:
    shown = Text()
    for text, is_trained in pieces:
        if is_trained and coloured:
            shown.append(text, style="bold green")
        else:
            shown.append(f"{OPEN}{text}{CLOSE}" if is_trained else text)
    return shown
