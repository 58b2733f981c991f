"""The main clause of a sentence: subject, verb group, what follows. Found by agreement and exclusion, or
not at all.

A simple clause has exactly one finite verb. So a word that may be a verb or something else (`pumps`,
`heated`) is the verb of the clause when no surer verb follows before the clause ends, when its neighbours
allow it, and when the subject before it agrees with it in number. Whatever does not fit gives `None`: the
teacher asks nothing about a sentence it cannot read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tunesmith.synthesize.forms import base_form
from tunesmith.synthesize.tagger import BE, DO, HAVE, Word, load_lexicon
from tunesmith.synthesize.wordlists import word_set

Span = tuple[int, int]
"""Words [first, end) of a sentence."""

SUBORDINATORS = word_set("because although though while whereas if when unless until whenever wherever once")
MAYBE_SUBORDINATORS = frozenset(["since", "as", "so", "before", "after", "for"])
_STOPS = frozenset({",", ";", ":", "(", ")", "—", "–", "--", "and", "or", "but", "than"})
_NOUN_TAGS = frozenset({"NN", "NNS", "NNP", "NNPS"})
_PARTITIVE = word_set(
    "percent % per cent third thirds quarter quarters half majority most part rest number lot variety"
    " range share kind type set pair series group couple"
)
_PREPOSITIONS = word_set(
    "of in on at by for with from into onto between among through during within without against under"
    " over above below behind beside besides beyond near across along around round about to after before"
    " via towards toward upon throughout inside outside despite per like as than"
)


_OPENING_TAGS = word_set("DT PRP PRP$ CD JJ JJR JJS NN NNS NNP NNPS VBG VBN")
_OPENING_WORDS = word_set("only almost nearly about roughly approximately most more")


@dataclass(frozen=True, slots=True)
class Tail:
    """A clause that follows the main one: `because …`, `so that …`, `, and …`."""

    word: str
    """The word that opens it, in lower case."""
    first: int
    end: int


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
    end = len(words)
    while end and words[end - 1].text in {".", "!", ":", "”", '"', "’", "'"}:
        end -= 1
    first, fronted, fronted_clause = _skip_fronted(words, end)
    if first is None or not _opens_subject(words[first]):
        return None
    finite = _find_finite(words, first, end)
    if finite is None:
        return None
    subject_end = finite
    while subject_end > first and (
        words[subject_end - 1].tag == "RB" or words[subject_end - 1].lower in {"both", "all"}
    ):
        subject_end -= 1
    subject = _without_parenthesis(words, (first, subject_end))
    if fronted is not None and any(word.text == "," for word in words[first:subject_end]):
        return None
    if words[first].tag == "VBG" and words[first + 1].tag in {"IN", "TO"} and words[first + 1].lower != "of":
        return None
    if subject is None or not _agrees(words, subject, words[finite]):
        return None
    verb = _main_verb(words, finite, end)
    if verb is None:
        return None
    rest_end, tails, is_ambiguous = _split_rest(words, verb + 1, end, words[finite].verb)
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
        lower in {"since", "as", "before", "after"} and comma and _has_finite(words, 1, comma)
    ):
        if comma is None or comma + 2 > end:
            return None, None, None
        # A clause with commas of its own cannot be told from what follows.
        return (comma + 1, None, (0, comma)) if _has_finite(words, 1, comma) else (None, None, None)
    if lower in _PREPOSITIONS or lower in {"since", "until", "according", "due"}:
        if comma is None or _has_finite(words, 1, comma) or comma > 14:
            return None, None, None
        return comma + 1, (0, comma), None
    if (
        words
        and comma == 1
        and (words[0].tag == "RB" or lower in {"first", "second", "third", "finally", "today"})
    ):
        return 2, (0, 1), None
    return 0, None, None


def _has_finite(words: list[Word], first: int, end: int) -> bool:
    return any(word.verb and (word.is_sure or word.tag in {"VBZ", "VBD", "VBP"}) for word in words[first:end])


def _opens_subject(word: Word) -> bool:
    if word.tag == "RB" and word.lower.endswith("ly"):
        return True
    return word.tag in _OPENING_TAGS or word.lower in _OPENING_WORDS


def _find_finite(words: list[Word], first: int, end: int) -> int | None:
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
                (i for i in range(index + 1, end) if words[i].verb and not _is_noun_here(words, i)), None
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
        if word.verb and not _is_noun_here(words, index, first) and _is_last_verb(words, index, end):
            sure = word.is_sure or word.tag in {"VBZ", "VBD"}
            return index if not in_relative or sure else None
        index += 1
    return None


def _is_noun_here(words: list[Word], index: int, first: int | None = None) -> bool:
    """True when what stands before the word leaves no room for a finite verb."""
    word, before = words[index], words[index - 1]
    if word.tag == "MD" or word.lower in BE | HAVE | DO:
        return False
    after = words[index + 1] if index + 1 < len(words) else None
    if not word.is_sure and after is not None and after.lower == "of":
        return True
    if before.tag in {"DT", "PRP$", "POS", "TO"} or before.text == "-":
        return True
    if before.lower in _PREPOSITIONS or before.tag == "CC":
        return True
    if before.tag in {"JJ", "JJR", "JJS"}:
        return not word.is_sure
    if before.tag == "CD":
        return not word.is_sure or word.verb == "VBP"
    if word.verb == "VBP":
        # `heat`, `pump`: a verb only after a plural or a coordination.
        if (
            first is not None
            and before.tag in _NOUN_TAGS | {"CD"}
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
        return before.tag not in _NOUN_TAGS | {
            "RB",
            "CD",
            "PRP",
            ")",
            "VBG",
            ",",
            "WDT",
        } and before.lower not in {"it", "which", "that", "each"}
    return before.tag not in _NOUN_TAGS | {"RB", "CD", "PRP", ")", ",", "WDT", "WP"}


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
            if (words[later].is_sure or words[later].verb in {"VBZ", "VBP"}) and not _is_noun_here(
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
        ):
            if (
                word.text == ","
                and words[index].verb == "VBD"
                and not words[index].is_sure
                and words[index].tag == "VBN"
            ):
                continue
            break
        if word.verb and word.is_sure and not _is_noun_here(words, later):
            return False
        if (
            word.verb == "VBZ"
            and words[index].verb == "VBD"
            and words[index].tag == "VBN"
            and words[later - 1].tag in _NOUN_TAGS | {"CD"}
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
            and (beyond.tag in {"DT", "PRP$", "CD", "JJR"} or beyond.lower in {"more", "less", "most"})
        )
    return True


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
        word.lower in _PREPOSITIONS or word.tag in {"WDT", "VBG", "VBN"} for word in words[head + 1 : index]
    )


def head_noun(words: tuple[Word, ...] | list[Word], span: Span) -> int | None:
    """Index of the noun that a noun phrase is about: the last one before what hangs on it."""
    first, end = span
    found = None
    for index in range(first, end):
        word = words[index]
        if word.tag in _NOUN_TAGS or word.tag == "PRP" or (word.tag == "CD" and index + 1 == end):
            found = index
            continue
        if word.tag == "VBG" and index == first:
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


def _agrees(words: list[Word], subject: Span, finite: Word) -> bool:
    if not _is_noun_phrase(words, subject):
        return False
    if finite.verb in {"MD", "VBD"} and finite.lower not in {"was", "were"}:
        return True
    number = subject_number(words, subject)
    if number == "any":
        return True
    is_third = finite.verb == "VBZ" or finite.lower == "was"
    return is_third == (number == "singular")


def _is_noun_phrase(words: list[Word], span: Span) -> bool:
    first, end = span
    if end <= first:
        return False
    if any(words[i].tag in {"DT", "PRP$"} and words[i - 1].tag in _NOUN_TAGS for i in range(first + 1, end)):
        return False
    last = words[end - 1]
    closes = (
        last.tag in _NOUN_TAGS | {"CD", "PRP", ")", "VBN", "JJ", "%"}
        or last.text in {"°C", "°F", "%", "”"}
        or last.verb != ""
    )
    if last.lower in _PREPOSITIONS or last.tag in {"DT", "PRP$", "CC"}:
        closes = False
    if last.tag == "VBG" and end - first > 0:
        closes = True
    return closes and (head_noun(words, span) is not None or words[first].tag == "VBG")


def _without_parenthesis(words: list[Word], span: Span) -> Span | None:
    """`Franz San Galli, a businessman,` -> `Franz San Galli`; a list keeps its commas."""
    first, end = span
    commas = [index for index in range(first, end) if words[index].text == ","]
    if not commas:
        return span
    if commas[-1] == end - 1:
        return (first, commas[0]) if len(commas) == 2 else None
    is_list = any(words[index].lower in {"and", "or"} for index in range(commas[-1], end))
    return span if is_list else None


def _main_verb(words: list[Word], finite: int, end: int) -> int | None:
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


def _split_rest(words: list[Word], first: int, end: int, verb_form: str) -> tuple[int, list[Tail], bool]:
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
        elif is_comma and after.lower in _PREPOSITIONS and at + 1 < end and words[at + 1].lower == "which":
            cuts.append((index, "which"))
            index = at
        elif is_comma and after.verb == verb_form and (after.is_sure or after.tag in {verb_form, "VB"}):
            cuts.append((index, "and"))
        elif is_comma and after.tag in {"VBG"} and not _is_list(words, first, index):
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
        if seen_noun and word.verb and not _is_noun_here(words, index):
            is_verb = word.is_sure or word.tag in {"VBZ", "VBD", "VBP"} or before.tag == "PRP"
            if is_verb or (word.tag == "VB" and before.tag in {"NNS", "CD", "NNPS"}):
                return True
        if word.tag in {"WDT", "WP"} or word.lower in SUBORDINATORS or word.lower in {"that", "so", "where"}:
            return False
        seen_noun = seen_noun or word.tag in _NOUN_TAGS | {"PRP", "DT", "CD"}
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


def _is_list(words: list[Word], first: int, index: int) -> bool:
    return (
        any(word.lower in {"and", "or"} for word in words[index : index + 12])
        and words[index - 1].tag == "VBG"
    )
