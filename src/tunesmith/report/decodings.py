"""The section on decoding: every metric under every setting in one table, and what the batch changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.records import Comparison, Summary, setting_of, system_under
from tunesmith.report.metrics import VERDICT_SIGNS
from tunesmith.report.section import Section
from tunesmith.report.study import Study, comparison_places, confidence, metric_order
from tunesmith.report.words import MISSING, interval, metric_name, number, p_value, places_for, signed

MAIN = "main"


def decodings_section(study: Study) -> Section | None:
    """Left out where a run has one decoding setting and nothing to say about it."""
    if not study.setting_summaries and not study.generation_notes:
        return None
    lines = _lines(study) if study.setting_summaries else []
    return Section(
        "decodings",
        "Decoding settings",
        "decodings.html.j2",
        {
            "lines": lines,
            "systems": list(dict.fromkeys(cell["system"] for line in lines for cell in line["cells"])),
            "is_compared": bool(study.setting_comparisons),
            "n_comparisons": len(study.comparisons) + len(study.setting_comparisons),
            "settings": _settings(study),
            "confidence": confidence(study),
            "notes": [note.text for note in study.generation_notes],
        },
    )


def _settings(study: Study) -> list[tuple[str, str]]:
    """Name and keys of each setting beside the main one, as the plan has them."""
    options = study.plan.get("generate")
    settings = options.get("settings", {}) if isinstance(options, Mapping) else {}
    return [
        (name, ", ".join(f"{key}: {json.dumps(value)}" for key, value in changes.items()))
        for name, changes in settings.items()
    ]


def _lines(study: Study) -> list[dict[str, Any]]:
    """One line for each metric and setting, the main one first; metrics that only the main one has are left out."""
    summaries = [*study.summaries, *study.setting_summaries]
    comparisons = [*study.comparisons, *study.setting_comparisons]
    names = list(dict.fromkeys(setting_of(item.system) for item in summaries))
    lines = []
    for metric in metric_order(study):
        found = [item for item in summaries if item.metric == metric]
        if not any(setting_of(item.system) for item in found):
            continue
        for name in names:
            under = [item for item in found if setting_of(item.system) == name]
            compared = [
                item for item in comparisons if item.metric == metric and setting_of(item.tuned) == name
            ]
            lines.append(_line(metric, name, under, compared))
    return lines


def _line(
    metric: str, setting: str, summaries: Sequence[Summary], comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    first = summaries[0]
    return {
        "metric": metric_name(metric),
        "arrow": "↑" if first.higher_is_better else "↓",
        "direction": "higher is better" if first.higher_is_better else "lower is better",
        "setting": setting or MAIN,
        "is_main": not setting,
        "cells": [_cell(item, setting) for item in summaries],
        "differences": [_difference(item) for item in comparisons],
    }


def _cell(item: Summary, setting: str) -> dict[str, str]:
    places = places_for(item.value, item.low, item.high)
    return {
        "system": item.system.removesuffix(system_under("", setting)),
        "value": number(item.value, places),
        "interval": interval(item.low, item.high, places),
    }


def _difference(item: Comparison) -> dict[str, Any]:
    places = comparison_places(item)
    return {
        "value": signed(item.difference, places),
        "interval": interval(item.low, item.high, places) if item.difference is not None else item.words,
        "p": p_value(item.p),
        "p_holm": p_value(item.p_holm) if item.p_holm is not None else MISSING,
        "verdict": item.verdict,
        "sign": VERDICT_SIGNS[item.verdict],
    }
