"""An extractive summary: the sentence of a passage that shares most with the rest of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from tunesmith.synthesize.sentences import Sentence
from tunesmith.synthesize.wordlists import word_set

_STOP = word_set(
    "the a an and or but of in on at by for with from to into as than that which who is are was were be"
    " been has have had it its they their this these not no can may must will would should more most also"
    " such when while because so if"
)


def central_sentence(sentences: Sequence[Sentence]) -> Sentence | None:
    """The sentence with the largest mean cosine similarity to the others (LexRank's degree centrality,
    Erkan and Radev 2004); the first one wins a tie. `None` for a passage of fewer than three sentences,
    which needs no summary."""
    if len(sentences) < 3:
        return None
    bags = [_bag(sentence.text) for sentence in sentences]
    best, most = None, 0.0
    for index, sentence in enumerate(sentences):
        if not sentence.is_usable or re.match(
            r"(?:It|They|He|She|This|These|Those|Such|That)\b", sentence.text
        ):
            continue
        score = sum(_cosine(bags[index], other) for number, other in enumerate(bags) if number != index) / (
            len(bags) - 1
        )
        if score > most + 1e-12:
            best, most = sentence, score
    return best


def _bag(text: str) -> Counter[str]:
    return Counter(
        word.rstrip("s") for word in re.findall(r"[a-z][a-z-]+", text.lower()) if word not in _STOP
    )


def _cosine(a: Counter[str], b: Counter[str]) -> float:
    shared = sum(count * b[word] for word, count in a.items())
    size = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    return shared / size if size else 0.0
