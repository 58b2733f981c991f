"""What the texts are like: how long, how repetitive, how much of them is copied.

None of these says by itself that an answer is good or bad, so they are summed up and not judged. Many answers that
repeat the reference word for word are a sign of leaked data; a long copy of the prompt is a sign of an echo.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tunesmith.records import Prediction
from tunesmith.score.metric import Metric, Stats, answer_text, mean_metric, ratio, reference_texts
from tunesmith.score.stage import DEFAULTS, ScoreOptions

REPEATED_WORDS = 4
MINIMUM_COPY = 5
"""Words. Shorter references are answered word for word by anyone who knows the answer."""


def length_ratio(options: ScoreOptions = DEFAULTS) -> Metric:
    """Words of all predictions over words of all (first) references."""

    def stats(predictions: Sequence[Prediction]) -> list[Stats | None]:
        return [
            (float(len(answer_text(p).split())), float(len(reference_texts(p)[0].split())))
            for p in predictions
        ]

    return Metric(
        name="length_ratio",
        higher_is_better=True,
        signature="sum words / sum reference words|tok:whitespace|first-reference",
        stats=stats,
        aggregate=ratio,
        bounds=(0.0, None),
        is_descriptive=True,
    )


def copies_reference(options: ScoreOptions = DEFAULTS) -> Metric:
    """Share of predictions equal to a reference of five words or more, word for word."""

    def value(prediction: Prediction) -> float:
        words = answer_text(prediction).split()
        return float(
            len(words) >= MINIMUM_COPY
            and any(words == reference.split() for reference in prediction.references)
        )

    return mean_metric(
        "copies_reference",
        value,
        signature=f"equal-words|tok:whitespace|min:{MINIMUM_COPY}|agg:mean",
        higher_is_better=False,
        is_descriptive=True,
    )


def copies_prompt(options: ScoreOptions = DEFAULTS) -> Metric:
    """Share of each prediction that its longest run of words found in the prompt makes up, mean over items."""

    def value(prediction: Prediction) -> float:
        words = answer_text(prediction).split()
        return longest_common_run(prediction.prompt.split(), words) / len(words) if words else 0.0

    return mean_metric(
        "copies_prompt",
        value,
        signature="longest-common-run/words|tok:whitespace|agg:mean",
        higher_is_better=False,
        uses_references=False,
        is_descriptive=True,
    )


def repetition(options: ScoreOptions = DEFAULTS) -> Metric:
    """Share of runs of four words that occurred before in the same prediction, mean over items."""

    def value(prediction: Prediction) -> float:
        words = answer_text(prediction).split()
        runs = Counter(zip(*(words[start:] for start in range(REPEATED_WORDS)), strict=False))
        return 1 - len(runs) / runs.total() if runs else 0.0

    return mean_metric(
        "repetition",
        value,
        signature=f"repeated {REPEATED_WORDS}-grams/all|tok:whitespace|agg:mean",
        higher_is_better=False,
        uses_references=False,
        is_descriptive=True,
    )


def longest_common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length in words of the longest run of words that stands in both."""
    from difflib import SequenceMatcher

    return SequenceMatcher(None, first, second, autojunk=False).find_longest_match().size
