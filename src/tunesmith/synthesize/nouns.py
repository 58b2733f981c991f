"""Noun phrases: their head, their number, and where they end."""

from __future__ import annotations

from tunesmith.synthesize.tagger import Word
from tunesmith.synthesize.wordlists import word_set

Span = tuple[int, int]


NOUN_TAGS = frozenset({"NN", "NNS", "NNP", "NNPS"})


_PARTITIVE = word_set(
    "percent % per cent third thirds quarter quarters half majority most part rest number lot variety"
    " range share kind type set pair series group couple"
)


PREPOSITIONS = word_set(
    "of in on at by for with from into onto between among through during within without against under"
    " over above below behind beside besides beyond near across along around round about to after before"
    " via towards toward upon throughout inside outside despite per like as than"
)


_SHARES = word_set("most all half much many some each several few none")


def subject_number(words: tuple[Word, ...] | list[Word], span: Span) -> str:
    """singular, plural, or any when the phrase leaves it open."""
    first, end = span
    head = head_noun(words, span)
    if head is None:
        return "singular" if words[first].tag == "VBG" else "any"
    opener = words[first].lower
    if opener in {"each", "every"}:
        return "singular"
    if (
        words[first].tag == "VBG"
        and not words[first].is_noun
        and any(w.tag == "DT" for w in words[first + 1 : end])
    ):
        return "singular"
    if opener in {"a", "an"} and not any(
        words[i].tag == "DT" and words[i - 1].lower in {"and", "or"} for i in range(first + 1, end)
    ):
        return "singular" if words[head].lower not in _PARTITIVE else "any"
    for index in range(head + 1, end):
        if words[index].lower == "and" and index + 1 < end and not _inside_prepositional(words, head, index):
            return "plural"
    before_head = words[first:head]
    if any(w.lower == "and" for w in before_head):
        return "any"
    word = words[head]
    if word.lower in _PARTITIVE:
        return "any"
    if word.tag in {"NNS", "NNPS"}:
        return "plural"
    if word.tag == "PRP":
        return "plural" if word.lower in {"they", "we", "you", "i"} else "singular"
    if word.tag == "CD":
        return "any"
    if word.tag in {"NNP"} and word.lower.endswith("s"):
        return "any"
    return (
        "any"
        if word.lower in {"people", "data", "police", "staff", "media", "means", "species"}
        else "singular"
    )


def _inside_prepositional(words: tuple[Word, ...] | list[Word], head: int, index: int) -> bool:
    """True when `and` joins two nouns of a phrase that hangs on the head: `the price of coal and oil`."""
    return any(
        word.lower in PREPOSITIONS or word.tag in {"WDT", "VBG", "VBN"} for word in words[head + 1 : index]
    )


def head_noun(words: tuple[Word, ...] | list[Word], span: Span) -> int | None:
    """Index of the noun that a noun phrase is about: the last one before what hangs on it."""
    first, end = span
    found = None
    for index in range(first, end):
        word = words[index]
        if word.tag in NOUN_TAGS or word.tag == "PRP" or (word.tag == "CD" and index + 1 == end):
            found = index
            continue
        if word.tag == "VBG" and index == first:
            continue
        if word.lower == "of" and found is None and index > first and words[index - 1].lower in _SHARES:
            continue
        if word.tag in {"IN", "TO"} and found is None and not _in_number(words, index):
            break
        if word.tag in {"IN", "TO"} and found is None:
            continue
        if (
            word.tag
            in {
                "POS",
                "DT",
                "PRP$",
                "CD",
                "JJ",
                "JJR",
                "JJS",
                "VBN",
                "VBG",
                "RB",
                "CC",
                "VB",
                "VBD",
                "VBP",
                "VBZ",
            }
            and found is None
        ):
            continue
        if word.tag == "POS" or (word.tag in {"CD"} and found is not None):
            continue
        if found is not None:
            break
    return found


def _in_number(words: tuple[Word, ...] | list[Word], index: int) -> bool:
    return index + 1 < len(words) and (
        words[index + 1].tag == "CD" or words[index + 1].lower in {"least", "most"}
    )


def is_noun_phrase(words: list[Word], span: Span) -> bool:
    first, end = span
    if end <= first:
        return False
    if any(words[i].tag in {"DT", "PRP$"} and words[i - 1].tag in NOUN_TAGS for i in range(first + 1, end)):
        return False
    last = words[end - 1]
    closes = (
        last.tag in NOUN_TAGS | {"CD", "PRP", ")", "VBN", "JJ", "%"}
        or last.text in {"°C", "°F", "%", "”"}
        or last.verb != ""
    )
    if last.lower in PREPOSITIONS or last.tag in {"DT", "PRP$", "CC"}:
        closes = False
    if last.tag == "VBG" and end - first > 0:
        closes = True
    return closes and (head_noun(words, span) is not None or words[first].tag == "VBG")


def without_parenthesis(words: list[Word], span: Span) -> Span | None:
    """`Franz San Galli, a businessman,` -> `Franz San Galli`; a list keeps its commas."""
    first, end = span
    commas = [index for index in range(first, end) if words[index].text == ","]
    if not commas:
        return span
    if commas[-1] == end - 1:
        return (first, commas[0]) if len(commas) == 2 else None
    is_list = any(words[index].lower in {"and", "or"} for index in range(commas[-1], end))
    return span if is_list else None
