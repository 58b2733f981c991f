"""Whether the capital of a sentence's first word belongs to the word: `British`, `Hugh`, but not `Limescale`.

Only a word that is known as a common one loses its capital: from the document, which writes it small elsewhere,
from the lexicon, or by how it is formed. Everything else may be a name.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

from tunesmith.synthesize.forms import base_form
from tunesmith.synthesize.wordlists import CLOSED, word_set

_ALSO_NAMES = word_set(
    "china turkey parliament congress march august may english french german dutch polish danish swiss roman"
    " welsh jersey"
)
"""Names that are written like common words but for the capital, or stand small in the lexicon by mistake."""
_PREFIXES = (
    "anti", "bio", "electro", "geo", "hydro", "inter", "micro", "multi", "non", "over", "photo", "poly", "pre",
    "re", "semi", "sub", "super", "thermo", "ultra", "un", "under",
)  # fmt: skip
_COMMON_ENDING = re.compile(
    r"[a-z]{3,}(?:i[sz]ed|i[sz]ing|i[sz]ation|ification|ologists?|ology|ographers?|ness|ically|ive|ous|less)|[a-z]{5,}(?:[nrt]ic|ite)"
)


def is_common_word(
    text: str,
    tags: Mapping[str, str],
    names: Container[str] = frozenset(),
    small: Container[str] = frozenset(),
) -> bool:
    """True when the word is known to be no name.

    Args:
        text: the first word of a sentence, with its capital.
        tags: the lexicon, word -> Penn tag.
        names: words that the document writes with a capital inside sentences, and never small.
        small: words that the document writes small.
    """
    lower = text.lower()
    if lower in _ALSO_NAMES:
        return False
    if lower in CLOSED or lower in small or _singular(lower) in small or f"{lower}s" in small:
        return True
    if text in names:
        return False
    if lower in tags:
        return not tags[lower].startswith("NNP")
    if "-" in lower:
        return all(part in _PREFIXES or is_common_word(part, tags) for part in lower.split("-"))
    if tags.get(text, "").startswith(("NNP", "JJ")):
        return False
    return _is_formed_from(lower, tags)


def _singular(lower: str) -> str:
    return (
        base_form(lower, "VBZ") if lower.endswith("s") and not lower.endswith(("ss", "us", "is")) else lower
    )


def _is_formed_from(lower: str, tags: Mapping[str, str]) -> bool:
    """True for a form, a derivation or a compound of common words: `Silencers`, `Uninsulated`, `Limescale`."""
    if not lower.isalpha() or len(lower) < 5:
        return False
    if _singular(lower) in tags or _COMMON_ENDING.fullmatch(lower):
        return True
    if lower.endswith("ed") and base_form(lower, "VBN", tags) in tags:
        return True
    if lower.endswith("ing") and (lower[:-3] in tags or f"{lower[:-3]}e" in tags):
        return True
    if lower.endswith("ers") and {lower[:-3], lower[:-2], lower[:-4]} & tags.keys():
        return True
    for prefix in _PREFIXES:
        rest = lower.removeprefix(prefix)
        if rest != lower and len(rest) > 4 and (rest in tags or _is_formed_from(rest, tags)):
            return True
    return any(
        tags.get(lower[:cut]) == "NN" and tags.get(lower[cut:]) in {"NN", "NNS"}
        for cut in range(4, len(lower) - 3)
    )
