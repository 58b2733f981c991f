"""Subjects that lean on an earlier sentence (`It`, `The layer`): named in full, or the sentence is left out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tunesmith.synthesize.clauses import Clause
from tunesmith.synthesize.nouns import Span, head_noun, subject_number
from tunesmith.synthesize.questions import lower_first
from tunesmith.synthesize.rules.statement import Statement
from tunesmith.synthesize.tagger import BE, Word, load_lexicon
from tunesmith.synthesize.wordlists import word_set

_POINTING = word_set(
    "this these that those such another other others both it they he she we you i neither either former"
    " latter"
)
_KNOWN_TO_ALL = word_set(
    "sun earth world atmosphere climate environment economy internet government public sky moon sea air"
    " weather ground future past law market body brain heart human universe planet ocean wind rain eu un"
)
"""Nouns of which there is one, so that `the sun` needs no naming."""
_PERSON_VERBS = word_set(
    "invent discover develop found write publish describe propose design introduce patent build say argue"
    " explain paint compose win study lead direct establish coin publish open devise demonstrate create"
    " suggest note observe call believe state complete construct finish measure teach paint sign earn carry lay"
)


@dataclass(slots=True)
class Memory:
    """What the passage has named so far."""

    phrases: dict[str, str] = field(default_factory=dict)
    """Head noun -> the last subject phrase with that head that says more than the bare noun."""
    subject: str | None = None
    """Subject of the sentence before, spelled out, when a pronoun may stand for it."""
    number: str = "any"
    is_person: bool = False
    is_safe: bool = False


def resolve(clause: Clause, memory: Memory, *, is_new_paragraph: bool) -> Statement | None:
    """The statement with its subject spelled out, or `None` when the subject cannot be told. Updates the memory."""
    if is_new_paragraph:
        memory.subject = None
    words = clause.words
    first, end = clause.subject
    opener = words[first]
    phrase = lower_first(clause.slice(clause.subject), words, first)
    number = subject_number(words, clause.subject)
    is_person = _is_person(clause)
    named: str | None = None
    if opener.tag == "PRP" and end - first == 1:
        # After `When the water is cooled,` the pronoun means the water.
        named = None if clause.fronted_clause else _named_by_pronoun(opener.lower, memory)
        is_person = memory.is_person and named is not None
        number = memory.number
    elif (
        opener.lower in _POINTING
        or (opener.lower in {"one", "some"} and (end - first == 1 or words[first + 1].lower == "of"))
        or opener.tag == "PRP$"
        or any(
            word.lower in {"this", "these", "those", "such", "our", "we", "us"} for word in words[first:end]
        )
    ):
        named = None
    elif opener.lower == "the":
        named = _named_in_full(words, clause.subject, phrase, memory, introduces=_introduces(clause))
    else:
        named = phrase
    if named is not None and re.search(r"\b(?:its|their|his|her|it|them)\b", named):
        named = None
    _remember(clause, named, number, is_person, memory)
    if named is None:
        return None
    return Statement(clause, named, is_person, acts(clause))


def _named_by_pronoun(pronoun: str, memory: Memory) -> str | None:
    if memory.subject is None or not memory.is_safe:
        return None
    fits = {
        "it": memory.number in {"singular", "any"} and not memory.is_person,
        "they": memory.number in {"plural", "any"},
        "he": memory.is_person,
        "she": memory.is_person,
    }
    return memory.subject if fits.get(pronoun) else None


def _named_in_full(
    words: tuple[Word, ...], span: Span, phrase: str, memory: Memory, *, introduces: bool
) -> str | None:
    """`the layer` -> the phrase that introduced it; a phrase with words of its own stays as it is."""
    first, end = span
    head = head_noun(words, span)
    if head is None:
        return None
    noun = words[head].lower
    said_more = head - first > 1 or end - head > 1
    is_generic = noun in _KNOWN_TO_ALL
    if is_generic:
        return phrase
    if said_more and not _is_ordinal(words[first + 1]):
        # `the expanding capsule` leans on the capsule of before; `the price of coal` does not.
        leans = (
            head - first > 1
            and end - head == 1
            and words[first + 1].tag in {"VBG", "VBN", "JJ", "JJR"}
            and noun in memory.phrases
        )
        return None if leans else phrase
    if said_more:
        return None if end - head == 1 else phrase
    if noun in memory.phrases:
        return memory.phrases[noun]
    return phrase if introduces or _MACHINE.fullmatch(noun) else None


_MACHINE = re.compile(
    r"(?!customer|manager|consumer|director|parameter|researcher|operator|character|professor|"
    r"minister|producer)\w{5,}(?:[cstd]or|ers?|[bg]erant|nsate|stat|meter)"
)
"""`The compressor`, `the thermostat`: nouns so special that a passage about them has one."""


def _is_ordinal(word: Word) -> bool:
    return word.lower in {
        "first",
        "second",
        "third",
        "fourth",
        "last",
        "next",
        "latter",
        "former",
        "other",
        "same",
        "main",
        "remaining",
        "rest",
    }


_A = re.compile(r"^(?:an?|one|every|each|the) ")


def _remember(clause: Clause, named: str | None, number: str, is_person: bool, memory: Memory) -> None:
    memory.subject, memory.number, memory.is_person = named, number, is_person
    memory.is_safe = named is not None and _leaves_subject_clear(clause)
    if named is None:
        return
    words = clause.words
    head = head_noun(words, clause.subject)
    if head is None or words[head].tag == "PRP":
        return
    bare = _A.sub("", named)
    if len(bare.split()) < 2 or head + 1 != clause.subject[1] or len(named.split()) > 6:
        return
    memory.phrases[words[head].lower] = f"the {bare}"


def _leaves_subject_clear(clause: Clause) -> bool:
    """True when the sentence names nothing else, in the same number, that a pronoun after it could mean."""
    words = clause.words
    if words[clause.finite].lower in BE and clause.verb == clause.finite:
        return True
    if clause.tails and any(tail.word in {"and", "but", ";", ":"} for tail in clause.tails):
        return False
    first, end = clause.rest
    if clause.is_passive or first >= end:
        return True
    wanted = subject_number(words, clause.subject)
    opener = words[first]
    if opener.tag in {"IN", "TO", "RB"}:
        return True
    head = head_noun(words, (first, end))
    if head is None:
        return True
    other = "plural" if words[head].tag in {"NNS", "NNPS"} else "singular"
    return other != wanted


def _introduces(clause: Clause) -> bool:
    """True for `The spacer is the bar that …`: a definition names its subject itself."""
    first, end = clause.rest
    words = clause.words
    return (
        clause.is_copula
        and first < end
        and words[first].lower in {"a", "an", "the", "any"}
        and any(word.tag == "WDT" or word.lower in {"of", "with"} for word in words[first:end])
    )


_TITLES = word_set(
    "dr mr mrs ms professor prof. sir lord lady president minister king queen prince princess dr. mr."
    " mrs. ms."
)
_WHO = word_set(
    "manager director executive employee leader practitioner stakeholder customer consumer investor"
    " shareholder supplier operator owner manufacturer engineer people person government committee"
    " commission council company business enterprise firm corporation organisation organization ministry"
    " agency parliament panel scientist researcher author expert user worker citizen household fitter"
    " sweep installer architect builder planner official regulator ceo decision-maker policymaker utility"
    " bank nation country city municipality association industry team party technician plumber designer"
    " doctor resident adult analyst parent patient student teacher child provider producer director member"
    " tenant landlord farmer householder inhabitant villager monk nun servant soldier sailor physicist chemist"
    " inventor scholar historian astronomer physician nurse lawyer judge merchant trader miner mason carpenter"
    " glazier welder electrician craftsman man woman inspector surveyor gardener driver pilot artist writer king"
    " queen emperor pope bishop priest settler colonist refugee athlete player critic reader buyer seller"
    " shopkeeper baker brewer settler neighbour neighbor"
)
_PLURALS = {"men": "man", "women": "woman", "children": "child", "craftsmen": "craftsman"}
_GIVEN = word_set(
    "adam albert alessandro alexander alfred alice andrew anna anne anthony antoine arthur benjamin bernard carl"
    " catherine charles christian christopher claude daniel david dmitri edward edwin elizabeth emil emma enrico"
    " ernest eugene ferdinand francis frank franz frederick friedrich galileo george gottfried guglielmo gustav hans"
    " heinrich helen henri henry hermann hugh humphry isaac ivan jacob jacques james jan jane jean johann john"
    " jonathan joseph josef jules karl konrad lars leonardo louis louise ludwig luigi marcel maria marie mark"
    " martin mary matthew max michael michel nikola nikolai nikolay nils oliver oscar otto patrick paul peter"
    " philip pierre ralph richard robert roger rudolf samuel sarah simon stephen susan theodor thomas victor"
    " vincent walter werner wilhelm william willis wolfgang"
)
"""First names, which show a name to be a person's whatever it does."""
_NO_PERSON = word_set(
    "abbey airport avenue bank bridge castle cathedral church city co college company corporation county court"
    " empire foundation group hall hospital house inc institute island islands lake library ltd mountain mountains"
    " museum ocean palace park prize river road school sea society square station street theatre tower university"
    " valley war"
)
_PARTICLES = word_set("von van de der den del della di da du la le ten zu zur and bin ibn al el")


