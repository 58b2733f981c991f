"""The sections of the report, in the order of the page: each a function from a study to a section, or `None`.

To add one, write such a function, give it a template, and put it into `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith.records import Comparison
from tunesmith.report.answers import group_sizes, shown_answers
from tunesmith.report.audit_page import audit_section, headline
from tunesmith.report.check import tally
from tunesmith.report.checklist import checklist
from tunesmith.report.classification import classification_section
from tunesmith.report.decodings import decodings_section
from tunesmith.report.grid import grid_section
from tunesmith.report.items import items_section
from tunesmith.report.judge import judge_section
from tunesmith.report.making import command_section, settings_section, tokens_section, training_section
from tunesmith.report.material import data_section
from tunesmith.report.metrics import VERDICT_SIGNS, metrics_section
from tunesmith.report.section import Section
from tunesmith.report.study import (
    Study,
    compared_pairs,
    comparison_places,
    confidence,
    context_words,
    metric_order,
    origin_words,
    primary_comparisons,
    system_names,
)
from tunesmith.report.words import (
    interval,
    metric_meaning,
    metric_name,
    number,
    signed,
)


def verdict_section(study: Study) -> Section:
    """The answer, before anything else; says so when there is none."""
    return Section(
        "verdict",
        "Verdict",
        "verdict.html.j2",
        {
            "verdicts": [_verdict(comparison) for comparison in primary_comparisons(study)],
            "reason": _why_no_verdict(study),
            "context": context_words(study),
            "origin": origin_words(study),
            "confidence": confidence(study),
            "tally": tally(checklist(study)),
            "audit": headline(study.audit.findings) if study.audit else None,
        },
        is_listed=False,
    )


def _verdict(comparison: Comparison) -> dict[str, Any]:
    places = comparison_places(comparison)
    return {
        "kind": comparison.verdict,
        "sign": VERDICT_SIGNS[comparison.verdict],
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
    }


def _why_no_verdict(study: Study) -> str:
    names = system_names(study)
    if not names:
        return "No system has answered yet."
    if len(names) == 1:
        return f"Only “{names[0]}” has answered: a verdict needs a second system on the same items."
    if study.comparisons:
        return "No metric was named as the primary one before the run, so none can decide. Every comparison is below."
    return "The systems have not been compared yet."


def validity_section(study: Study) -> Section | None:
    """Reasons to doubt the verdict, with what was found for each."""
    found = checklist(study)
    if not found:
        return None
    return Section(
        "validity",
        "Can it be believed?",
        "validity.html.j2",
        {"checks": found, "tally": tally(found)},
    )


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
    audit_section,
    classification_section,
    metrics_section,
    decodings_section,
    judge_section,
    items_section,
    training_section,
    tokens_section,
    data_section,
    grid_section,
    answers_section,
    settings_section,
    command_section,
)
