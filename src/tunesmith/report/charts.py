"""Plots as inline SVG, drawn with matplotlib's objects (never pyplot, so nothing global is left behind).

Colours are drawn as stand-ins and swapped for the page's CSS variables, so that a plot follows light, dark and print.
The same study gives the same bytes: ids come from a fixed salt, and no date is written.
"""

from __future__ import annotations

import io
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tunesmith.records import TrainingLog, Verdict, content_id
from tunesmith.report.words import count, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIRED_LINES_UP_TO = 200
"""Beyond this many items the lines between base and tuned are a grey block and say nothing."""

# Stand-in colour -> CSS variable. The stand-ins are near-black greys that nothing else draws with.
_INK, _MUTED, _RULE, _BAND, _PAPER = "#010101", "#020202", "#030303", "#040404", "#050505"
_SYSTEM_COLOURS = ("#060606", "#070707", "#080808", "#090909", "#0a0a0a")
_BETTER, _WORSE = "#0b0b0b", "#0c0c0c"
_STRIPES = ("", "////", "....", "xxxx", "----")
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _RULE: "--rule",
    _BAND: "--band",
    _PAPER: "--card",
    _BETTER: "--better",
    _WORSE: "--worse",
    **{colour: f"--system-{index}" for index, colour in enumerate(_SYSTEM_COLOURS)},
}
_PIXELS_PER_INCH = 72  # matplotlib writes SVG in points; one point is shown as one CSS pixel


@dataclass(frozen=True)
class Chart:
    """One picture, with a second shape for narrow screens where the wide one would shrink to nothing readable."""

    alt: str
    caption: str
    wide: Markup
    narrow: Markup | None = None
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class ForestLine:
    """One metric of the forest plot, in units of `spread`, turned so that right of zero is better."""

    label: str
    verdict: Verdict
    difference: float
    low: float
    high: float
    smallest: float | None
    printed: str
    """The difference in the metric's own unit."""


@dataclass(frozen=True)
class GroupLine:
    """The mean difference of one document's items."""

    label: str
    n: int
    difference: float
    values: tuple[float, ...]


def forest_chart(lines: Sequence[ForestLine], *, better: str, worse: str) -> tuple[Markup, Markup]:
    """Differences with their intervals, wide and narrow. `better` and `worse` are printed under the axis's two ends."""
    return (
        _draw(lambda: _forest(lines, better, worse, width=720, wide=True), "forest-wide"),
        _draw(lambda: _forest(lines, better, worse, width=340, wide=False), "forest-narrow"),
    )


def box_chart(name: str, values: Mapping[str, Mapping[str, float]], *, higher_is_better: bool) -> Markup:
    """One metric's item values: a box for each system, and for two systems the items joined by lines.

    Args:
        name: unique on the page; part of the SVG's ids.
        values: system to row id to value; lines join the ids that the first two systems share.
    """
    return _draw(lambda: _boxes(values, higher_is_better), f"box-{name}")


def loss_chart(name: str, log: TrainingLog) -> tuple[Markup, Markup]:
    """Training and validation loss by step, with the best step marked; wide and narrow."""
    return (
        _draw(lambda: _losses(log, width=720, height=260), f"loss-{name}-wide"),
        _draw(lambda: _losses(log, width=340, height=240), f"loss-{name}-narrow"),
    )


def group_chart(name: str, lines: Sequence[GroupLine], *, axis: str) -> tuple[Markup, Markup]:
    """Item differences by document, one row each, with the mean marked; wide and narrow."""
    return (
        _draw(lambda: _groups(lines, axis, width=720, wide=True), f"groups-{name}-wide"),
        _draw(lambda: _groups(lines, axis, width=340, wide=False), f"groups-{name}-narrow"),
    )


def uses_log_scale(values: Sequence[float], higher_is_better: bool) -> bool:
    """True for what spreads over a factor of 20 and more upwards from zero, such as perplexity."""
    return not higher_is_better and min(values) > 0 and max(values) / min(values) > 20


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation after pulling in the outermost 5 % on each side, so that one wild item sets no scale.

    `None` when fewer than three values or no spread at all.
    """
    if len(values) < 3:
        return None
    ordered = sorted(values)
    edge = int(0.05 * len(ordered))
    low, high = ordered[edge], ordered[-1 - edge]
    deviation = statistics.stdev(min(max(value, low), high) for value in ordered)
    return deviation if deviation > 0 else None


def _figure(
    width: float, height: float, left: float, right: float, bottom: float, top: float
) -> tuple[Figure, Axes]:
    """A figure of `width` by `height` pixels with one plot, whose margins are given in pixels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH), facecolor="none")
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_RULE)
    axes.tick_params(which="both", colors=_MUTED, labelsize=11, length=3, width=0.8)
    return figure, axes


