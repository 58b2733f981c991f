"""How numbers and names are printed: rounded to what is known, in words a student reads without a dictionary."""

from __future__ import annotations

import math

MISSING = "–"

_METRICS = {
    "bleu": ("BLEU", "runs of one to four words shared with the reference, over all answers together"),
    "sentence_bleu": ("Sentence BLEU", "BLEU of each answer alone, averaged"),
    "nltk_bleu": ("NLTK BLEU", "sentence BLEU as NLTK defines it, as many papers print it"),
    "chrf": ("chrF", "runs of letters shared with the reference; kinder to word endings than BLEU"),
    "chrf++": ("chrF++", "runs of letters and word pairs shared with the reference"),
    "rouge1": ("ROUGE-1", "single words shared with the reference"),
    "rouge2": ("ROUGE-2", "word pairs shared with the reference"),
    "rougeL": ("ROUGE-L", "longest run of words in the same order as in the reference, gaps allowed"),
    "rougeLsum": ("ROUGE-Lsum", "ROUGE-L taken line by line"),
    "meteor": ("METEOR", "words shared with the reference, with stems and synonyms, and their order"),
    "bertscore": ("BERTScore", "how alike answer and reference are to a language encoder, word by word"),
    "cosine": ("Cosine", "how alike answer and reference are in meaning, to a sentence encoder"),
    "perplexity": ("Perplexity", "how surprised the model is by the reference; lower is better"),
    "bits_per_byte": (
        "Bits per byte",
        "how surprised the model is by each byte of the reference; lower is better",
    ),
    "fluency": ("Fluency", "how surprised another language model is by the answer; lower is better"),
    "exact_match": ("Exact match", "share of answers equal to the reference but for case and punctuation"),
    "token_f1": ("Word F1", "words shared with the reference, in any order"),
    "length_ratio": ("Length ratio", "words of the answers for each word of the references"),
    "copies_reference": ("Copies of the reference", "share of answers equal to the reference, word for word"),
    "copies_prompt": (
        "Copied from the prompt",
        "longest run of words taken from the prompt, as a share of the answer",
    ),
    "repetition": ("Repetition", "share of word sequences that the answer has said before"),
    "accuracy": ("Accuracy", "share of right labels"),
    "precision": (
        "Precision",
        "share of the answers with a label that are right, every label counting alike",
    ),
    "recall": ("Recall", "share of the items of a label that are found, every label counting alike"),
    "f1": ("F1", "balance of precision and recall, every label counting alike"),
    "mcc": ("MCC", "how far the labels go together with the right ones; 0 for a constant answer"),
    "judge_correctness": (
        "Correctness, by the judge",
        "1 when an answer says what the reference says, ½ in part, 0 when not, as the judge reads it",
    ),
}
_RUBRIC = "rubric_"

_STAGES = (
    "read",
    "synthesize",
    "prepare",
    "train",
    "retrieve",
    "generate",
    "score",
    "rate",
    "judge",
    "compare",
    "report",
)


def metric_name(metric: str) -> str:
    """The name as papers print it."""
    if metric.startswith(_RUBRIC):
        return f"{plain_name(metric.removeprefix(_RUBRIC)).capitalize()}, by the judge"
    return _METRICS.get(metric, (metric, ""))[0]


def metric_meaning(metric: str) -> str:
    """What it counts, in one line; empty for a metric we do not know."""
    if metric.startswith(_RUBRIC):
        return f"the judge’s grade for {plain_name(metric.removeprefix(_RUBRIC))}: 1 fully, ½ in part, 0 not"
    return _METRICS.get(metric, ("", ""))[1]


def teacher_words(teacher: str) -> str:
    """What the reader knows the teacher by."""
    return "the built-in rules (no model)" if teacher == "builtin" else teacher


def plain_name(name: str) -> str:
    """`near_duplicate` as people write it."""
    return name.replace("_", " ")


