"""Score: predictions in, one statistic row per prediction and metric out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import Field, field_validator

from tunesmith import plugins
from tunesmith.errors import InputError
from tunesmith.options import Options
from tunesmith.records import Prediction, Score
from tunesmith.score.floors import with_other_references
from tunesmith.score.metric import METRICS, Metric, Stats, answer_text

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
SHOWN_IDS = 5


class ScoreOptions(Options):
    metrics: tuple[str, ...] = Field(
        default=("bleu", "chrf", "rouge1", "rouge2", "rougeL", "meteor", "cosine", "perplexity"),
        description="Names of the metrics to compute; `rouge` stands for all four ROUGE scores.",
        min_length=1,
    )
    bleu_tokenizer: Literal["13a", "intl", "char", "zh", "none"] = Field(
        default="13a",
        description="sacrebleu's tokenizer for bleu and sentence_bleu; `char` for scripts without spaces.",
    )
    rouge_stemmer: bool = Field(
        default=True, description="Whether ROUGE compares word stems (Porter) or whole words."
    )
    wordnet: str = Field(
        default="auto",
        description="WordNet folder for METEOR's synonyms; `auto` looks where Debian puts it, `off` does without.",
    )
    encoder: str = Field(
        default="builtin",
        description="Text encoder for cosine and bertscore: `builtin` or the folder of a model.",
    )
    encoder_layer: int | None = Field(
        default=None,
        description="Encoder layer whose token vectors bertscore compares; empty for the last one.",
    )
    long_texts: Literal["window", "cut"] = Field(
        default="window",
        description="Texts longer than the encoder reads: encoded in overlapping windows, or cut as other tools do.",
    )
    labels: tuple[str, ...] = Field(
        default=(),
        description="Labels for accuracy, precision, recall, f1 and mcc; empty takes every text that is a reference.",
    )
    fluency_model: str = Field(
        default="builtin",
        description="Model under which fluency measures the answers: `builtin`, a folder, or a hub name.",
    )
    batch_size: int = Field(default=16, ge=1, description="Texts encoded or measured at once.")

    @field_validator("metrics", mode="before")
    @classmethod
    def _split_names(cls, names: object) -> object:
        """Takes "bleu,rouge" as well as a list, spells `rouge` out, and drops repeated names."""
        if isinstance(names, str):
            names = [name.strip() for name in names.split(",") if name.strip()]
        if not isinstance(names, (list, tuple)):
            return names
        spelled = [part for name in names for part in (ROUGE if name == "rouge" else (name,))]
        return tuple(dict.fromkeys(spelled))

    @field_validator("labels", mode="before")
    @classmethod
    def _split_labels(cls, labels: object) -> object:
        """Takes "yes,no" as well as a list."""
        if isinstance(labels, str):
            labels = [label.strip() for label in labels.split(",") if label.strip()]
        return labels


DEFAULTS = ScoreOptions()


def open_metrics(options: ScoreOptions = DEFAULTS) -> list[Metric]:
    """The metrics that the options name, in that order: built in, or added by another package's entry point.

    Raises:
        InputError: a name is no metric.
    """
    known = plugins.names("metric", METRICS)
    unknown = [name for name in options.metrics if name not in known]
    if unknown:
        raise InputError(
            f"there is no metric {', '.join(repr(name) for name in unknown)}",
            where="score.metrics",
            do=f"choose from: {', '.join(sorted(known))}",
        )
    return [plugins.load("metric", name, METRICS)(options) for name in options.metrics]


def score_predictions(predictions: Sequence[Prediction], metrics: Sequence[Metric]) -> Iterator[Score]:
    """Measures every prediction of every system with every metric.

    Nothing is left out: an empty text keeps its item and scores what the metric gives an empty text (0 for overlap and
    similarity); a prediction that failed, or that a metric cannot score, has `stats=None` and a status that says why.

    Raises:
        InputError: an id occurs twice in one system, or one item has different references in two systems, or an item
            has no reference although a metric needs one.
    """
    _check_predictions(predictions, needs_references=any(metric.uses_references for metric in metrics))
    scorable = [prediction for prediction in predictions if prediction.status != "error"]
    shuffled = with_other_references(scorable)
    count = _reference_count(predictions)
    for metric in metrics:
        compares = metric.uses_references and metric.uses_text
        signature = f"nrefs:{count}|{metric.signature}" if compares else metric.signature
        measured = _measure(scorable, shuffled, metric) if scorable else iter(())
        for prediction in predictions:
            failed = prediction.status == "error"
            stats, value, floor = (None, None, None) if failed else next(measured)
            yield Score(
                id=prediction.id,
                source_id=prediction.source_id,
                system=prediction.system,
                metric=metric.name,
                stats=stats,
                value=value,
                status="error" if failed else _status(prediction, metric, stats),
                signature=signature,
                floor=floor,
            )


def _measure(
    predictions: Sequence[Prediction], shuffled: Sequence[Prediction | None], metric: Metric
) -> Iterator[tuple[Stats | None, float | None, Stats | None]]:
    """Statistics, item value and statistics of the floor, for each prediction."""
    import numpy

    others = [other for other in shuffled if other is not None] if metric.compares else []
    # in one call, so that a text that is met twice is encoded once
    statistics = metric.stats([*predictions, *others])
    if len(statistics) != len(predictions) + len(others):
        raise ValueError(
            f"{metric.name} gave {len(statistics)} statistics for {len(predictions) + len(others)} predictions"
        )
    rows = [row for row in statistics if row is not None]
    if rows and not numpy.isfinite(numpy.array(rows, dtype=float)).all():
        raise ValueError(f"{metric.name} gave a statistic that is not a finite number")
    own, floors = statistics[: len(predictions)], iter(statistics[len(predictions) :])
    table = numpy.array([row for row in own if row is not None], dtype=float)
    values = iter(metric.item_values(table).tolist() if len(table) else ())
    for row, other in zip(own, shuffled, strict=True):
        floor = next(floors) if others and other is not None else None
        yield row, None if row is None else _number(next(values)), None if row is None else floor


def _number(value: float) -> float | None:
    import math

    return value if math.isfinite(value) else None


def _status(prediction: Prediction, metric: Metric, stats: Stats | None) -> str:
    if stats is None:
        return "not scored"
    if not metric.uses_text:
        return "ok"
    if not answer_text(prediction):
        return "empty"
    return "truncated" if prediction.status == "truncated" else "ok"


def _reference_count(predictions: Iterable[Prediction]) -> str:
    counts = {len(prediction.references) for prediction in predictions}
    return str(counts.pop()) if len(counts) == 1 else "var"


def _check_predictions(predictions: Sequence[Prediction], *, needs_references: bool) -> None:
    seen: set[tuple[str, str]] = set()
    references: dict[str, tuple[str, ...]] = {}
    twice, different, without = [], [], []
    for prediction in predictions:
        key = (prediction.system, prediction.id)
        if key in seen:
            twice.append(prediction.id)
        seen.add(key)
        if references.setdefault(prediction.id, prediction.references) != prediction.references:
            different.append(prediction.id)
        if needs_references and not prediction.references:
            without.append(prediction.id)
    if twice:
        raise InputError(
            f"one system has two predictions for {_shown(twice)}", do="keep one row per item and system"
        )
    if different:
        raise InputError(
            f"the systems were given different references for {_shown(different)}",
            do="score all systems against the same references",
        )
    if without:
        raise InputError(
            f"no reference for {_shown(without)}", do="add references, or leave out metrics that need them"
        )


def _shown(ids: Sequence[str]) -> str:
    unique = list(dict.fromkeys(ids))
    more = f" and {len(unique) - SHOWN_IDS} more" if len(unique) > SHOWN_IDS else ""
    return ", ".join(unique[:SHOWN_IDS]) + more
