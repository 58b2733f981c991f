"""The finite verb of a clause: found by exclusion, by its neighbours and by agreement.

A simple clause has exactly one finite verb. So a word that may be a verb or something else (`pumps`, `heated`)
is the verb of the clause when no surer verb follows before the clause ends, when its neighbours allow it, and
when the subject before it agrees with it in number.
"""

from __future__ import annotations

from tunesmith.synthesize.compounds import ends_compound, is_doubtful_compound, is_plain_verb
from tunesmith.synthesize.nouns import NOUN_TAGS, PREPOSITIONS, Span, is_noun_phrase, subject_number
from tunesmith.synthesize.tagger import BE, DO, HAVE, Word
from tunesmith.synthesize.wordlists import word_set

SUBORDINATORS = word_set("because although though while whereas if when unless until whenever wherever")


_STOPS = frozenset({",", ";", ":", "(", ")", "—", "–", "--", "and", "or", "but", "than"})


def has_finite(words: list[Word], first: int, end: int) -> bool:
    return any(word.verb and (word.is_sure or word.tag in {"VBZ", "VBD", "VBP"}) for word in words[first:end])


def find_finite(words: list[Word], first: int, end: int) -> int | None:
    in_relative = False
    index = first + 1
    while index < end:
        word = words[index]
        if word.tag in {"WDT", "WP"} or word.lower in {"where", "when", "whose"}:
            if in_relative or words[index - 1].text == ",":
                # A relative clause between commas: go on behind the second comma.
                closing = next((i for i in range(index + 1, end) if words[i].text == ","), None)
                if words[index - 1].text != "," or closing is None:
                    return None
                index = closing + 1
                continue
            verb = next(
                (i for i in range(index + 1, end) if words[i].verb and not is_noun_here(words, i)), None
            )
            if verb is None:
                return None
            in_relative = True
            index = verb + 1
            if words[verb].lower in BE | HAVE | DO or words[verb].tag == "MD":
                while index < end and words[index].tag in {"RB", "VB", "VBN", "VBG", "JJ"}:
                    index += 1
            continue
        if word.lower in SUBORDINATORS or word.text in {";", ":"} or word.lower in {"that"}:
            return None
        if ends_compound(words, first, index, end):
            index += 1
            continue
        if word.verb and not is_noun_here(words, index, first):
            is_last = _is_last_verb(words, index, end)
            if is_doubtful_compound(words, first, index, end) and (
                is_last or not _sure_verb_follows(words, index, end)
            ):
                return None
            if not is_last:
                index += 1
                continue
            sure = word.is_sure or word.tag in {"VBZ", "VBD"}
            return index if not in_relative or sure else None
        index += 1
    return None


def _sure_verb_follows(words: list[Word], index: int, end: int) -> bool:
    return any(word.is_sure for word in words[index + 1 : end])


def is_noun_here(words: list[Word], index: int, first: int | None = None) -> bool:
    """True when what stands before the word leaves no room for a finite verb."""
    word, before = words[index], words[index - 1]
    if word.tag == "MD" or word.lower in BE | HAVE | DO:
        return False
    after = words[index + 1] if index + 1 < len(words) else None
    if not word.is_sure and after is not None and after.lower == "of":
        return True
    if before.tag in {"DT", "PRP$", "POS", "TO"} or before.text == "-":
        return True
    if before.lower in PREPOSITIONS or before.tag == "CC":
        return True
    if before.tag in {"JJ", "JJR", "JJS"}:
        return not word.is_sure
    if before.tag == "CD":
        return not word.is_sure or word.verb == "VBP"
    if word.verb == "VBP":
        # `heat`, `pump`: a verb only after a plural or a coordination.
        if (
            first is not None
            and before.tag in NOUN_TAGS | {"CD"}
            and after is not None
            and subject_number(words, (first, index)) == "plural"
        ):
            if word.tag in {"VB", "VBP"} and before.tag in {"NNS", "NNPS", "CD"}:
                return False
            return after.tag not in {
                "DT",
                "PRP$",
                "PRP",
                "CD",
                "JJ",
                "JJR",
                "TO",
                "IN",
                "RB",
                "NNS",
                "VBG",
                "WRB",
            }
        plural = (
            before.tag in {"NNS", "NNPS"} or before.lower in {"they", "we", "people"} or before.tag == "RB"
        )
        joined = any(w.lower == "and" for w in words[max(0, index - 6) : index])
        return not (plural or joined)
    if word.verb == "VBZ":
        return before.tag not in NOUN_TAGS | {
            "RB",
            "CD",
            "PRP",
            ")",
            "VBG",
            ",",
            "WDT",
        } and before.lower not in {"it", "which", "that", "each"}
    return before.tag not in NOUN_TAGS | {"RB", "CD", "PRP", ")", ",", "WDT", "WP"}