def acts(clause: Clause) -> bool:
    """True when the subject is somebody, one or many: such a subject is asked for with `who`."""
    head = head_noun(clause.words, clause.subject)
    if head is None:
        return False
    joined = (
        [word for word in clause.words[head : clause.subject[1]] if word.is_noun]
        if "and" in clause.slice(clause.subject).split()
        else []
    )
    for noun in (word.lower for word in (clause.words[head], *joined)):
        singular = noun[:-3] + "y" if noun.endswith("ies") else _PLURALS.get(noun, noun.removesuffix("s"))
        if noun in _WHO or singular in _WHO:
            return True
    return False


def _is_person(clause: Clause) -> bool:
    """A name of two or three capitalised words that does what people do, or one with a title."""
    words = clause.words
    span = range(*clause.subject)
    if words[clause.subject[0]].lower in _TITLES and len(span) > 1:
        return True
    names = [words[index] for index in span if words[index].tag == "NNP"]
    if len(names) != len(span) and not all(
        words[index].tag == "NNP" or words[index].lower in _PARTICLES for index in span
    ):
        return False
    if not 2 <= len(names) <= 6 or any(name.text.isupper() for name in names):
        return False
    if names[-1].lower.rstrip(".") in _NO_PERSON:
        return False
    if names[0].start == words[span[0]].start and names[0].lower.split("-")[0] in _GIVEN:
        return True
    lexicon = load_lexicon()
    known = sum(lexicon.tag(name.lower) is None for name in names)
    return clause.base in _PERSON_VERBS and known >= 1
