"""The metric table for other programs: Markdown for a pull request, CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.records import Summary
from tunesmith.report.judge import is_pairwise, judge_notes, with_span
from tunesmith.report.study import (
    Study,
    comparison_places,
    context_words,
    origin_words,
    primary_comparisons,
    system_names,
)
from tunesmith.report.words import (
    interval,
    metric_name,
    number,
    p_value,
    places_for,
    plural,
    signed,
)

_COLUMNS = (
    "metric", "base", "tuned", "base_value", "tuned_value", "difference", "low", "high", "p", "p_holm", "n",
    "n_sources", "n_better", "n_worse", "smallest_detectable", "is_primary", "higher_is_better", "verdict", "signature",
    "standard_error", "margin", "p_equivalence",
)  # fmt: skip


def summary_markdown(study: Study) -> str:
    """Verdict and metric table as Markdown; with nothing compared, the scores alone."""
    lines = [f"## {_cell(study.name)}", ""]
    for item in primary_comparisons(study):
        lines += [f"**{item.verdict.capitalize()}.** {_cell(item.words)}", ""]
    lines += [
        context_words(study),
        f"Questions and references {_cell(origin_words(study))}; base model {_cell(study.base)}.",
        "",
    ]
    lines += _comparison_lines(study) if study.comparisons else _summary_lines(study)
    if study.setting_comparisons:
        pairs = dict.fromkeys(f"{item.tuned} against {item.base}" for item in study.setting_comparisons)
        under = replace(study, comparisons=study.setting_comparisons)
        lines += ["", f"Under other decoding settings, exploratory ({_cell(', '.join(pairs))}):", ""]
        lines += _comparison_lines(under)
    lines += [f"\n{_cell(note.text)}" for note in study.generation_notes]
    if study.baselines:
        lines += ["", "Always the same answer, without any model:", "", *_value_lines(study.baselines)]
    lines += _judge_lines(study)
    return "\n".join(lines) + "\n"


def _comparison_lines(study: Study) -> list[str]:
    lines = [
        "| metric | base | tuned | difference (interval) | p (Holm) | better / worse | smallest to be seen | verdict |",
        "|---|---:|---:|---|---:|---:|---:|---|",
    ]
    several = len({(item.base, item.tuned) for item in study.comparisons}) > 1
    for item in study.comparisons:
        places = comparison_places(item)
        name = metric_name(item.metric) + (" ↑" if item.higher_is_better else " ↓")
        cells = [
            f"**{name}**" if item.is_primary else name,
            number(item.base_value, places),
            number(item.tuned_value, places),
            f"{signed(item.difference, places)} ({interval(item.low, item.high, places)})",
            p_value(item.p_holm),
            f"{_whole(item.n_better)} / {_whole(item.n_worse)}",
            number(item.smallest_detectable, places),
            item.verdict,
        ]
        if several:
            cells[0] += f" ({item.tuned} against {item.base})"
        lines.append(_row(cells))
    n = max(item.n for item in study.comparisons)
    sources = max(item.n_sources for item in study.comparisons)
    primary = "; the primary metric is in bold" if primary_comparisons(study) else ""
    return [*lines, "", f"{plural(n, 'item')} in {plural(sources, 'document')}{primary}."]


def _summary_lines(study: Study) -> list[str]:
    if not study.summaries:
        return ["No scores yet."]
    names = ", ".join(map(_cell, system_names(study)))
    return [*_value_lines(study.summaries), "", f"Not compared: {names} only."]


def _value_lines(summaries: Sequence[Summary]) -> list[str]:
    lines = ["| metric | system | value (interval) | floor | n |", "|---|---|---|---:|---:|"]
    for item in summaries:
        places = places_for(item.value, item.low, item.high)
        value = f"{number(item.value, places)} ({interval(item.low, item.high, places)})"
        lines.append(
            _row([metric_name(item.metric), item.system, value, number(item.floor, places), str(item.n)])
        )
    return lines


def _judge_lines(study: Study) -> list[str]:
    """What a judge preferred, by attribute too, how far people agree with it, and the reasons to doubt it."""
    found = study.judge
    if found is None:
        return []
    lines = ["", "### Judge", "", f"Judged by {_cell(found['judge'])}.", ""]
    if is_pairwise(found):
        lines += [_cell(found["words"]), ""]
        lines += [
            "| won | tied | lost | no verdict | net win rate | at equal length |",
            "|---:|---:|---:|---:|---|---|",
        ]
        counts = [str(found[name]) for name in ("wins", "ties", "losses", "unparsed")]
        lines += [
            _row([*counts, with_span(found["net_win_rate"]), with_span(found["length_controlled"])]),
            "",
        ]
        if found.get("attributes"):
            lines += [
                "| attribute | value | items | won / tied / lost | net win rate |",
                "|---|---|---:|---|---|",
            ]
            for row in found["attributes"]:
                score = f"{row['wins']} / {row['ties']} / {row['losses']}"
                cells = [row["attribute"], row["value"], str(row["n"]), score, with_span(row["net_win_rate"])]
                lines.append(_row(cells))
            lines.append("")
    if "graded" in found:
        lines += ["| system | grade | mean (interval) | answers |", "|---|---|---|---:|"]
        for row in found["graded"]["scores"]:
            lines.append(_row([row["system"], metric_name(row["metric"]), with_span(row), str(row["n"])]))
        lines.append("")
    if "people" in found:
        lines += ["| people and judge on | items | agree | kappa | alpha |", "|---|---:|---|---|---|"]
        for what, part in found["people"]["agreements"].items():
            kappa = part.get("weighted_kappa", part["kappa"])
            cells = [metric_name(what), str(part["n"])]
            lines.append(_row([*cells, with_span(part["share"]), with_span(kappa), with_span(part["alpha"])]))
        lines.append("")
    lines += [f"- {_cell(note)}" for note in judge_notes(found)]
    while lines[-1] == "":
        lines.pop()
    return lines


def metrics_csv(study: Study) -> str:
    """The comparisons, one a line, unrounded; what is missing is an empty cell. Last what a judge preferred.

    In the line `judge_preference` a system's value is its share of the parsed items, a tie counting half for each.
    """
    with io.StringIO(newline="") as buffer:
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for item in (*study.comparisons, *study.setting_comparisons):
            writer.writerow([getattr(item, column) for column in _COLUMNS])
        if study.judge is not None and is_pairwise(study.judge):
            line = _preference(study.judge)
            writer.writerow([line.get(column) for column in _COLUMNS])
        return buffer.getvalue()


def _preference(found: Mapping[str, Any]) -> dict[str, Any]:
    """A judge's preference in the columns of a comparison; it is corrected for nothing, so `p_holm` stays empty."""
    net = found["net_win_rate"]

    def difference(share: float | None) -> float | None:
        return None if share is None else 2 * share - 1

    return {
        "metric": "judge_preference",
        "base": found["base"],
        "tuned": found["tuned"],
        "base_value": None if net["value"] is None else 1 - net["value"],
        "tuned_value": net["value"],
        "difference": difference(net["value"]),
        "low": difference(net["low"]),
        "high": difference(net["high"]),
        "p": found["p"],
        "n": found["n"] - found["unparsed"],
        "n_sources": found["clusters"],
        "n_better": found["wins"],
        "n_worse": found["losses"],
        "is_primary": False,
        "higher_is_better": True,
        "verdict": found["verdict"],
        "signature": f"{found['judge']}|prompt:{found['prompt_hash']}",
    }


def _whole(value: int | None) -> str:
    return number(value, 0)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Text that cannot break out of its table cell or start a tag."""
    one_line = " ".join(text.split())
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", one_line.replace("&", "&amp;").replace("|", r"\|"))