def _draw(make: Callable[[], Figure], name: str) -> Markup:
    """The figure that `make` returns as SVG text for the inside of an HTML page; `name` makes its ids unique."""
    from matplotlib import rc_context

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "tunesmith",
        "font.family": ["DejaVu Sans"],  # ships with matplotlib: the layout is the same on every machine
        "font.size": 11,
        "text.color": _INK,
        "text.parse_math": False,  # a dollar sign in a file name is a dollar sign
        "path.simplify": False,
        "axes.unicode_minus": True,
        "axes.formatter.useoffset": False,
        "axes.formatter.limits": (-4, 5),
    }
    with rc_context(settings), io.BytesIO() as buffer:
        figure = make()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        text = buffer.getvalue().decode("utf-8")
    # Names of systems and metrics are a user's: what becomes part of an id is a hash of them.
    return Markup(_for_page(text, f"c{content_id(name, length=8)}"))


def _for_page(svg: str, name: str) -> str:
    """What HTML needs of matplotlib's file: no prolog, no namespaces, own ids, the page's colours and font."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>|<!--.*?-->\s*", "", body, flags=re.DOTALL)
    # Only tags are edited, so that no label can be taken for an attribute.
    body = re.sub(r"<[^>]*>", lambda tag: _tag_for_page(tag.group(), name), body)
    # Who hears the page gets the alt text of the figure; the parts inside the picture are no text of their own.
    return body.replace("<svg", '<svg aria-hidden="true"', 1).strip()


def _tag_for_page(tag: str, name: str) -> str:
    tag = re.sub(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"', "", tag)
    tag = re.sub(r'\s(width|height)="([\d.]+)pt"', r' \1="\2"', tag)
    tag = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", tag.replace("xlink:href=", "href="))
    tag = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px var(--font)", tag)
    return re.sub(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]", lambda match: _variable(match.group()), tag)


def _variable(colour: str) -> str:
    return f"var({_VARIABLES[colour]})" if colour in _VARIABLES else colour


def _forest(lines: Sequence[ForestLine], better: str, worse: str, *, width: int, wide: bool) -> Figure:
    row = 34 if wide else 44
    height = row * len(lines) + 64
    left, right = (112, 150) if wide else (12, 12)
    figure, axes = _figure(width, height, left, right, bottom=48, top=8)
    furthest = max(max(abs(line.low), abs(line.high), abs(line.difference)) for line in lines)
    limit = 1.08 * max(furthest, 1e-9)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.axvline(0, color=_MUTED, linewidth=1)
    for index, line in enumerate(lines):
        middle = index if wide else index + 0.18
        if line.smallest is not None:
            reach = min(line.smallest, limit)
            axes.barh(middle, 2 * reach, left=-reach, height=0.56 if wide else 0.42, color=_BAND, linewidth=0)
        colour = {"better": _BETTER, "worse": _WORSE}.get(line.verdict, _MUTED)
        axes.plot([line.low, line.high], [middle, middle], color=colour, linewidth=2.2, solid_capstyle="butt")
        marker = {"better": ">", "worse": "<"}.get(line.verdict, "o")
        axes.plot(
            [line.difference], [middle], marker=marker, color=colour, markersize=9, markeredgecolor=_PAPER
        )
        if wide:
            _label(axes, -0.02, middle, line.label, align="right")
            _label(axes, 1.02, middle, line.printed, align="left")
        else:
            _label(axes, 0, index - 0.3, line.label, align="left")
            _label(axes, 1, index - 0.3, line.printed, align="right")
    for x, side, text in ((0, "left", f"← {worse}"), (1, "right", f"{better} →")):
        axes.annotate(
            text,
            (x, 0),
            xytext=(0, -34),
            xycoords="axes fraction",
            textcoords="offset points",
            ha=side,
            color=_MUTED,
        )
    return figure


def _label(axes: Axes, x: float, y: float, text: str, *, align: str) -> None:
    """Text at `x` as a share of the plot's width and `y` in its data."""
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), ha=align, va="center", fontsize=12)


