"""The section item by item: box plots, and the differences by document."""

from __future__ import annotations

from tunesmith.report import charts
from tunesmith.report.charts import Chart, GroupLine
from tunesmith.report.section import Section
from tunesmith.report.study import (
    Study,
    compared_pairs,
    higher_is_better,
    item_values,
    judged_metrics,
    metric_order,
    system_names,
)
from tunesmith.report.words import metric_name, number, plural

GROUPS_SHOWN = 30
"""Documents in the plot by document; beyond this the ends are shown and the middle is left out."""


def items_section(study: Study) -> Section | None:
    """The values item by item: a mean can hide that half the answers got worse."""
    boxes: list[Chart] = []
    left_out: list[str] = []
    for metric in judged_metrics(study):
        chart = _box(study, metric)
        if isinstance(chart, Chart):
            boxes.append(chart)
        else:
            left_out.append(chart)
    if not boxes:
        return None
    groups = [picture for pair in compared_pairs(study) if (picture := _by_document(study, pair))]
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
            and all(
                len(per) <= charts.PAIRED_LINES_UP_TO
                for per in item_values(study, metric_order(study)[0]).values()
            ),
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
    labels = _short_names(list(differences))
    lines = [
        GroupLine(labels[source], len(found), sum(found) / len(found), tuple(found))
        for source, found in differences.items()
    ]
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
    return Chart(
        charts.group_alt(lines), caption, wide, narrow, f"Is it the same in every document? ({name})", note
    )


def _short_names(sources: list[str]) -> dict[str, str]:
    """File names without their folders, as long as no two are the same."""
    short = {source: source.rsplit("/", 1)[-1] for source in sources}
    return short if len(set(short.values())) == len(sources) else {source: source for source in sources}
