"""Puts a clause into the words of a question: inversion, `do`, and what is left out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tunesmith.synthesize.clauses import Clause
from tunesmith.synthesize.forms import third_person
from tunesmith.synthesize.nouns import Span
from tunesmith.synthesize.tagger import BE, Word
from tunesmith.synthesize.wordlists import word_set

DISCOURSE = word_set(
    "also therefore thus hence however then nevertheless instead moreover furthermore consequently"
    " accordingly indeed likewise meanwhile too now still already even yet again additionally similarly"
)
"""Adverbs that tie a sentence to the one before it; a question stands alone."""

_PHRASAL = """
give: off up back out. take: in up off on out over. pass: on. let: in out. drive: out. hold: back off up.
send: back out. break: down up. make: up. keep: out up. carry: out. set: up out. build: up. use: up. point:
out. fill: up. bring: about in. draw: in up. put: forward on. catch: up. cut: down off. shut: off down.
switch: on off. turn: on off. find: out. rule: out. phase: out. scale: up down. cool: down. """
PHRASAL = {
    verb.strip(): frozenset(particles.split())
    for verb, _, particles in (entry.partition(":") for entry in _PHRASAL.split(".") if entry.strip())
}
"""Verb -> particles that belong to it: `gives off heat`."""
_SPLITTERS = word_set(
    "in on at by for with from into onto between among through during within without against under over"
    " above below behind beside beyond near across along around round about to after before since until"
    " via towards toward upon throughout inside outside despite as per like"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One phrase of what follows the verb."""

    opener: str
    """The preposition in lower case, `to do` for an infinitive, or an empty string for the object itself."""
    span: Span
    is_absorbed: bool
    """True when it stands behind a relative pronoun or a participle and so may hang on a noun."""


def pieces(clause: Clause) -> tuple[str, list[Piece]]:
    """(particle of the verb, the phrases after it)."""
    first, end = clause.rest
    words = clause.words
    particle = ""
    if (
        first < end
        and words[first].lower in PHRASAL.get(clause.base, ())
        and not _is_preposition_here(clause, first, end)
    ):
        particle = words[first].text
        first += 1
    found: list[Piece] = []
    start, opener, is_absorbed = first, "", False
    starts_absorbed = False
    for index in range(first, end):
        word = words[index]
        if index > first and (
            word.tag in {"WDT", "WP", "WRB"}
            or word.lower == "that"
            or (word.tag in {"VBN", "VBG"} and words[index - 1].is_noun)
        ):
            is_absorbed = True
        splits = word.lower in _SPLITTERS and word.tag in {"IN", "TO"} and not _joins_numbers(words, index)
        if splits and index + 1 < end and words[index + 1].tag in {"WDT", "WP", "WRB"}:
            splits, is_absorbed = False, True
        # "from 80 to 40", "between 20 and 70" are one phrase.
        if splits and word.lower == "to" and opener == "from":
            splits = False
        if splits and index > start:
            found.append(Piece(opener, (start, index), starts_absorbed))
            start, starts_absorbed = index, is_absorbed
        if splits:
            opener = (
                "to do"
                if word.lower == "to" and index + 1 < end and words[index + 1].tag in {"VB"}
                else word.lower
            )
    if start < end:
        found.append(Piece(opener, (start, end), starts_absorbed))
    return particle, found


def _is_preposition_here(clause: Clause, first: int, end: int) -> bool:
    word = clause.words[first].lower
    if word not in {"in", "on", "over", "about"}:
        return False
    # `takes in heat` but `lies on a side`: a particle has an object without determiner, or is in the table
    # for this verb only.
    following = clause.words[first + 1] if first + 1 < end else None
    return following is None or (following.tag == "DT" and clause.base not in {"let", "take", "pass"})


