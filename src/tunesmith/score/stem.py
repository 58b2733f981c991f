"""NLTK's Porter stemmer with a memory, for ROUGE and METEOR: the words of a test set repeat."""

from __future__ import annotations

from functools import cache, lru_cache


class Stemmer:
    """What rouge_score and NLTK ask of a stemmer."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self.stem = lru_cache(maxsize=2**18)(PorterStemmer().stem)


@cache
def shared_stemmer() -> Stemmer:
    """The one stemmer of this process."""
    return Stemmer()
