"""METEOR by NLTK's own function (the 2007 parameters), offline.

Without WordNet it matches equal words and equal stems; with WordNet also synonyms, in NLTK's way, which looks up the
*stem*. The variant is in the signature: numbers of the two variants, or of the Java program, are not to be compared.
Paper: Lavie and Agarwal 2007.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tunesmith.records import Prediction
from tunesmith.score.metric import Metric, answer_text, mean_metric, reference_texts
from tunesmith.score.stage import DEFAULTS, ScoreOptions
from tunesmith.score.stem import shared_stemmer
from tunesmith.score.wordnet import open_wordnet


class NoSynonyms:
    """Stands where NLTK wants a WordNet: no word has a synonym."""

    def synsets(self, word: str) -> list[Any]:
        return []


def meteor(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean METEOR over items, 0 to 1; identical texts score just under 1 because one chunk is still penalised."""
    import nltk
    from nltk.translate.meteor_score import meteor_score
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    stemmer = shared_stemmer()
    wordnet = open_wordnet(options.wordnet)
    tokenize = lru_cache(maxsize=2**15)(Tokenizer13a())  # type: ignore[no-untyped-call]
    variant = f"wn:{wordnet.version}|syn:nltk-stem" if wordnet else "syn:off"

    def value(prediction: Prediction) -> float:
        references = [tokenize(reference).split() for reference in reference_texts(prediction)]
        answer = tokenize(answer_text(prediction)).split()
        return float(meteor_score(references, answer, stemmer=stemmer, wordnet=wordnet or NoSynonyms()))

    return mean_metric(
        "meteor", value, signature=f"nltk:{nltk.__version__}|tok:13a|lower|a:0.9|b:3|g:0.5|{variant}|agg:mean"
    )
