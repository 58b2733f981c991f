"""What the command line shows of a run: a line a stage, a bar for long work, and the verdict at the end."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from tunesmith.display.console import PLAIN_WIDTH, number, plain_console
from tunesmith.pipeline import Standing, Watcher
from tunesmith.records import Comparison, as_row
from tunesmith.store import StageState, read_rows

if TYPE_CHECKING:
    from tunesmith.forecast import Outlook

DRAINING = "synthesize"
"""The stage that ends an interrupted run by itself: it still keeps the replies that are on their way."""
LINE_EVERY_S = 15.0
"""How often a log that is not a terminal hears of progress."""


class StageDisplay(Watcher):
    """Shows a run on standard error: a moving bar on a terminal, plain lines elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        if not self.console.is_terminal:
            self.console.width = max(self.console.width, PLAIN_WIDTH)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[what]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=quiet or not self.console.is_terminal,
        )
        self._task: Any = None
        self._stage = ""
        self._last_line = 0.0
        self._is_interrupted = False
        self._handler_before: Any = None

    def __enter__(self) -> StageDisplay:
        self._handler_before = signal.getsignal(signal.SIGINT)
        # In the background of a script Ctrl-C is not for us: then the shell has set it to be ignored.
        if self._handler_before != signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()
        signal.signal(signal.SIGINT, self._handler_before)

    def _interrupt(self, *_: object) -> None:
        self._is_interrupted = True
        raise KeyboardInterrupt

    def _stop_if_interrupted(self) -> None:
        """Ctrl-C in the middle of an import or a clean-up can be swallowed by a library; the run stops all the same."""
        if self._is_interrupted:
            raise KeyboardInterrupt

    def stage_begins(self, name: str, standing: Standing) -> None:
        self._stop_if_interrupted()
        self._stage = name
        self._last_line = time.monotonic()
        self._task = self._bars.add_task(f"{name:<10}", total=None, what="")
        if standing == "partly done":
            self.console.print(f"  {name:<10} goes on where it was")

    def progress(self, done: int, total: int | None, what: str) -> None:
        if self._stage != DRAINING:
            self._stop_if_interrupted()
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, what=what)
        if not self.console.is_terminal and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            of = f" of {total}" if total is not None else ""
            self.console.print(f"  {self._stage:<10} {done}{of} {what}")

    def stage_ends(self, name: str, state: StageState, was_cached: bool) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        counts = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in state.counts.items())
        took = "nothing to do: done before" if was_cached else f"{state.seconds:.1f} s"
        self.console.print(f"✓ {name:<10} {took}  {counts}")


def show_result(folder: Path, until: str | None = None) -> None:
    """The verdict table, and the report's path as the last line. Nothing but the path when there is no verdict yet."""
    console = plain_console()
    comparisons, report = _reached(folder, until)
    if comparisons:
        console.print(comparison_table(comparisons))
        for comparison in comparisons:
            if comparison.is_primary:
                console.print(f"\n{comparison.words}", soft_wrap=True)
                for warning in comparison.warnings:
                    console.print(f"Note: {warning}", soft_wrap=True)
    print(report or folder)


def _reached(folder: Path, until: str | None) -> tuple[list[Comparison], Path | None]:
    """The verdicts and the report of this run; not those of an earlier setting when the run stopped before them."""
    report = folder / "report/report.html"
    is_compared = until in (None, "compare", "report")
    comparisons = list(read_rows(folder / "compare/comparisons.jsonl", Comparison)) if is_compared else []
    return comparisons, report if until in (None, "report") and report.exists() else None


def comparison_table(comparisons: list[Comparison]) -> Table:
    """The verdict table; ↓ marks metrics of which less is better, * the one named before the run."""
    first = comparisons[0]
    table = Table(caption=_size_of(comparisons), caption_justify="left")
    table.add_column("metric", no_wrap=True)
    names = (first.base, first.tuned)
    several = any((one.base, one.tuned) != names for one in comparisons)
    if several:
        table.add_column("systems")
        names = ("base", "tuned")
    for heading in (*names, "difference", "interval", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for one in comparisons:
        table.add_row(
            one.metric + ("" if one.higher_is_better else " ↓") + (" *" if one.is_primary else ""),
            *([f"{one.tuned} against {one.base}"] if several else []),
            number(one.base_value),
            number(one.tuned_value),
            number(one.difference, signed=True),
            f"{number(one.low, signed=True)} … {number(one.high, signed=True)}",
            number(one.p_holm),
            one.verdict,
        )
    return table


def _size_of(comparisons: list[Comparison]) -> str:
    """`60 items in 12 documents`, the most where metrics could not all score the same."""
    n, documents = (max(getattr(one, name) for one in comparisons) for name in ("n", "n_sources"))
    return f"{n} item{'' if n == 1 else 's'} in {documents} document{'' if documents == 1 else 's'}"


def result_json(folder: Path, until: str | None = None) -> dict[str, Any]:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    comparisons, report = _reached(folder, until)
    return {
        "run": str(folder),
        "report": str(report) if report else None,
        "comparisons": [as_row(comparison) for comparison in comparisons],
        "stages": {
            name: {key: state[key] for key in ("seconds", "counts", "status", "measured") if state.get(key)}
            for name, state in manifest["stages"].items()
        },
    }


def show_outlook(outlook: Outlook, folder: Path) -> None:
    console = Console(highlight=False)
    console.print(f"The plan is valid. Run folder: {folder}", soft_wrap=True)
    table = Table()
    for heading in ("stage", "standing", "size", "about"):
        table.add_column(heading)
    for line in outlook.stages:
        table.add_row(line.name, line.standing, line.size, line.time_in_words)
    console.print(table)
    for remark in outlook.remarks:
        console.print(remark, soft_wrap=True)
