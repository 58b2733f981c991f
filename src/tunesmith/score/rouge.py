"""ROUGE exactly as `rouge_score` computes it, with its slow parts replaced by faster ones of equal result.

The stemmer is cached, and the length of the longest common subsequence comes from rapidfuzz's bit-parallel one. Texts
of several lines go through rouge_score's own summary-level function, whose choice among equally long subsequences
matters. Paper: Lin 2004.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from tunesmith.records import Prediction
from tunesmith.score.metric import Metric, Stats, answer_text, ratio, reference_texts
from tunesmith.score.stage import DEFAULTS, ScoreOptions
from tunesmith.score.stem import shared_stemmer

if TYPE_CHECKING:
    from tunesmith.score.metric import Array

Tokens = tuple[str, ...]
UNREADABLE_SHARE = 0.05
"""From this share of references without a single token on, a caution is shown."""


def rouge1(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean F1 of shared words."""
    return _rouge("rouge1", lambda reference, answer, stem: _overlap(reference, answer, 1, stem), options)


def rouge2(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean F1 of shared word pairs."""
    return _rouge("rouge2", lambda reference, answer, stem: _overlap(reference, answer, 2, stem), options)


def rouge_l(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean F1 of the longest common subsequence, over the text as a whole."""
    return _rouge("rougeL", _longest, options)


def rouge_l_sum(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean F1 of the union of longest common subsequences, line by line."""
    return _rouge("rougeLsum", _longest_by_line, options)


def _rouge(name: str, f1: Callable[[str, str, bool], float], options: ScoreOptions) -> Metric:
    from importlib.metadata import version

    stem = options.rouge_stemmer

    def stats(predictions: Sequence[Prediction]) -> list[Stats | None]:
        rows: list[Stats | None] = []
        for prediction in predictions:
            answer, references = answer_text(prediction), reference_texts(prediction)
            best = max(f1(reference, answer, stem) for reference in references)
            unreadable = not any(_tokens(reference, stem) for reference in references)
            rows.append((best, 1.0, float(unreadable and any(references))))
        return rows

    lines = "|lines:newline" if name == "rougeLsum" else ""
    return Metric(
        name=name,
        higher_is_better=True,
        signature=f"rouge-score:{version('rouge-score')}|stem:{'porter' if stem else 'no'}{lines}|agg:mean-F1",
        stats=stats,
        aggregate=ratio,
        bounds=(0.0, 1.0),
        cautions=_cautions,
    )


def _cautions(statistics: Array) -> tuple[str, ...]:
    share = float(statistics[:, 2].mean()) if len(statistics) else 0.0
    if share < UNREADABLE_SHARE:
        return ()
    return (
        f"ROUGE reads only the letters a to z and digits: {share:.0%} of the references have none and score 0 whatever "
        "the answer; look at chrf or cosine",
    )


@lru_cache(maxsize=2**15)
def _tokens(text: str, stem: bool) -> Tokens:
    from rouge_score.tokenize import tokenize

    return tuple(tokenize(text, shared_stemmer() if stem else None))


@lru_cache(maxsize=2**15)
def _ngrams(text: str, n: int, stem: bool) -> Counter[Tokens]:
    tokens = _tokens(text, stem)
    return Counter(zip(*(tokens[start:] for start in range(n)), strict=False))


def _f1(matches: float, n_answer: int, n_reference: int) -> float:
    if not matches:
        return 0.0
    precision, recall = matches / n_answer, matches / n_reference
    return 2 * precision * recall / (precision + recall)


def _overlap(reference: str, answer: str, n: int, stem: bool) -> float:
    of_reference, of_answer = _ngrams(reference, n, stem), _ngrams(answer, n, stem)
    shared = sum(min(count, of_answer[gram]) for gram, count in of_reference.items() if gram in of_answer)
    return _f1(shared, of_answer.total(), of_reference.total())


def _longest(reference: str, answer: str, stem: bool) -> float:
    from rapidfuzz.distance import LCSseq

    of_reference, of_answer = _tokens(reference, stem), _tokens(answer, stem)
    return _f1(LCSseq.similarity(of_reference, of_answer), len(of_answer), len(of_reference))


def _longest_by_line(reference: str, answer: str, stem: bool) -> float:
    from rouge_score.rouge_scorer import _summary_level_lcs

    if (
        "\n" not in reference and "\n" not in answer
    ):  # one line each: the union is the longest subsequence itself
        return _longest(reference, answer, stem)
    lines = [[list(_tokens(line, stem)) for line in text.split("\n") if line] for text in (reference, answer)]
    return float(_summary_level_lcs(*lines).fmeasure)
