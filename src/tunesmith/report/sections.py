"""The sections of the report, in the order of the page: each a function from a study to a section, or `None`.

To add one, write such a function, give it a template, and put it into `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.records import Comparison, Summary
from tunesmith.report import charts, validity
from tunesmith.report.answers import group_sizes, shown_answers
from tunesmith.report.charts import Chart, ForestLine, GroupLine
from tunesmith.report.making import command_section, settings_section, tokens_section, training_section
from tunesmith.report.material import data_section
from tunesmith.report.section import Section
from tunesmith.report.study import (
    Study,
    compared_pairs,
    higher_is_better,
    item_values,
    metric_order,
    primary_comparisons,
    system_names,
)
from tunesmith.report.words import (
    MISSING,
    interval,
    metric_meaning,
    metric_name,
    number,
    p_value,
    places_for,
    plural,
    signed,
)

GROUPS_SHOWN = 30
"""Documents in the plot by document; beyond this the ends are shown and the middle is left out."""
_SIGNS = {"better": "▲", "worse": "▼", "no evidence": "○", "identical": "=", "invalid": "✕"}


def confidence(study: Study) -> str:
    """The confidence of the intervals, as the plan has it: `95 %`."""
    options = study.plan.get("compare")
    value = options.get("confidence", 0.95) if isinstance(options, Mapping) else 0.95
    return f"{100 * value:g} %"


def verdict_section(study: Study) -> Section:
    """The answer, before anything else; says so when there is none."""
    found = primary_comparisons(study) or list(study.comparisons[:1])
    return Section(
        "verdict",
        "Verdict",
        "verdict.html.j2",
        {
            "verdicts": [_verdict(comparison) for comparison in found],
            "reason": _why_no_verdict(study),
            "context": validity.context_words(study),
            "confidence": confidence(study),
            "tally": validity.tally(validity.checks(study)),
        },
        is_listed=False,
    )


def _verdict(comparison: Comparison) -> dict[str, Any]:
    places = places_for(comparison.difference, comparison.low, comparison.high)
    return {
        "kind": comparison.verdict,
        "sign": _SIGNS[comparison.verdict],
        "words": comparison.words,
        "metric": metric_name(comparison.metric),
        "meaning": metric_meaning(comparison.metric),
        "base": comparison.base,
        "tuned": comparison.tuned,
        "base_value": number(comparison.base_value, places),
        "tuned_value": number(comparison.tuned_value, places),
        "difference": signed(comparison.difference, places),
        "interval": interval(comparison.low, comparison.high, places),
        "smallest": number(comparison.smallest_detectable, places),
        "n": comparison.n,
        "n_sources": comparison.n_sources,
        "n_better": comparison.n_better,
        "n_worse": comparison.n_worse,
        "is_primary": comparison.is_primary,
    }


def _why_no_verdict(study: Study) -> str:
    names = system_names(study)
    if not names:
        return "No system has answered yet."
    if len(names) == 1:
        return f"Only “{names[0]}” has answered: a verdict needs a second system on the same items."
    return "The systems have not been compared yet."


def validity_section(study: Study) -> Section | None:
    """Reasons to doubt the verdict, with what was found for each."""
    found = validity.checks(study)
    if not found:
        return None
    return Section(
        "validity",
        "Can it be believed?",
        "validity.html.j2",
        {"checks": found, "tally": validity.tally(found)},
    )


def metrics_section(study: Study) -> Section | None:
    """Every metric with its interval; with one system only, its scores alone."""
    if not study.comparisons and not study.summaries:
        return None
    summaries = {(item.system, item.metric): item for item in study.summaries}
    signatures: list[str] = []
    tables = [_comparison_table(study, pair, summaries, signatures) for pair in compared_pairs(study)]
    compared = {name for pair in compared_pairs(study) for name in pair}
    alone = [_summary_line(item, signatures) for item in study.summaries if item.system not in compared]
    metrics = metric_order(study)
    return Section(
        "metrics",
        "Every metric",
        "metrics.html.j2",
        {
            "tables": tables,
            "alone": alone,
            "signatures": signatures,
            "confidence": confidence(study),
            "meanings": [(metric_name(metric), metric_meaning(metric)) for metric in metrics if metric_meaning(metric)],
            "charts": [chart for pair in compared_pairs(study) if (chart := _forest(study, pair))],
        },
    )


def _comparison_table(
    study: Study, pair: tuple[str, str], summaries: Mapping[tuple[str, str], Summary], signatures: list[str]
) -> dict[str, Any]:
    ours = [item for item in study.comparisons if (item.base, item.tuned) == pair]
    ours.sort(key=lambda item: not item.is_primary)
    lines = [_comparison_line(item, summaries, signatures) for item in ours]
    return {"base": pair[0], "tuned": pair[1], "lines": lines, "sizes": _sizes(ours)}


def _sizes(found: list[Comparison]) -> str:
    """`60 items in 5 documents`, or the range when metrics could not all score the same items."""
    items = sorted({item.n for item in found})
    documents = plural(max(item.n_sources for item in found), "document")
    if len(items) == 1:
        return f"{plural(items[0], 'item')} in {documents}"
    return f"{items[0]} to {plural(items[-1], 'item')} in {documents}"


def _footnote(signature: str, signatures: list[str]) -> int:
    if signature not in signatures:
        signatures.append(signature)
    return signatures.index(signature) + 1


def _comparison_line(
    item: Comparison, summaries: Mapping[tuple[str, str], Summary], signatures: list[str]
) -> dict[str, Any]:
    places = places_for(item.difference, item.low, item.high)
    same = None if item.n_better is None or item.n_worse is None else item.n - item.n_better - item.n_worse
    cells = {}
    for name, system, value in (("base", item.base, item.base_value), ("tuned", item.tuned, item.tuned_value)):
        summary = summaries.get((system, item.metric))
        cells[name] = {
            "value": number(value, places),
            "interval": interval(summary.low, summary.high, places) if summary else MISSING,
        }
    return {
        "metric": metric_name(item.metric),
        "arrow": "↑" if item.higher_is_better else "↓",
        "direction": "higher is better" if item.higher_is_better else "lower is better",
        "is_primary": item.is_primary,
        **cells,
        "difference": signed(item.difference, places),
        "interval": interval(item.low, item.high, places),
        "p": p_value(item.p),
        "p_holm": p_value(item.p_holm),
        "items": MISSING if same is None else f"{item.n_better} / {same} / {item.n_worse}",
        "smallest": number(item.smallest_detectable, places),
        "verdict": item.verdict,
        "sign": _SIGNS[item.verdict],
        "reason": "" if item.difference is not None else item.words,
        "n": item.n,
        "footnote": _footnote(item.signature, signatures),
    }


def _summary_line(item: Summary, signatures: list[str]) -> dict[str, Any]:
    places = places_for(item.value, item.low, item.high)
    return {
        "system": item.system,
        "metric": metric_name(item.metric),
        "arrow": "↑" if item.higher_is_better else "↓",
        "direction": "higher is better" if item.higher_is_better else "lower is better",
        "value": number(item.value, places),
        "interval": interval(item.low, item.high, places),
        "n": item.n,
        "n_sources": item.n_sources,
        "footnote": _footnote(item.signature, signatures),
    }


def _forest(study: Study, pair: tuple[str, str]) -> Chart | None:
    """Differences on one axis. Metrics without an interval or without spread cannot stand on it and are named."""
    lines, left_out = [], []
    for metric in metric_order(study):
        item = next((c for c in study.comparisons if c.metric == metric and (c.base, c.tuned) == pair), None)
        if item is None:
            continue
        line = _forest_line(study, item)
        if line is None:
            left_out.append(metric_name(metric))
        else:
            lines.append(line)
    if not lines:
        return None
    wide, narrow = charts.forest_chart(lines, better=f"{pair[1]} better", worse=f"{pair[0]} better")
    items = next(item for item in study.comparisons if (item.base, item.tuned) == pair)
    caption = (
        f"Differences with {confidence(study)} intervals; right of the line {pair[1]} is better, for every metric "
        "(those where lower is better are turned round). One unit is the standard deviation of the single items’ values, "
        "so that metrics of different scales can share the picture. A bar that touches the line means: no evidence. "
        "Grey: differences too small for this test set to show. "
        f"The printed numbers are in the metric’s own unit. n = {plural(items.n, 'item')} in "
        f"{plural(items.n_sources, 'document')}."
    )
    note = f"Not drawn, for want of an interval or of any spread: {', '.join(left_out)}." if left_out else ""
    title = f"How large are the differences? ({pair[1]} against {pair[0]})"
    return Chart(charts.forest_alt(lines), caption, wide, narrow, title, note)


def _forest_line(study: Study, item: Comparison) -> ForestLine | None:
    values = item_values(study, item.metric)
    pooled = [value for name in (item.base, item.tuned) for value in values.get(name, {}).values()]
    unit = charts.spread(pooled)
    if unit is None or item.difference is None or item.low is None or item.high is None:
        return None
    turned = unit if item.higher_is_better else -unit
    ends = sorted((item.low / turned, item.high / turned))
    return ForestLine(
        label=metric_name(item.metric),
        verdict=item.verdict,
        difference=item.difference / turned,
        low=ends[0],
        high=ends[1],
        smallest=None if item.smallest_detectable is None else item.smallest_detectable / unit,
        printed=f"{signed(item.difference, places_for(item.difference, item.low, item.high))}",
    )


def items_section(study: Study) -> Section | None:
    """The values item by item: a mean can hide that half the answers got worse."""
    boxes, left_out = [], []
    for metric in metric_order(study):
        chart = _box(study, metric)
        if isinstance(chart, Chart):
            boxes.append(chart)
        elif chart:
            left_out.append(chart)
    if not boxes:
        return None
    groups = [chart for pair in compared_pairs(study) if (chart := _by_document(study, pair))]
    names = system_names(study)
    paired = len(names) == 2
    return Section(
        "items",
        "Item by item",
        "items.html.j2",
        {
            "boxes": boxes,
            "groups": groups,
            "systems": names,
            "left_out": left_out,
            "paired": paired,
            "has_lines": paired
            and all(len(per) <= charts.PAIRED_LINES_UP_TO for per in item_values(study, metric_order(study)[0]).values()),
        },
    )


def _box(study: Study, metric: str) -> Chart | str:
    """The box plot, or why there is none."""
    values = item_values(study, metric)
    ordered = {name: values[name] for name in system_names(study) if values.get(name)}
    every = [value for per_item in ordered.values() for value in per_item.values()]
    if not every:
        return f"{metric_name(metric)} (no value for single items)"
    if len(set(every)) <= 2:
        return f"{metric_name(metric)} (only {len(set(every))} different values: the table says it all)"
    upwards = higher_is_better(study, metric)
    means = ", ".join(f"{name} {number(sum(per.values()) / len(per))}" for name, per in ordered.items())
    scale = "logarithmic scale, " if charts.uses_log_scale(every, upwards) else ""
    direction = "↑ higher is better" if upwards else "↓ lower is better"
    sizes = sorted({len(per_item) for per_item in ordered.values()})
    n = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return Chart(
        alt=f"Box plot of {metric_name(metric)} by item, {direction[2:]}. Mean over the items: {means}.",
        caption=f"{scale}n = {n} items",
        wide=charts.box_chart(metric, ordered, higher_is_better=upwards),
        title=metric_name(metric),
        note=direction,
    )


def _by_document(study: Study, pair: tuple[str, str]) -> Chart | None:
    """The primary metric's differences by document: one document must not make the verdict alone."""
    metrics = metric_order(study)
    sources = {item.id: item.source_id for item in study.predictions}
    values = item_values(study, metrics[0]) if metrics else {}
    base, tuned = values.get(pair[0], {}), values.get(pair[1], {})
    differences: dict[str, list[float]] = {}
    for item in sorted(base.keys() & tuned.keys() & sources.keys()):
        differences.setdefault(sources[item], []).append(tuned[item] - base[item])
    if len(differences) < 2:
        return None
    lines = [GroupLine(name, len(found), sum(found) / len(found), tuple(found)) for name, found in differences.items()]
    upwards = higher_is_better(study, metrics[0])
    lines.sort(key=lambda line: (line.difference if upwards else -line.difference, line.label), reverse=True)
    total, note = len(lines), ""
    if total > GROUPS_SHOWN:
        half = GROUPS_SHOWN // 2
        lines = lines[:half] + lines[-half:]
        note = f"{total - GROUPS_SHOWN} of {total} documents between the two ends are not drawn."
    name = metric_name(metrics[0])
    wide, narrow = charts.group_chart(pair[1], lines, axis=f"{name}: {pair[1]} minus {pair[0]}")
    caption = (
        f"Each dot is one item, each diamond the mean of a document (number of items in brackets); "
        f"{'right' if upwards else 'left'} of the line {pair[1]} is better. "
        f"n = {plural(sum(line.n for line in lines), 'item')} in {plural(len(lines), 'document')}."
    )
    return Chart(charts.group_alt(lines), caption, wide, narrow, f"Is it the same in every document? ({name})", note)


def answers_section(study: Study) -> Section | None:
    """Best, worst and random answers side by side."""
    pairs = [(item.base, item.tuned) for item in primary_comparisons(study)] or compared_pairs(study)
    names = system_names(study)
    pair = pairs[0] if pairs else (names[0], names[1]) if len(names) > 1 else None
    shown = shown_answers(study, pair) if pair else []
    if not shown or pair is None:
        return None
    metrics = metric_order(study)
    total = len({item.id for item in study.predictions if item.system == pair[1]})
    return Section(
        "answers",
        "Answers side by side",
        "answers.html.j2",
        {
            "shown": shown,
            "sizes": group_sizes(shown),
            "pair": pair,
            "primary": metric_name(metrics[0]) if metrics else None,
            "total": total,
            "seed": study.seed,
        },
    )


SECTIONS: tuple[Callable[[Study], Section | None], ...] = (
    verdict_section,
    validity_section,
    metrics_section,
    items_section,
    training_section,
    tokens_section,
    data_section,
    answers_section,
    settings_section,
    command_section,
)