def _is_last_verb(words: list[Word], index: int, end: int) -> bool:
    """False when a surer finite verb follows in the same clause: then this word is a noun or a participle."""
    if words[index].lower in BE | HAVE | DO or words[index].tag == "MD":
        return True
    if words[index].verb == "VBD" and not words[index].is_sure and words[index - 1].text == ",":
        return not any(word.is_sure for word in words[index + 1 : end])
    if (
        words[index].verb == "VBD"
        and words[index].tag == "VBN"
        and words[index + 1 : end]
        and words[index + 1].tag in {"IN", "TO", "RB"}
    ):
        # `employees trained in … and suppliers …`: a participle unless no other finite verb is left for the clause.
        for later in range(index + 2, end):
            if (
                words[later].text in {";", ":"}
                or words[later].lower in SUBORDINATORS
                or words[later].tag in {"WDT", "WP"}
            ):
                break
            if (words[later].is_sure or words[later].verb in {"VBZ", "VBP"}) and not is_noun_here(
                words, later, 0
            ):
                return False
    for later in range(index + 1, end):
        word = words[later]
        if (
            word.text in _STOPS
            or word.lower in SUBORDINATORS
            or word.tag in {"WDT", "WP", "WRB"}
            or word.lower in {"that", "as", "since"}
            or (word.lower in {"before", "after"} and is_plain_verb(words[index]))
        ):
            if (
                word.text == ","
                and words[index].verb == "VBD"
                and not words[index].is_sure
                and words[index].tag == "VBN"
            ):
                continue
            break
        if word.verb and word.is_sure and not is_noun_here(words, later):
            return False
        if (
            word.verb == "VBZ"
            and words[index].verb == "VBD"
            and words[index].tag == "VBN"
            and words[later - 1].tag in NOUN_TAGS | {"CD"}
        ):
            following = words[later + 1] if later + 1 < end else None
            if following is not None and following.tag in {"DT", "PRP$", "CD"}:
                return False
    if words[index].verb == "VBZ" and not words[index].is_sure:
        # `heat pumps in old houses`: a noun unless something follows that a verb can take.
        at = index + 1
        while at < end and words[at].tag == "RB":
            at += 1
        following = words[at] if at < end else None
        if (
            following is None
            or following.tag in {".", ",", "CC", ":"}
            or (following.verb and following.is_sure)
        ):
            return at > index + 1 and following is None
        if following.verb == "VBP" and at > index + 1:
            return False
        # `fibre boards store more heat`: the second word is the verb when it has an object of its own.
        beyond = words[at + 1] if at + 1 < end else None
        return not (
            words[index].tag == "NNS"
            and following.verb == "VBP"
            and beyond is not None
            and (
                beyond.tag in {"DT", "PRP$", "CD", "JJR", "RB", "JJS", "RBS", "IN"}
                or beyond.lower in {"more", "less", "most", "best"}
            )
        )
    return True


def agrees(words: list[Word], subject: Span, finite: Word) -> bool:
    if not is_noun_phrase(words, subject):
        return False
    if finite.verb in {"MD", "VBD"} and finite.lower not in {"was", "were"}:
        return True
    number = subject_number(words, subject)
    if number == "any":
        return True
    is_third = finite.verb == "VBZ" or finite.lower == "was"
    return is_third == (number == "singular")


def main_verb(words: list[Word], finite: int, end: int) -> int | None:
    """The last verb of the group that starts at `finite`."""
    lower = words[finite].lower
    index = finite
    current = finite
    expect = _expected(lower, words[finite].tag)
    while expect:
        index += 1
        while index < end and words[index].tag == "RB":
            index += 1
        if index >= end or not _matches(words[index], expect):
            break
        current = index
        expect = (
            _expected(words[index].lower, "")
            if words[index].lower in {"be", "been", "being", "have"}
            else set()
        )
    if words[finite].tag == "MD" and current == finite:
        return None
    if (
        lower in DO
        and current == finite
        and any(w.lower in {"not", "n't"} for w in words[finite : finite + 3])
    ):
        return None
    return current


def _expected(lower: str, tag: str) -> set[str]:
    if tag == "MD":
        return {"VB"}
    if lower in BE | {"be", "been", "being"}:
        return {"VBN", "VBG"}
    if lower in HAVE:
        return {"VBN"}
    if lower in DO:
        return {"VB"}
    return set()


def _matches(word: Word, tags: set[str]) -> bool:
    if word.tag in tags:
        return not (word.tag == "VBG" and word.lower in {"heating", "cooling"})
    if "VB" in tags and word.verb in {"VBP"}:
        return True
    return "VBN" in tags and word.lower in {"been"}
