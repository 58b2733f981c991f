"""How the command line prints: the console, and numbers."""

from __future__ import annotations

from typing import Any

from rich.console import Console

PLAIN_WIDTH = 110
"""Columns of what is written to a file or a pipe."""


def plain_console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, PLAIN_WIDTH)
    return console


def number(value: float | None, *, signed: bool = False) -> str:
    """Three significant digits; an en dash for what is missing."""
    if value is None:
        return "–"
    sign = "+" if signed else ""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:{sign}.0f}"
    if abs(value) < 0.001:
        return f"{value:{sign}.1g}"
    return f"{value:{sign}.3g}"


def with_interval(part: dict[str, Any]) -> str:
    return f"{number(part['value'])} ({number(part['low'])} … {number(part['high'])})"
