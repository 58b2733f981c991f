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

from tunesmith.pipeline import Standing, Watcher
from tunesmith.records import Comparison, as_row
from tunesmith.store import StageState, read_rows, write_atomically

if TYPE_CHECKING:
    from tunesmith.forecast import Outlook
    from tunesmith.report.findings import Audit

PLAIN_WIDTH = 110
"""Columns of what is written to a file or a pipe."""
DRAINING = "synthesize"
"""The stage that ends an interrupted run by itself: it still keeps the replies that are on their way."""
LINE_EVERY_S = 15.0
"""How often a log that is not a terminal hears of progress."""
SHOWN_CHARACTERS = 200
"""Of a judge's reply that could not be read."""


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
    console = _plain_console()
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
    table = Table(
        caption=f"{first.n} items in {first.n_sources} document{'' if first.n_sources == 1 else 's'}",
        caption_justify="left",
    )
    table.add_column("metric", no_wrap=True)
    for heading in (first.base, first.tuned, "difference", "95 % interval", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for one in comparisons:
        table.add_row(
            one.metric + ("" if one.higher_is_better else " ↓") + (" *" if one.is_primary else ""),
            number(one.base_value),
            number(one.tuned_value),
            number(one.difference, signed=True),
            f"{number(one.low, signed=True)} … {number(one.high, signed=True)}",
            number(one.p_holm),
            one.verdict,
        )
    return table


def _plain_console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, PLAIN_WIDTH)
    return console


def show_scores(found: dict[str, Any]) -> None:
    """What `tunesmith score` prints for people; the signatures stand below the table."""
    console = _plain_console()
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
            ", ".join(f"{count} {status}" for status, count in row["status"].items()),
        )
    console.print(table)
    if any(row["floor"] is not None for row in found["scores"]):
        console.print("floor: each answer held against another item's reference", style="dim")
    for metric, signature in {row["metric"]: row["signature"] for row in found["scores"]}.items():
        console.print(f"{metric}: {signature}", soft_wrap=True, style="dim")


def show_comparisons(found: dict[str, Any]) -> None:
    """What `tunesmith compare` prints for people."""
    console = _plain_console()
    comparisons = []
    for row in found["comparisons"]:
        fields = {**row, "n_sources": row["clusters"], "warnings": tuple(row["warnings"])}
        fields.pop("clusters")
        comparisons.append(Comparison(**fields))
    console.print(comparison_table(comparisons))
    for one in comparisons:
        console.print(one.words, soft_wrap=True)
    for warning in dict.fromkeys(warning for one in comparisons for warning in one.warnings):
        console.print(f"Note: {warning}", soft_wrap=True)


def show_tally(found: dict[str, Any]) -> None:
    """What `tunesmith tally` prints for people; a second judge's count stands beside the first."""
    console = _plain_console()
    counts = [found, found["other"]] if "other" in found else [found]
    table = Table("", *(("first", "second")[: len(counts)] if len(counts) > 1 else ("count",)))
    for name in ("n", "wins", "losses", "ties", "unparsed"):
        table.add_row(name, *(str(one[name]) for one in counts))
    for name in ("win_rate", "net_win_rate", "ratio"):
        table.add_row(name.replace("_", " "), *(_with_interval(one[name]) for one in counts))
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
    console = _plain_console()
    console.print(f"{found['judge']}: {found['base']} against {found['tuned']}", soft_wrap=True, markup=False)
    table = Table("", "")
    table.add_row("items", str(found["n"]))
    table.add_row("won / tied / lost", f"{found['wins']} / {found['ties']} / {found['losses']}")
    table.add_row("without a verdict", str(found["unparsed"]))
    table.add_row("net win rate", _with_interval(found["net_win_rate"]))
    table.add_row("at equal length", _with_interval(found["length_controlled"]))
    if found["flip_rate"]["n"]:
        table.add_row("verdict changed with the order", _with_interval(found["flip_rate"]))
        table.add_row("chose the answer shown first", _with_interval(found["first_position"]))
    console.print(table)
    console.print(found["words"], soft_wrap=True, markup=False)
    for note in (*found["length_controlled"]["notes"], *found["warnings"]):
        console.print(f"Note: {note}", soft_wrap=True, markup=False)
    for reply in found["unparsed_replies"]:
        said = " ".join(reply["text"].split())[:SHOWN_CHARACTERS]
        console.print(f"item {reply['id']}, {reply['status']}: {said!r}", soft_wrap=True, markup=False)


def _with_interval(part: dict[str, Any]) -> str:
    return f"{number(part['value'])} ({number(part['low'])} … {number(part['high'])})"


def show_estimate(found: dict[str, Any]) -> None:
    """What `tunesmith estimate` prints for people."""
    console = _plain_console()
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


def write_audit(found: Audit, page: Path) -> None:
    from tunesmith.report.audit_page import render_audit

    write_atomically(page, render_audit(found))


def show_audit(found: Audit, page: Path | None) -> None:
    """What `tunesmith audit` prints for people: the findings, what was clean or unseen, and the page's path last."""
    from tunesmith.report.findings import MISTAKES

    console = _plain_console()
    for one in found.findings:
        console.print(f"{one.severity:<6}  {one.code}  {one.count:,} of {one.n:,}", markup=False)
        console.print(f"        {one.effect}", soft_wrap=True, markup=False)
    codes = {one.code for one in found.findings}
    clean = [code for code in MISTAKES if code not in codes and code not in found.unseen]
    console.print(f"{'clean':<6}  {', '.join(clean) or 'none'}", soft_wrap=True)
    reasons: dict[str, list[str]] = {}
    for code, why in found.unseen.items():
        reasons.setdefault(why, []).append(code)
    for why, unseen in reasons.items():
        console.print(f"not seen, because {why}: {', '.join(unseen)}", soft_wrap=True, markup=False)
    if page is not None:
        print(page)


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


def result_json(folder: Path, until: str | None = None) -> dict[str, Any]:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    comparisons, report = _reached(folder, until)
    return {
        "run": str(folder),
        "report": str(report) if report else None,
        "comparisons": [as_row(comparison) for comparison in comparisons],
        "stages": {
            name: {"seconds": state["seconds"], "counts": state["counts"], "status": state["status"]}
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
