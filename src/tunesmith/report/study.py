"""What a report shows: one frozen record made of the other stages' records, filled by the pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tunesmith.records import (
    Chunk,
    Comparison,
    Document,
    Example,
    GenerationNote,
    Note,
    Prediction,
    Refused,
    Row,
    Score,
    Summary,
    TrainingLog,
)
from tunesmith.report.findings import Audit
from tunesmith.report.words import places_for, teacher_words


@dataclass(frozen=True, slots=True)
class Source:
    """One document in numbers: a report needs its size, not its text."""

    source_id: str
    title: str
    words: int
    chunks: int
    pages: int | None = None
    tokens: int | None = None
    """Of its passages, as estimated."""


@dataclass(frozen=True, slots=True)
class Study:
    """Everything a report shows. Only the first six fields are needed: a section without its records is left out."""

    name: str
    created: str
    """The day it was made, as the reader should see it. The report never asks the clock: same study, same bytes."""
    command: str
    """The command that makes it again."""
    context: Literal["passage", "none", "given"]
    """`passage`: the model was shown the passage (open book); `none`: the question alone (closed book);
    `given`: whatever finished rows ask."""
    teacher: str
    """Who wrote questions and references; empty for finished rows."""
    base: str
    """The base model, as the plan names it."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """The resolved plan: plain mappings, lists and scalars."""
    manifest: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Stage name to `{key, seconds, cached, versions: {package: version}, peak_memory_mb}`, all of them optional."""
    sources: Sequence[Source] = ()
    notes: Sequence[Note] = ()
    examples: Sequence[Example] = ()
    """Accepted by `synthesize`."""
    refused: Sequence[Refused] = ()
    """Turned down by `synthesize`."""
    coverage: Sequence[Mapping[str, Any]] = ()
    """Of a grid of scenarios: attribute, level, and how often it was planned, produced and kept."""
    data: Sequence[Mapping[str, Any]] = ()
    """The sets of finished rows, as `prepare.data.DataFacts` in plain values."""
    lengths: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Split to `prepare.lengths.Lengths` in plain values; empty where they were not measured."""
    window: int | None = None
    """Tokens the base model sees at once in training."""
    rows: Sequence[Row] = ()
    refused_rows: Sequence[Refused] = ()
    """Accepted examples that `prepare` turned down."""
    leaks: Sequence[Mapping[str, Any]] | None = None
    """What the leak check found, as plain rows; `None` when nobody looked."""
    training: Mapping[str, TrainingLog] = field(default_factory=dict)
    """System name to its training."""
    predictions: Sequence[Prediction] = ()
    scores: Sequence[Score] = ()
    summaries: Sequence[Summary] = ()
    comparisons: Sequence[Comparison] = ()
    setting_summaries: Sequence[Summary] = ()
    """Under decoding settings beside the main one; their systems are called `NAME@SETTING`."""
    setting_comparisons: Sequence[Comparison] = ()
    generation_notes: Sequence[GenerationNote] = ()
    """What a reader of the answers should know of how they came about."""
    baselines: Sequence[Summary] = ()
    """What systems without a model score: always one label, the commonest first."""
    judge: Mapping[str, Any] | None = None
    """What `compare.judged.judge_summary` made of a judge's verdicts; `None` when nobody judged."""
    audit: Audit | None = None
    """What an audit of these records found; `None` when there was none."""
    seed: int = 0
    """Draws the random answers shown side by side."""


def count_sources(documents: Iterable[Document], chunks: Iterable[Chunk]) -> tuple[Source, ...]:
    """The documents in numbers, in their order; both inputs may be streams."""
    per_source: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for chunk in chunks:
        per_source[chunk.source_id] += 1
        tokens[chunk.source_id] += chunk.n_tokens
    found: dict[str, Source] = {}
    for item in documents:
        name = item.source_id
        before = found.get(name)
        words = len(item.text.split()) + (before.words if before else 0)
        pages = len(item.page_starts) or None
        title = before.title if before else item.title
        found[name] = Source(name, title, words, per_source[name], pages, tokens[name])
    return tuple(found.values())


