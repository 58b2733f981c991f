"""Nouns that look like verbs because a compound ends with them: `power stations burn`, `a wire saw cuts`.

The lexicon gives `stations` both readings. The word behind it decides: two finite verbs do not stand side by side.
"""

from __future__ import annotations

from dataclasses import replace

from tunesmith.synthesize.tagger import Word, load_lexicon
from tunesmith.synthesize.wordlists import word_set

_NOUN_OR_PAST = word_set("saw bore rose felt wound ground shot")
"""Past tenses that name a thing as well."""
_OPENS_OBJECT = word_set("DT PRP$ CD JJR JJS NN NNS NNP JJ RB VBN VBG IN TO")
_SINGULAR = word_set("a an each every one this that another")
_TAKES_BARE_VERB = word_set("help let make see hear watch")
_ATTRIBUTES = word_set(
    "used treated heated cooled dissolved polluted dried recycled reduced increased added mixed stored burnt burned"
    " melted frozen compressed moistened filtered refined chilled painted coated insulated sealed preheated"
)
"""Participles that often stand before a noun: `Water carries dissolved salts`."""
_COMPARES = word_set("more less most best better fewer least")
_INTRANSITIVE = word_set(
    "work run fall rise lie stand stay last sit operate flow go live sleep grow appear occur act differ vary range"
    " come burn melt react lead look point result"
)


def settle_compounds(words: list[Word]) -> list[Word]:
    """The words, with the verb reading taken from those that can only be nouns."""
    done = list(words)
    for index in range(1, len(done) - 1):
        word, after = done[index], done[index + 1]
        beyond = done[index + 2] if index + 2 < len(done) else None
        if word.lower in _NOUN_OR_PAST and after.verb == "VBZ" and done[index - 1].tag in {"NN", "JJ", "VBG"}:
            if beyond is not None and beyond.tag in _OPENS_OBJECT:
                done[index] = replace(word, tag="NN", verb="", is_sure=False)
                done[index + 1] = replace(after, tag="VBZ", is_sure=True)
        elif (
            word.verb == "VBZ"
            and done[index - 1].tag in {"NN", "VBG"}
            and word.lower not in {"is", "has", "does"}
        ):
            helps = any(word.lower.startswith(base) for base in _TAKES_BARE_VERB)
            takes_object = beyond is not None and beyond.tag in {"DT", "PRP$", "CD"}
            is_compound = is_plain_verb(after) and (takes_object or not word.is_sure)
            if is_compound and not helps and done[0].lower not in _SINGULAR:
                done[index] = replace(word, tag="NNS", is_sure=False)
    return done


def is_plain_verb(word: Word) -> bool:
    """True for a base form that is never a noun: `burn`, `contain`, `protect`."""
    return word.tag in {"VB", "VBP"} and load_lexicon().tag(word.lower) in {"VB", "VBP"}


def ends_compound(words: list[Word], first: int, index: int, end: int) -> bool:
    """True when the word at `index`, which may be a noun or a verb in -s, belongs to the subject.

    Args:
        words: the sentence.
        first: where the subject starts.
        index: the word in question, not the first of the subject.
        end: where the sentence ends.
    """
    if not _may_be_plural_noun(words, first, index):
        return False
    after = words[index + 1] if index + 1 < end else None
    beyond = words[index + 2] if index + 2 < end else None
    if after is None:
        return False
    if after.verb == "VBD" and after.tag in {"VBN", "VBD"} and not after.is_sure:
        return beyond is not None and beyond.tag in _OPENS_OBJECT and after.lower not in _ATTRIBUTES
    if words[first].tag == "VBG" and index == first + 1 and after.verb and beyond is not None:
        return True
    return _plain_verb_follows(words, index, end)


def _may_be_plural_noun(words: list[Word], first: int, index: int) -> bool:
    word = words[index]
    return (
        word.verb == "VBZ"
        and word.tag == "NNS"
        and not word.is_sure
        and words[first].lower not in _SINGULAR
        and words[index - 1].tag in {"NN", "JJ", "VBG"}
    )


def _plain_verb_follows(words: list[Word], index: int, end: int) -> bool:
    """`codes contain …`, `codes in Germany contain …`."""
    if any(words[index].lower.startswith(base) for base in _TAKES_BARE_VERB):
        return False
    for later in range(index + 1, end):
        word, before = words[later], words[later - 1]
        if word.tag in {",", ";", ":", "CC", "WDT", "WP", "WRB", "TO", "MD"} or word.lower in {
            "that",
            "as",
            "than",
        }:
            return False
        if is_plain_verb(word) and (later == index + 1 or before.is_noun or before.tag == "RB"):
            return later + 1 < end and words[later + 1].tag in _OPENS_OBJECT
    return False


def is_doubtful_compound(words: list[Word], first: int, index: int, end: int) -> bool:
    """True when `Heat pumps move heat` may be read two ways: the word at `index` and the next may both be the verb."""
    if not _may_be_plural_noun(words, first, index) and not (
        words[index].verb == "VBZ" and not words[index].is_sure and words[index - 1].tag in {"NNP", "VBG"}
    ):
        return False
    after = words[index + 1] if index + 1 < end else None
    beyond = words[index + 2] if index + 2 < end else None
    if after is None or beyond is None or index - first > 2:
        return False
    if after.verb == "VBD" and after.tag in {"VBN", "VBD"} and beyond.tag in _OPENS_OBJECT:
        return True
    if after.verb != "VBP" or after.tag not in {"NN", "VB", "VBP"}:
        return False
    if after.lower in _INTRANSITIVE or beyond.lower in _COMPARES:
        return False
    return beyond.tag in {"NN", "NNS", "NNP", "JJ"} or (beyond.tag == "IN" and beyond.lower != "of")