def _boxes(values: Mapping[str, Mapping[str, float]], higher_is_better: bool) -> Figure:
    figure, axes = _figure(190, 190, left=38, right=4, bottom=24, top=8)
    names = list(values)
    every = [value for per_item in values.values() for value in per_item.values()]
    if uses_log_scale(every, higher_is_better):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: _short(value))
        axes.yaxis.set_minor_formatter(lambda value, _: _short(value) if f"{value:.0e}"[0] in "25" else "")
    paired = len(names) == 2
    shared = [item for item in values[names[0]] if paired and item in values[names[1]]]
    if paired and len(shared) <= PAIRED_LINES_UP_TO:
        _paired_lines(
            axes, [(values[names[0]][item], values[names[1]][item]) for item in shared], higher_is_better
        )
    parts = axes.boxplot(
        [list(per_item.values()) for per_item in values.values()],
        positions=range(len(names)),
        widths=0.34,
        patch_artist=True,
        showfliers=not paired or len(shared) > PAIRED_LINES_UP_TO,
        showmeans=True,
        manage_ticks=False,
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": _MUTED, "markerfacecolor": _MUTED},
        meanprops={"marker": "D", "markersize": 5, "markeredgecolor": _INK, "markerfacecolor": _PAPER},
        medianprops={"color": _INK, "linewidth": 1.8},
        whiskerprops={"color": _MUTED},
        capprops={"color": _MUTED},
    )
    for index, box in enumerate(parts["boxes"]):
        # The stripes tell the systems apart where colours do not: on paper, and to eyes that see few of them.
        stripes = _STRIPES[min(index, len(_STRIPES) - 1)]
        box.set(facecolor=_colour(index), edgecolor=_PAPER, alpha=0.78, hatch=stripes)
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", colors=_INK, length=0)
    axes.yaxis.grid(True, color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure


def _paired_lines(axes: Axes, pairs: Sequence[tuple[float, float]], higher_is_better: bool) -> None:
    """Lines from base to tuned as two paths: faint for those that did not get worse, dark for those that did."""
    left, right = 0.24, 0.76
    for got_worse in (False, True):
        xs: list[float] = []
        ys: list[float] = []
        for before, after in pairs:
            if ((after < before) if higher_is_better else (after > before)) == got_worse:
                xs += [left, right, math.nan]
                ys += [before, after, math.nan]
        axes.plot(
            xs, ys, color=_INK if got_worse else _MUTED, linewidth=0.9, alpha=0.75 if got_worse else 0.4
        )
    for position, column, index in ((left, 0, 0), (right, 1, 1)):
        # A line of no length with round ends is a dot, at a quarter of the bytes of a marker.
        xs = [position, position, math.nan] * len(pairs)
        ys = [part for pair in pairs for part in (pair[column], pair[column], math.nan)]
        axes.plot(xs, ys, color=_colour(index), linewidth=3.2, solid_capstyle="round")


def _losses(log: TrainingLog, *, width: int, height: int) -> Figure:
    figure, axes = _figure(width, height, left=48, right=12, bottom=42, top=34)
    if log.train_loss:
        axes.plot(*zip(*log.train_loss, strict=True), color=_colour(0), linewidth=1.8, label="training")
    if log.validation_loss:
        axes.plot(
            *zip(*log.validation_loss, strict=True),
            color=_colour(1),
            linewidth=1.8,
            linestyle="--",
            marker="o",
            markersize=4.5,
            label="validation",
        )
    if log.best_step is not None:
        axes.axvline(
            log.best_step, color=_MUTED, linewidth=1, linestyle=":", label=f"best step ({log.best_step})"
        )
    axes.set_xlabel("step", color=_MUTED)
    axes.set_ylabel("loss per trained token", color=_MUTED)
    axes.yaxis.grid(True, color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    # above the axes, where no curve or line runs through it
    axes.legend(
        frameon=False, fontsize=11, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, labelcolor=_INK
    )
    return figure


def _groups(lines: Sequence[GroupLine], axis: str, *, width: int, wide: bool) -> Figure:
    row = 26 if wide else 40
    left = 250 if wide else 12
    figure, axes = _figure(width, row * len(lines) + 56, left=left, right=14, bottom=44, top=8)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    for index, line in enumerate(lines):
        middle = index if wide else index + 0.2
        # On a narrow screen the labels stand over the plot, where a line from top to bottom would strike them out.
        reach = 0.5 if wide else 0.22
        axes.plot([0, 0], [middle - reach, middle + reach], color=_MUTED, linewidth=1)
        xs = [part for value in line.values for part in (value, value, math.nan)]
        axes.plot(xs, [middle] * len(xs), color=_colour(1), linewidth=4, alpha=0.5, solid_capstyle="round")
        axes.plot([line.difference], [middle], marker="D", markersize=7, color=_INK, markeredgecolor=_PAPER)
        text = f"{_from_the_end(line.label, 30)} ({line.n})"
        if wide:
            _label(axes, -0.02, middle, text, align="right")
        else:
            _label(axes, 0, index - 0.25, text, align="left")
    axes.set_xlabel(axis, color=_MUTED)
    return figure


def _short(value: float) -> str:
    """`20`, `5k`, `3M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _colour(index: int) -> str:
    return _SYSTEM_COLOURS[min(index, len(_SYSTEM_COLOURS) - 1)]


def _from_the_end(label: str, letters: int) -> str:
    """File names differ at their end more often than at their start."""
    return label if len(label) <= letters else "…" + label[-(letters - 1) :]


def forest_alt(lines: Sequence[ForestLine]) -> str:
    """The forest plot in words."""
    parts = [f"{line.label} {line.printed}, {line.verdict}" for line in lines]
    return f"Differences of {count(len(lines))} metrics with their intervals: " + "; ".join(parts) + "."


def group_alt(lines: Sequence[GroupLine]) -> str:
    """The plot by document in words."""
    parts = [f"{line.label} {signed(line.difference)} ({line.n} items)" for line in lines]
    return "Mean difference by document: " + "; ".join(parts) + "."