def system_names(study: Study) -> list[str]:
    """Every system, the base of the comparisons first, then in the order of appearance."""
    found = [
        *(comparison.base for comparison in study.comparisons),
        *(comparison.tuned for comparison in study.comparisons),
        *(summary.system for summary in study.summaries),
        *(prediction.system for prediction in study.predictions),
    ]
    names = list(dict.fromkeys(found))
    return sorted(names, key=lambda name: name != "base") if not study.comparisons else names


def compared_pairs(study: Study) -> list[tuple[str, str]]:
    """Every (base, tuned) pair that was compared, in order."""
    return list(dict.fromkeys((comparison.base, comparison.tuned) for comparison in study.comparisons))


def metric_order(study: Study) -> list[str]:
    """Metric names, the primary one first, then in the order of appearance."""
    ranked = sorted(study.comparisons, key=lambda comparison: not comparison.is_primary)
    names = [comparison.metric for comparison in ranked] + [summary.metric for summary in study.summaries]
    return list(dict.fromkeys(names))


def judged_metrics(study: Study) -> list[str]:
    """The metrics that say how good a text is; those that only say what it is like are never compared."""
    compared = {comparison.metric for comparison in study.comparisons}
    return [metric for metric in metric_order(study) if metric in compared or not compared]


def primary_comparisons(study: Study) -> list[Comparison]:
    """The comparison named before the run, one for each tuned system."""
    return [comparison for comparison in study.comparisons if comparison.is_primary]


def item_values(study: Study, metric: str) -> dict[str, dict[str, float]]:
    """System to row id to the metric's value on that item; items without a value are left out."""
    values: dict[str, dict[str, float]] = {}
    for score in study.scores:
        if score.metric == metric and score.value is not None:
            values.setdefault(score.system, {})[score.id] = score.value
    return values


def higher_is_better(study: Study, metric: str) -> bool:
    """Which way is up for a metric; raises `KeyError` when no summary or comparison knows it."""
    known = {item.metric: item.higher_is_better for item in study.summaries}
    known.update({item.metric: item.higher_is_better for item in study.comparisons})
    return known[metric]


def predictions_by_system(study: Study) -> dict[str, list[Prediction]]:
    """The predictions of each system, systems in the report's order."""
    grouped: dict[str, list[Prediction]] = {name: [] for name in system_names(study)}
    for prediction in study.predictions:
        grouped[prediction.system].append(prediction)
    return {name: found for name, found in grouped.items() if found}


def confidence(study: Study) -> str:
    """The confidence of the intervals, as the plan has it: `95%`."""
    options = study.plan.get("compare")
    value = options.get("confidence", 0.95) if isinstance(options, Mapping) else 0.95
    return f"{100 * value:g}%"


def comparison_places(item: Comparison) -> int | None:
    """Decimals for everything printed of one comparison, so that its numbers line up."""
    return places_for(item.difference, item.low, item.high, item.base_value, item.tuned_value)


def context_name(study: Study) -> str:
    """How much the model was shown."""
    if study.context == "given":
        return "finished rows"
    return "open book" if study.context == "passage" else "closed book"


def origin_words(study: Study) -> str:
    """Who wrote the questions and references, or where the rows come from, for after “Questions and references”."""
    if study.teacher:
        return f"by {teacher_words(study.teacher)}"
    return (
        f"from {', '.join(str(one['name']) for one in study.data if not one.get('share')) or 'finished rows'}"
    )


def context_words(study: Study) -> str:
    if study.context == "given":
        return "Each question was asked as the data has it."
    if study.context == "passage":
        return "Open book: the model was shown the passage together with the question."
    return "Closed book: the model was asked the question alone, without the passage."
