"""Short answers: right or wrong, and how many words are shared, by SQuAD's rules (Rajpurkar et al. 2016 and 2018).

Its normaliser (lower case, no punctuation, no a/an/the, single spaces) belongs to these two metrics only.
"""

from __future__ import annotations

import re
import string
from collections import Counter

from tunesmith.records import Prediction
from tunesmith.score.metric import Metric, answer_text, mean_metric, reference_texts
from tunesmith.score.stage import DEFAULTS, ScoreOptions

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
SIGNATURE = "squad-v2-normaliser|max-over-references|agg:mean"


def normalise_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(WITHOUT_PUNCTUATION)).split())


def exact_match(options: ScoreOptions = DEFAULTS) -> Metric:
    """Share of answers equal to a reference after normalising."""

    def value(prediction: Prediction) -> float:
        answer = normalise_answer(answer_text(prediction))
        return float(any(answer == normalise_answer(reference) for reference in reference_texts(prediction)))

    return mean_metric("exact_match", value, signature=SIGNATURE)


def token_f1(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean F1 of shared words after normalising. An empty answer to an empty reference is right."""

    def value(prediction: Prediction) -> float:
        return max(
            shared_word_f1(reference, answer_text(prediction)) for reference in reference_texts(prediction)
        )

    return mean_metric("token_f1", value, signature=SIGNATURE)


def shared_word_f1(reference: str, answer: str) -> float:
    """F1 of the words that two texts share after normalising, repeated words counted; 1 if both are empty."""
    expected, given = normalise_answer(reference).split(), normalise_answer(answer).split()
    if not expected or not given:
        return float(expected == given)
    shared = (Counter(expected) & Counter(given)).total()
    return 2 * shared / (len(expected) + len(given))
