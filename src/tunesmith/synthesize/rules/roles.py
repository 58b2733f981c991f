"""Who does what: the parts of a sentence asked for one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunesmith.synthesize.clauses import Clause
from tunesmith.synthesize.nouns import Span, head_noun
from tunesmith.synthesize.questions import Piece, inverted, joined, pieces, predicate
from tunesmith.synthesize.rules.patterns import DATE, NUMBER_WORD, PRONOUN, QUANTITY, VACUOUS
from tunesmith.synthesize.rules.statement import (
    Draft,
    Statement,
    cannot_stand,
    front_of,
    is_simple,
    question,
    rest_of,
    with_context,
)
from tunesmith.synthesize.wordlists import phrase_set, word_set

_GOVERNED = phrase_set(
    "consist of, depend on, depend upon, lead to, rely on, result in, refer to, belong to, contribute"
    " to, focus on, aim at, deal with, differ from, suffer from, benefit from, account for, stand for,"
    " serve as, act as, derive from, arise from, stem from, respond to, react to, connect to, link to,"
    " base on, make of, make from, know as, use for, use as, define as, divide into, compose of, cover"
    " with, fill with, line with, associate with, concern with, drive by, power by, call for, ask for,"
    " pay for, protect from, protect against, draw on, convert into, turn into, build on, participate"
    " in, engage in, invest in, range from, comply with, apply to, relate to, correspond to, compete"
    " with, combine with, equip with, characterise by, cause by, influence by, determine by, measure by,"
    " regulate by, limit by, supply by, name by, adhere to, commit to, enter into, amount to, extend to"
)


_ADVERBIAL = word_set(
    "through across into onto during from over under without within until by after before since towards"
    " upon throughout via"
)


_UNSURE = frozenset({"with", "to", "as", "than", "per", "like", "despite"})


_WEAK_VERBS = word_set("be have do make take get become remain seem appear tell say show go come play let")


# Subjects that answer nothing: `What …? Modern versions.`
_ANYBODY = re.compile(
    r"(?:the|most|many|some|several|each|every|any|all|no|both|few|a few|more|less|fewer|rising|people|someone)\b"
    r"|(?:a )?(?:modern|good|bad|new|old|further|similar|various|different|certain|typical|common|current|recent|other"
    r"|simple|special|interesting|important) [\w-]+$"
)
_NO_DEED = word_set("be do have need become remain")


def who_or_what(statement: Statement) -> Iterator[Draft]:
    """Aluminium conducts heat … -> What conducts heat …?"""
    clause = statement.clause
    if (
        clause.is_negative
        or cannot_stand(statement)
        or clause.fronted_clause
        or clause.is_ambiguous
        or clause.is_copula
    ):
        return
    rest = rest_of(statement).rstrip(" ,")
    if len(statement.subject.split()) > 8 or len(rest.split()) < 3 or clause.base in _NO_DEED:
        return
    if not statement.is_person and (_ANYBODY.match(statement.subject) or _is_amount(statement.subject)):
        return
    first_after = clause.words[clause.rest[0]].lower
    if (
        PRONOUN.search(rest)
        or clause.words[clause.finite].tag == "MD"
        or first_after in {"that", "how", "whether"}
    ):
        return
    if _is_unknown_actor(statement):
        return
    who = "Who" if statement.is_person or statement.is_actor else "What"
    yield Draft("subject", f"{who} {predicate(clause, with_context(statement, rest))}?", statement.subject)


def _is_amount(subject: str) -> bool:
    return re.match(QUANTITY + r"\b", subject, re.IGNORECASE) is not None and bool(
        re.match(r"\d|" + NUMBER_WORD, subject)
    )


def _is_unknown_actor(statement: Statement) -> bool:
    """A name that did something, and may be a person, a firm or a town: neither `who` nor `what` is safe."""
    clause = statement.clause
    names = all(word.tag == "NNP" for word in clause.words[clause.subject[0] : clause.subject[1]])
    acted = clause.words[clause.finite].verb == "VBD" and not clause.is_passive
    return names and acted and not (statement.is_person or statement.is_actor)


def object_of(statement: Statement) -> Iterator[Draft]:
    """Triple glazing adds a third pane -> What does triple glazing add?"""
    clause = statement.clause
    if (
        not is_simple(statement)
        or clause.fronted_clause
        or clause.is_copula
        or clause.is_passive
        or clause.is_ambiguous
    ):
        return
    particle, parts = pieces(clause)
    if (
        not parts
        or parts[0].opener
        or parts[0].is_absorbed
        or clause.base in _WEAK_VERBS - {"have"} | {"lie", "stand", "sit", "stay", "last"}
    ):
        return
    words = clause.words
    # `can have`, `has had` make clumsy questions; `must have` and plain `have` do not.
    if (
        clause.base == "have"
        and clause.verb != clause.finite
        and words[clause.finite].lower not in {"must", "should"}
    ):
        return
    first, end = parts[0].span
    head = head_noun(words, (first, end))
    if head is None or words[first].tag not in {
        "DT",
        "NN",
        "NNS",
        "NNP",
        "JJ",
        "JJR",
        "CD",
        "PRP$",
        "VBN",
        "VBG",
        "RB",
        "JJS",
    }:
        return
    if (
        words[head].lower.removesuffix("s") in VACUOUS
        or words[head].lower in VACUOUS
        or (words[first].tag == "RB" and words[first].lower not in {"only", "almost", "nearly", "roughly"})
    ):
        return
    if any(
        word.tag in {"MD", "WRB"} or (word.lower in {"whether", "how", "what", "that"} and word.tag == "IN")
        for word in words[first:end]
    ):
        return
    cut = _trailing(clause, first, end)
    kept: list[Span] = [(cut, end)] if cut < end else []
    answer_end = cut
    if kept and parts[1:] and parts[1].opener in {"of", "for", "between"}:
        return
    for part in parts[1:]:
        if not part.is_absorbed and _is_name_or_date(clause, part) and clause.fronted is None:
            kept.append(part.span)
            continue
        if part.opener in _UNSURE and not part.is_absorbed:
            if part.opener == "to" and clause.base in {
                "give",
                "bring",
                "supply",
                "send",
                "transfer",
                "add",
                "pass",
                "link",
                "connect",
            }:
                kept.append(part.span)
                continue
            return
        if part.is_absorbed and kept:
            kept.append(part.span)
        elif part.is_absorbed or (
            (part.opener not in _ADVERBIAL or _is_range(clause, part)) and part.opener != "to do" and not kept
        ):
            answer_end = part.span[1]
        elif part.opener == "to do":
            # `seek guidelines to develop strategies`: what is to be developed with what is not ours to tell.
            if clause.base != "use" or any(word.tag == "VBG" for word in words[first : part.span[0]]):
                return
            kept.append(part.span)
        else:
            kept.append(part.span)
    tail = f"{particle} {joined(clause, kept)}"
    if PRONOUN.search(tail):
        return
    yield Draft("object", question(statement, "What", tail), clause.slice((first, answer_end)).rstrip(" ,"))


_ADVERB_END = re.compile(
    r"\b(?:every (?:\w+ )?(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?)|(?:once|twice|"
    r"(?:\w+ to )?\w+ times) an? (?:day|week|month|year)|long ago|at once|outdoors|indoors|altogether|"
    r"together|directly"
    r"|upwards|downwards|inwards|outwards|all year|each (?:day|year)|per (?:day|year)|an? (?:day|year|hour))$"
)


def _trailing(clause: Clause, first: int, end: int) -> int:
    """Where the object ends and an adverbial begins: `propane units | outdoors`, `the rod | every two years`."""
    for cut in range(first + 1, end):
        if _ADVERB_END.fullmatch(clause.slice((cut, end))):
            return cut
    return end


def _is_range(clause: Clause, part: Piece) -> bool:
    """`from summer to winter` says which time as often as when."""
    return part.opener == "from" and " to " in clause.slice(part.span)


_LASTS = re.compile(r"\b(?:seconds|minutes|hours|days|weeks|months|years|decades|centuries)$")


def _is_name_or_date(clause: Clause, part: Piece) -> bool:
    first, end = part.span
    text = clause.slice((first + 1, end)).strip(" ,")
    if part.opener == "for" and _LASTS.search(text):
        return True
    named = all(word.tag in {"NNP", "NNPS", ",", "DT"} for word in clause.words[first + 1 : end])
    return part.opener in {"in", "on", "at"} and (
        bool(DATE.match(text)) or (named and part.opener in {"in", "at"})
    )


_ASKED_IN_PASSIVE = word_set(
    "make use base know define divide compose cover fill line connect link associate concern "
    "drive power equip characterise"
    " cause influence determine measure regulate limit supply name protect convert turn"
)


def governed(statement: Statement) -> Iterator[Draft]:
    """Double glazing consists of two panes -> What does double glazing consist of?"""
    clause = statement.clause
    if not is_simple(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    first, end = clause.rest
    words = clause.words
    start = first
    while start < end and words[start].tag == "RB":
        start += 1
    if start >= end - 1:
        return
    phrase = f"{clause.base} {words[start].lower}"
    if phrase not in _GOVERNED or (words[start].lower in {"to"} and words[start + 1].tag == "VB"):
        return
    if clause.is_passive != (clause.base in _ASKED_IN_PASSIVE):
        return
    adverbs = clause.slice((first, start))
    adverbs = adverbs if adverbs.lower() in {"mainly", "mostly", "usually", "largely", "often"} else ""
    answer = clause.slice((start + 1, end)).rstrip(" ,")
    yield Draft("governed", question(statement, "What", f"{adverbs} {words[start].lower}"), answer)


_SAYING = word_set(
    "show demonstrate believe argue suggest state conclude indicate find assume recognise recognize"
    " emphasise emphasize reveal claim note ensure mean expect recommend stress require fear hope agree"
    " propose prove"
)


def said(statement: Statement) -> Iterator[Draft]:
    """Critics believe that C -> What do critics believe?"""
    clause = statement.clause
    words = clause.words
    first, end = clause.rest
    if (
        clause.is_passive
        or clause.base not in _SAYING
        or not is_simple(statement)
        or clause.fronted_clause
        or first + 4 >= end
    ):
        return
    if words[first].lower == "that" and words[first + 1].tag != "PRP" and not clause.is_ambiguous:
        yield Draft(
            "said",
            f"What {inverted(clause, statement.subject, front_of(statement))}?",
            clause.slice((first, end)).rstrip(" ,"),
        )


def duty(statement: Statement) -> Iterator[Draft]:
    """Governments need to work together -> What do governments need to do?"""
    clause = statement.clause
    words = clause.words
    first, end = clause.rest
    if (
        clause.is_passive
        or clause.is_negative
        or cannot_stand(statement)
        or clause.fronted_clause
        or clause.is_ambiguous
        or clause.is_copula
    ):
        return
    if len(statement.subject.split()) < 2 and not front_of(statement):
        # `What should management do?` has a hundred answers.
        return
    if words[clause.finite].lower in {"must", "should"} and clause.base not in {"be", "have"}:
        answer = clause.slice((clause.verb, end)).rstrip(" ,")
        if len(answer.split()) >= 4:
            yield Draft(
                "duty",
                with_context(statement, f"What {words[clause.finite].lower} {statement.subject} do") + "?",
                answer,
            )
    elif (
        clause.base == "need"
        and first + 4 < end
        and words[first].lower == "to"
        and words[first + 1].lower not in {"be", "have"}
        and words[first + 1].tag == "VB"
    ):
        answer = clause.slice((first + 1, end)).rstrip(" ,")
        yield Draft("duty", question(statement, "What", "to do"), answer)