def stage_rank(stage: str) -> int:
    """The place of a stage in the sentence read, synthesize, …; unknown ones come last."""
    return _STAGES.index(stage) if stage in _STAGES else len(_STAGES)


def count(number: int) -> str:
    return f"{number:,}"


def plural(number: int, singular: str, many: str | None = None) -> str:
    """`1 document`, `5 documents`, `2 copies`."""
    return f"{count(number)} {singular if number == 1 else many or singular + 's'}"


def share(part: int, whole: int) -> str:
    """A percentage without false precision; a dash when there is nothing to divide by."""
    if not whole:
        return MISSING
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "under 1%"
    if 99 < percent < 100:
        return "over 99%"
    return f"{percent:.0f}%"


def number(value: float | None, places: int | None = None) -> str:
    """A number with `places` decimals, or with three significant digits; a dash for what is missing or not finite."""
    if value is None or not math.isfinite(value):
        return MISSING
    if places is None:
        places = significant_places(value, 3)
    text = f"{value:,.{places}f}"
    # Rounded to nothing, a sign would claim a direction that the digits do not show.
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", "\N{MINUS SIGN}")


def signed(value: float | None, places: int | None = None) -> str:
    """Like `number`, with a plus before what is above zero."""
    text = number(value, places)
    return (
        f"+{text}" if value is not None and math.isfinite(value) and value > 0 and text.strip("0.") else text
    )


def significant_places(value: float, digits: int) -> int:
    """Decimals that show `digits` significant digits of `value`: between 0 and 6."""
    if value == 0 or not math.isfinite(value):
        return 1
    return min(6, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def places_for(
    value: float | None, low: float | None, high: float | None, *beside: float | None
) -> int | None:
    """Decimals worth printing for an estimate and the values `beside` it; `None` where there is no interval.

    Two significant digits of half the interval (an interval of ±1.9 earns one decimal), as long as that gives no
    number more than three significant digits; always one digit of half the interval, and never so few that a small
    estimate is printed as nothing.
    """
    if low is None or high is None or not math.isfinite(high - low) or high <= low:
        return None
    half = (high - low) / 2
    largest = max((abs(number) for number in (value, *beside) if number), default=half)
    places = min(significant_places(half, 2), significant_places(largest, 3))
    least = 0 if not value else min(significant_places(value, 1), significant_places(half, 2) + 1)
    return max(places, significant_places(half, 1), least)


def interval(low: float | None, high: float | None, places: int | None = None) -> str:
    """`2.2 to 6.0`; `2.2 or more` where there is no upper bound."""
    if low is not None and high is None:
        return f"{number(low, places)} or more"
    if low is None or high is None:
        return MISSING
    return f"{number(low, places)} to {number(high, places)}"


def p_value(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """`41 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def memory(megabytes: float | None) -> str:
    if megabytes is None or not math.isfinite(megabytes) or megabytes <= 0:
        return MISSING
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def energy(joules: float | None) -> str:
    """`540 J`, `12 kJ`, `1.3 kWh`."""
    if joules is None or not math.isfinite(joules):
        return MISSING
    if joules < 1000:
        return f"{joules:.0f} J"
    return f"{joules / 1000:.0f} kJ" if joules < 360_000 else f"{joules / 3.6e6:.1f} kWh"


def operations(value: float | None) -> str:
    """Floating-point operations: `850 million`, `3.2 trillion`."""
    if value is None or not math.isfinite(value):
        return MISSING
    for size, name in ((1e18, "quintillion"), (1e15, "quadrillion"), (1e12, "trillion"), (1e9, "billion")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value / 1e6:.3g} million"


def shortened(text: str, limit: int) -> str:
    """The text, cut after `limit` characters with the rest counted."""
    return (
        text
        if len(text) <= limit
        else f"{text[:limit].rstrip()} … ({count(len(text) - limit)} characters more)"
    )
