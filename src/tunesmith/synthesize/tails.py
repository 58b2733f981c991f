"""Where a main clause ends, and what hangs on behind it: `because …`, `so that …`, `, and …`."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.synthesize.nouns import NOUN_TAGS, PREPOSITIONS
from tunesmith.synthesize.tagger import Word
from tunesmith.synthesize.verbs import SUBORDINATORS, is_noun_here
from tunesmith.synthesize.wordlists import word_set

MAYBE_SUBORDINATORS = frozenset(["since", "as", "so", "before", "after", "for"])


@dataclass(frozen=True, slots=True)
class Tail:
    """A clause that follows the main one: `because …`, `so that …`, `, and …`."""

    word: str
    """The word that opens it, in lower case."""
    first: int
    end: int


def split_rest(words: list[Word], first: int, end: int, verb_form: str) -> tuple[int, list[Tail], bool]:
    """(end of the main clause, the clauses after it, whether a coordination is ambiguous)."""
    cuts: list[tuple[int, str]] = []
    is_ambiguous = False
    seen_relative = False
    index = first
    depth = 0
    while index < end:
        word = words[index]
        lower = word.lower
        depth += (word.text == "(") - (word.text == ")")
        after = words[index + 1] if index + 1 < end else None
        if depth > 0 or after is None:
            index += 1
            continue
        is_comma = word.text == ","
        opener = after.lower if is_comma else lower
        at = index + 1 if is_comma else index
        if word.text in {";", ":", "—", "–", "--"}:
            cuts.append((index, word.text))
        elif opener in SUBORDINATORS and (is_comma or index > first):
            cuts.append((index, opener))
            index = at
        elif (
            opener in MAYBE_SUBORDINATORS
            and (is_comma or index > first)
            and (opener != "so" or is_comma or words[at + 1].lower == "that")
            and (
                _opens_clause(words, at, end)
                or (opener == "so" and is_comma and words[at + 1].tag in {"DT", "PRP", "NN", "NNS", "PRP$"})
            )
        ):
            cuts.append((index, "so that" if opener == "so" and words[at + 1].lower == "that" else opener))
            index = at
        elif is_comma and (
            after.tag in {"WDT", "WP"} or after.lower in {"which", "who", "whose", "whom", "where"}
        ):
            cuts.append((index, after.lower))
            index = at
        elif is_comma and after.lower in PREPOSITIONS and at + 1 < end and words[at + 1].lower == "which":
            cuts.append((index, "which"))
            index = at
        elif is_comma and after.verb == verb_form and (after.is_sure or after.tag in {verb_form, "VB"}):
            cuts.append((index, "and"))
        elif is_comma and after.tag == "VBG" and not _is_list(words, at, end, after.lower):
            cuts.append((index, "participle"))
        elif opener in {"and", "but", "or", "yet", "nor"} and (opener != "or" or is_comma):
            kind = _coordinates(words, first, at, end, verb_form)
            if kind is not None and (not seen_relative or (kind == "subject" and is_comma)):
                cuts.append((index, opener))
                index = at
            elif kind is not None:
                is_ambiguous = True
        elif is_comma and not _lists_on(words, at, end) and _opens_clause(words, at - 1, end):
            cuts.append((index, "and"))
        elif word.tag in {"WDT", "WP", "WRB"} or lower in {"that", "whether"}:
            seen_relative = True
        index += 1
    tails = []
    for number, (start, opener) in enumerate(cuts):
        stop = cuts[number + 1][0] if number + 1 < len(cuts) else end
        begin = start + 1 if words[start].text in {",", ";", ":", "—", "–", "--"} else start
        tails.append(Tail(opener, begin, stop))
    return (cuts[0][0] if cuts else end), tails, is_ambiguous


def _opens_clause(words: list[Word], at: int, end: int) -> bool:
    """True when a subject and a finite verb follow before the next stop."""
    index = at + 1
    if index < end and words[index].lower == "that":
        return True
    seen_noun = False
    while index < end and words[index].text not in {",", ";", ":"}:
        word = words[index]
        before = words[index - 1]
        if seen_noun and word.verb and not is_noun_here(words, index):
            is_verb = word.is_sure or word.tag in {"VBZ", "VBD", "VBP"} or before.tag == "PRP"
            if is_verb or (word.tag == "VB" and before.tag in {"NNS", "CD", "NNPS"}):
                return True
        if word.tag in {"WDT", "WP"} or word.lower in SUBORDINATORS or word.lower in {"that", "so", "where"}:
            return False
        seen_noun = seen_noun or word.tag in NOUN_TAGS | {"PRP", "DT", "CD"}
        index += 1
    return False


def _coordinates(words: list[Word], first: int, at: int, end: int, verb_form: str) -> str | None:
    """What `and` joins: `verb` (same subject), `subject` (a new clause), or `None` (words or phrases)."""
    index = at + 1
    while index < end and (words[index].tag == "RB" or words[index].lower == "then"):
        index += 1
    if index >= end:
        return None
    word = words[index]
    following = words[index + 1] if index + 1 < end else None
    takes = (
        following is not None
        and following.tag in {"DT", "PRP$", "PRP", "CD", "IN", "TO", "RB", "JJ", "NNS"}
        and following.lower != "of"
    )
    if word.verb and (word.is_sure or (word.verb == verb_form and (takes or word.tag in {verb_form, "VB"}))):
        # `to monitor and evaluate`: the base form goes on with an infinitive, not with the main verb.
        in_infinitive = word.verb == "VBP" and not word.is_sure and _has_infinitive(words, first, at)
        return None if in_infinitive else "verb"
    if verb_form == "MD" and word.verb == "VBP" and word.tag == "VB":
        return None if _has_infinitive(words, first, at) else "verb"
    if word.tag in {"VBZ", "VBD"} and takes:
        return "verb"
    return "subject" if _opens_clause(words, at, end) else None


def _has_infinitive(words: list[Word], first: int, end: int) -> bool:
    """True when a verb form stands there that a base form can be joined to."""
    return any(
        words[i].tag in {"MD", "VBG"} or (words[i].tag == "TO" and i + 1 < end and words[i + 1].tag == "VB")
        for i in range(first, end)
    )


def _lists_on(words: list[Word], at: int, end: int) -> bool:
    """True when the words after a comma are items of a list: a conjunction comes before any finite verb."""
    for word in words[at:end]:
        if word.lower in {"and", "or"}:
            return True
        if word.verb and word.is_sure:
            return False
    return True


_ADDS = word_set(
    "including making allowing giving leading resulting using reducing causing helping leaving providing ensuring"
    " according depending taking working enabling bringing creating especially"
)


def _is_list(words: list[Word], at: int, end: int, participle: str) -> bool:
    """True when a word in -ing after a comma is one item of a list (`sockets, skirting boards and hatches`)."""
    return participle not in _ADDS and any(word.lower in {"and", "or"} for word in words[at:end])