def _joins_numbers(words: tuple[Word, ...], index: int) -> bool:
    """`20 to 40`, `about 3`, `at least 4`, `up to 5`, `as much as`: part of a quantity, not the start of a phrase."""
    lower = words[index].lower
    before = words[index - 1] if index else None
    after = words[index + 1] if index + 1 < len(words) else None
    if after is None:
        return False
    if lower == "to":
        return (
            before is not None
            and (before.tag == "CD" or before.lower == "up" or before.text in {"%", "°C"})
            and after.tag == "CD"
        )
    if lower in {"about", "around", "over", "under", "above", "below"}:
        counted = after.tag == "CD" or (
            after.lower in {"half", "a"}
            and index + 2 < len(words)
            and words[index + 2].lower in {"quarter", "third", "half"}
        )
        return counted and (before is None or before.tag not in {"NN", "NNS", "NNP"} or lower == "about")
    if lower == "at":
        return after.lower in {"least", "most", "once"}
    if lower == "as":
        return after.lower in {"much", "many", "large", "high", "low", "little", "few", "well", "long"} or (
            before is not None and before.lower in {"much", "many", "such", "well", "large", "long", "high"}
        )
    return False


def joined(clause: Clause, spans: list[Span]) -> str:
    return " ".join(part for part in (clause.slice(span) for span in spans) if part)


def lower_first(text: str, words: tuple[Word, ...] | list[Word], index: int = 0) -> str:
    """The text with a small first letter, unless its first word is a name or an abbreviation."""
    word = words[index]
    if word.tag in {"NNP", "NNPS"} or word.keeps_capital or word.lower == "i" or not text[:1].isupper():
        return text
    head = text.split(maxsplit=1)[0]
    if any(char.isupper() for char in head[1:]) or (len(head) == 1 and head != "A"):
        return text
    return text[0].lower() + text[1:]


def as_answer(text: str) -> str:
    """A capital at the start, a full stop at the end."""
    text = text.strip(" ,;:–—")
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


_LOOSE = re.compile(
    r"[\s,]*\b(?:simply|mainly|partly|especially|particularly|primarily|only|just|for example|for "
    r"instance)?[\s,]*(?=\?$)"
)


def tidy(text: str) -> str:
    """Plain spaces; no comma or loose adverb before a question mark."""
    text = _LOOSE.sub("", " ".join(text.split())) if text.endswith("?") else text
    text = re.sub(r"\s+([,.;:!?)])", r"\1", " ".join(text.split()))
    return re.sub(r"\(\s+", "(", text)


def _kept(words: tuple[Word, ...], first: int, end: int) -> str:
    return " ".join(word.text for word in words[first:end] if word.lower not in DISCOURSE)


def inverted(clause: Clause, subject: str, tail: str) -> str:
    """`does the pump move heat`: auxiliary, subject, verb, and `tail` after it."""
    words = clause.words
    finite = words[clause.finite]
    before = _kept(words, _adverbs_start(clause), clause.finite)
    if clause.finite != clause.verb or finite.lower in BE:
        middle = _kept(words, clause.finite + 1, clause.verb + 1) if clause.finite != clause.verb else ""
        parts = [finite.lower, subject, before, middle, tail]
    else:
        do = {"VBZ": "does", "VBP": "do", "VBD": "did"}[finite.verb]
        parts = [do, subject, before, clause.base, tail]
    return tidy(" ".join(part for part in parts if part))


def _adverbs_start(clause: Clause) -> int:
    index = clause.finite
    while index > clause.subject[1] and clause.words[index - 1].tag == "RB":
        index -= 1
    return index


def predicate(clause: Clause, tail: str) -> str:
    """The clause without its subject, as it stands after `What` or `Who`: a plural verb becomes singular."""
    words = clause.words
    finite = words[clause.finite]
    before = _kept(words, _adverbs_start(clause), clause.finite)
    verb = finite.lower
    if finite.verb == "VBP" and finite.tag != "MD":
        verb = {"are": "is", "have": "has", "do": "does"}.get(verb) or third_person(clause.base)
    rest = _kept(words, clause.finite + 1, clause.verb + 1) if clause.finite != clause.verb else ""
    return tidy(" ".join(part for part in (before, verb, rest, tail) if part))
