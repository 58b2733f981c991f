"""The main clause of a sentence: subject, verb group, what follows.

Whatever does not fit gives `None`: the teacher asks nothing about a sentence it cannot read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tunesmith.synthesize.compounds import settle_compounds
from tunesmith.synthesize.forms import base_form
from tunesmith.synthesize.nouns import PREPOSITIONS, Span, subject_number, without_parenthesis
from tunesmith.synthesize.tagger import BE, Word, load_lexicon
from tunesmith.synthesize.tails import Tail, split_rest
from tunesmith.synthesize.verbs import SUBORDINATORS, agrees, find_finite, has_finite, main_verb
from tunesmith.synthesize.wordlists import word_set

_OPENING_TAGS = word_set("DT PRP PRP$ CD JJ JJR JJS NN NNS NNP NNPS VBG VBN")


_OPENING_WORDS = word_set("only almost nearly about roughly approximately most more")


@dataclass(frozen=True)
class Clause:
    text: str
    words: tuple[Word, ...]
    subject: Span
    finite: int
    """The word that carries tense: an auxiliary, a modal or the verb itself."""
    verb: int
    """The main verb; the same as `finite` when there is no auxiliary."""
    rest: Span
    """What follows the verb within the clause."""
    tails: tuple[Tail, ...]
    fronted: Span | None
    """A phrase before the subject, set off by a comma: `In Denmark,`."""
    fronted_clause: Span | None
    """A clause before the subject: `If the pump stops,`."""
    is_ambiguous: bool
    """True when a coordinated verb may belong to the main clause or to a relative clause in it."""

    def slice(self, span: Span) -> str:
        """The sentence's own words of a span, with plain spaces."""
        first, end = span
        if first >= end:
            return ""
        return " ".join(self.text[self.words[first].start : self.words[end - 1].end].split())

    @cached_property
    def is_copula(self) -> bool:
        return self.verb == self.finite and self.words[self.finite].lower in BE

    @cached_property
    def is_passive(self) -> bool:
        return self.words[self.verb].tag == "VBN" and any(
            word.lower in BE | {"be", "been", "being"} for word in self.words[self.finite : self.verb]
        )

    @cached_property
    def is_negative(self) -> bool:
        return any(
            word.lower in {"not", "n't", "never", "no", "cannot", "hardly"}
            for word in self.words[self.finite : self.rest[0] + 1]
        )

    @cached_property
    def is_plural(self) -> bool:
        return subject_number(self.words, self.subject) == "plural"

    @cached_property
    def base(self) -> str:
        word = self.words[self.verb]
        tag = word.verb if self.verb == self.finite and word.verb else word.tag
        return base_form(word.lower, tag, load_lexicon().tags)


def read_clause(text: str, words: list[Word]) -> Clause | None:
    """The main clause of a sentence, or `None` when it cannot be told for sure."""
    words = settle_compounds(words)
    end = len(words)
    while end and words[end - 1].text in {".", "!", ":", "”", '"', "’", "'"}:
        end -= 1
    first, fronted, fronted_clause = _skip_fronted(words, end)
    if first is None or not _opens_subject(words[first]):
        return None
    finite = find_finite(words, first, end)
    if finite is None:
        return None
    subject_end = finite
    while subject_end > first and (
        words[subject_end - 1].tag == "RB" or words[subject_end - 1].lower in {"both", "all"}
    ):
        subject_end -= 1
    subject = without_parenthesis(words, (first, subject_end))
    if fronted is not None and any(word.text == "," for word in words[first:subject_end]):
        return None
    if words[first].tag == "VBG" and words[first + 1].tag in {"IN", "TO"} and words[first + 1].lower != "of":
        return None
    if subject is None or not agrees(words, subject, words[finite]):
        return None
    verb = main_verb(words, finite, end)
    if verb is None:
        return None
    rest_end, tails, is_ambiguous = split_rest(words, verb + 1, end, words[finite].verb)
    return Clause(
        text,
        tuple(words),
        subject,
        finite,
        verb,
        (verb + 1, rest_end),
        tuple(tails),
        fronted,
        fronted_clause,
        is_ambiguous,
    )


def _skip_fronted(words: list[Word], end: int) -> tuple[int | None, Span | None, Span | None]:
    """(first word of the subject, fronted phrase, fronted clause)."""
    lower = words[0].lower if words else ""
    comma = next((i for i in range(end) if words[i].text == ","), None)
    if lower in SUBORDINATORS or (
        lower in {"since", "as", "before", "after"} and comma and has_finite(words, 1, comma)
    ):
        if comma is None or comma + 2 > end:
            return None, None, None
        # A clause with commas of its own cannot be told from what follows.
        return (comma + 1, None, (0, comma)) if has_finite(words, 1, comma) else (None, None, None)
    if lower in PREPOSITIONS or lower in {"since", "until", "according", "due"}:
        if comma is None or has_finite(words, 1, comma) or comma > 14:
            return None, None, None
        return comma + 1, (0, comma), None
    if (
        words
        and comma == 1
        and (words[0].tag == "RB" or lower in {"first", "second", "third", "finally", "today"})
    ):
        return 2, (0, 1), None
    return 0, None, None


def _opens_subject(word: Word) -> bool:
    if word.tag == "RB" and word.lower.endswith("ly"):
        return True
    return word.tag in _OPENING_TAGS or word.lower in _OPENING_WORDS
