"""The section with every metric: the table, and the differences on one axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tunesmith.records import Comparison, Summary, Verdict
from tunesmith.report import charts
from tunesmith.report.charts import Chart, ForestLine
from tunesmith.report.section import Section
from tunesmith.report.study import (
    Study,
    compared_pairs,
    comparison_places,
    confidence,
    item_values,
    judged_metrics,
    metric_order,
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

VERDICT_SIGNS: dict[Verdict, str] = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "≈",
    "no evidence": "○",
    "too small": "…",
    "identical": "=",
    "invalid": "✕",
}


def metrics_section(study: Study) -> Section | None:
    """Every metric with its interval; with one system only, its scores alone."""
    if not study.comparisons and not study.summaries:
        return None
    summaries = {(item.system, item.metric): item for item in study.summaries}
    signatures: list[str] = []
    tables = [_comparison_table(study, pair, summaries, signatures) for pair in compared_pairs(study)]
    judged = judged_metrics(study)
    compared = {name for pair in compared_pairs(study) for name in pair}
    alone = [
        _summary_line(item, signatures)
        for item in study.summaries
        if item.system not in compared and item.metric in judged
    ]
    metrics = metric_order(study)
    return Section(
        "metrics",
        "Every metric",
        "metrics.html.j2",
        {
            "tables": tables,
            "alone": alone,
            "has_floors": any(line["floor"] != MISSING for line in alone),
            "baselines": [_summary_line(item, signatures) for item in study.baselines],
            "described": _description(study, signatures),
            "systems": system_names(study),
            "signatures": signatures,
            "confidence": confidence(study),
            "meanings": [
                (metric_name(metric), metric_meaning(metric)) for metric in metrics if metric_meaning(metric)
            ],
            "charts": [chart for pair in compared_pairs(study) if (chart := _forest(study, pair))],
        },
    )


def _description(study: Study, signatures: list[str]) -> list[dict[str, Any]]:
    """What the texts are like: metrics without a better and a worse, one line each with a value for every system."""
    names, judged = system_names(study), judged_metrics(study)
    lines = []
    for metric in metric_order(study):
        found = {item.system: item for item in study.summaries if item.metric == metric}
        if metric in judged or not found:
            continue
        values = [_value_cell(found.get(name)) for name in names]
        signature = next(iter(found.values())).signature
        lines.append(
            {"metric": metric_name(metric), "values": values, "footnote": _footnote(signature, signatures)}
        )
    return lines


def _value_cell(summary: Summary | None) -> dict[str, str]:
    if summary is None:
        return {"value": MISSING, "interval": "not scored"}
    places = places_for(summary.value, summary.low, summary.high)
    return {"value": number(summary.value, places), "interval": interval(summary.low, summary.high, places)}


def _comparison_table(
    study: Study, pair: tuple[str, str], summaries: Mapping[tuple[str, str], Summary], signatures: list[str]
) -> dict[str, Any]:
    ours = [item for item in study.comparisons if (item.base, item.tuned) == pair]
    ours.sort(key=lambda item: not item.is_primary)
    lines = [_comparison_line(item, summaries, signatures) for item in ours]
    return {
        "base": pair[0],
        "tuned": pair[1],
        "lines": lines,
        "sizes": _sizes(ours),
        "has_floors": any(line["base"]["floor"] != MISSING for line in lines),
    }


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
    places = comparison_places(item)
    same = None if item.n_better is None or item.n_worse is None else item.n - item.n_better - item.n_worse
    cells = {}
    for name, system, value in (
        ("base", item.base, item.base_value),
        ("tuned", item.tuned, item.tuned_value),
    ):
        summary = summaries.get((system, item.metric))
        cells[name] = {
            "value": number(value, places),
            "interval": interval(summary.low, summary.high, places) if summary else MISSING,
            "floor": number(summary.floor, places) if summary else MISSING,
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
        "moved": MISSING if same is None else f"{item.n_better} / {same} / {item.n_worse}",
        "smallest": number(item.smallest_detectable, places),
        "verdict": item.verdict,
        "sign": VERDICT_SIGNS[item.verdict],
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
        "floor": number(item.floor, places),
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
        "(those where lower is better are turned round). One unit is the standard deviation of the single items’ "
        "values, so that metrics of different scales can share the picture. Triangles stand for a verdict of better or "
        "worse, dots for every other verdict. "
        "Grey: differences too small for this test set to show. "
        f"The printed numbers are in the metric’s own unit. n = {plural(items.n, 'item')} in "
        f"{plural(items.n_sources, 'document')}."
    )
    if any(_is_on_log_scale(study, item) for item in study.comparisons):
        caption += " For perplexity and its like the deviation is that of the logarithms."
    note = f"Not drawn, for want of an interval or of any spread: {', '.join(left_out)}." if left_out else ""
    title = f"How large are the differences? ({pair[1]} against {pair[0]})"
    return Chart(charts.forest_alt(lines), caption, wide, narrow, title, note)


def _is_on_log_scale(study: Study, item: Comparison) -> bool:
    values = item_values(study, item.metric)
    pooled = [value for name in (item.base, item.tuned) for value in values.get(name, {}).values()]
    return bool(pooled) and charts.uses_log_scale(pooled, item.higher_is_better)


def _unit(study: Study, item: Comparison) -> float | None:
    """The spread of the single items' values of both systems, in the unit of the metric.

    Values over several powers of ten (perplexity) would have a few wild items for a spread: there the spread of the
    logarithms is taken and brought back to the metric's unit at its level, d(x) = x · d(ln x).
    """
    values = item_values(study, item.metric)
    pooled = [value for name in (item.base, item.tuned) for value in values.get(name, {}).values()]
    if not _is_on_log_scale(study, item):
        return charts.spread(pooled)
    relative = charts.spread([math.log(value) for value in pooled])
    if relative is None or not item.base_value or not item.tuned_value:
        return None
    return relative * math.sqrt(item.base_value * item.tuned_value)


def _forest_line(study: Study, item: Comparison) -> ForestLine | None:
    unit = _unit(study, item)
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
        printed=signed(item.difference, comparison_places(item)),
    )
