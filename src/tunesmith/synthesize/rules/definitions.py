"""What something is, and what it is for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunesmith.synthesize.clauses import Clause
from tunesmith.synthesize.nouns import head_noun
from tunesmith.synthesize.questions import inverted, tidy
from tunesmith.synthesize.rules.statement import Draft, Statement, front_of, is_simple
from tunesmith.synthesize.tagger import Word
from tunesmith.synthesize.wordlists import word_set

_NO_DEFINITION = word_set(
    "reason result example problem question thing way case drawback advantage disadvantage consequence"
    " aim exception answer fact sign step key reference defect matter same issue goal objective task"
)


def _placed(statement: Statement, text: str) -> str:
    """The text with the phrase before the subject. A `when` behind it is part of the definition."""
    return tidy(f"{text} {front_of(statement)}")


def definition(statement: Statement) -> Iterator[Draft]:
    """X is a Y that … -> What is X?"""
    clause = statement.clause
    words = clause.words
    if (
        not clause.is_copula
        or words[clause.finite].lower not in {"is", "are"}
        or not is_simple(statement)
        or clause.fronted_clause
    ):
        return
    first, end = clause.rest
    while first < end and words[first].tag == "RB":
        first += 1
    if first >= end or (
        words[first].lower not in {"a", "an", "the", "any", "anything", "one"}
        and not _is_bare_plural(words, first, end)
    ):
        return
    head = head_noun(words, (first, end))
    subject_head = head_noun(words, clause.subject)
    if (
        head is None
        or subject_head is None
        or words[head].lower in _NO_DEFINITION
        or words[subject_head].lower in _NO_DEFINITION
    ):
        return
    if (
        end - first < 4
        or clause.subject[1] - clause.subject[0] > 8
        or statement.subject.startswith(("every ", "each ", "most ", "many ", "some "))
    ):
        return
    in_subject = words[clause.subject[0] : clause.subject[1]]
    if any(word.tag in {"WDT", "WP"} for word in in_subject) or in_subject[-1].tag == "VBN":
        return
    if (words[clause.subject[0]].tag == "VBG" and not words[clause.subject[0]].is_noun) or (
        words[head].lower == words[subject_head].lower
        and not any(word.tag in {"WDT", "WP"} for word in words[head + 1 : end])
    ):
        return
    leans = words[clause.subject[0]].lower == "the" and clause.subject[1] > subject_head + 1
    if leans and words[first].lower != "the":
        return
    if _is_superlative(words, first, head):
        yield from _superlative(statement, first, head)
        return
    if words[first].lower == "the" and not any(
        w.lower in {"of", "that", "which", "for", "in", "by", "with"} for w in words[head + 1 : end]
    ):
        return
    verb = words[clause.finite].lower
    who = "Who" if statement.is_person else "What"
    yield Draft(
        "definition",
        f"{who} {verb} {_placed(statement, statement.subject)}?",
        _definition_answer(statement),
    )


def _definition_answer(statement: Statement) -> str:
    """The whole sentence up to what is only added to it: a definition must not lose its second half."""
    clause = statement.clause
    end = clause.rest[1]
    for tail in clause.tails:
        if (
            tail.word in {"when", "if", "where", "until", "while", "because", "and", "so that", "or"}
            and tail.first == end
            and not _has_subject(clause, tail.first, tail.end)
        ) or (tail.word in {"when", "if", "where", "until", "because", "so that"} and tail.first == end):
            end = tail.end
        else:
            break
    text = clause.slice((clause.finite, end))
    text = re.sub(r"\b(?:also|therefore|thus|hence|however|nevertheless) ", "", text)
    return f"{statement.subject} {text}"


def _has_subject(clause: Clause, first: int, end: int) -> bool:
    """True when the words after `and` open with a noun phrase, so that they are a sentence of their own."""
    index = first + 1
    return index < end and clause.words[index].tag in {"DT", "PRP", "NN", "NNS", "NNP", "JJ", "CD", "PRP$"}


def _is_bare_plural(words: tuple[Word, ...], first: int, end: int) -> bool:
    head = head_noun(words, (first, end))
    return (
        head is not None
        and words[head].tag == "NNS"
        and head - first <= 3
        and words[first].tag in {"JJ", "NNS", "NN"}
    )


def _is_superlative(words: tuple[Word, ...], first: int, head: int) -> bool:
    return words[first].lower == "the" and any(
        (word.lower.endswith("est") and word.tag != "NN")
        or word.lower in {"most", "first", "only", "main", "best", "last"}
        for word in words[first:head]
    )


def _superlative(statement: Statement, first: int, head: int) -> Iterator[Draft]:
    """Windows are usually the weakest part of the envelope -> What is usually the weakest part of the envelope?"""
    clause = statement.clause
    adverbs = clause.slice((clause.rest[0], first))
    is_past = clause.words[clause.finite].lower in {"was", "were"}
    verb = "was" if is_past else "is"
    if clause.words[head].tag == "NNS":
        verb = "were" if is_past else "are"
    who = "Who" if statement.is_person else "What"
    description = _placed(statement, clause.slice((first, clause.rest[1])))
    if len(description.split()) >= 3 and len(statement.subject.split()) <= 8:
        yield Draft("superlative", tidy(f"{who} {verb} {adverbs} {description}?"), statement.subject)


_AIMS = word_set("purpose aim goal mission objective role task function intention job")


def aim(statement: Statement) -> Iterator[Draft]:
    """The aim of X is to do Y -> What is the aim of X?"""
    clause = statement.clause
    words = clause.words
    first, end = clause.rest
    head = head_noun(words, clause.subject)
    if not clause.is_copula or not is_simple(statement) or first + 2 >= end or head is None:
        return
    opens = words[first].lower == "to" and words[first + 1].tag in {"VB", "NN", "VBP"}
    if opens and words[head].lower.removesuffix("s") in _AIMS and clause.subject[1] > head + 1:
        yield Draft(
            "aim",
            f"What {inverted(clause, statement.subject, front_of(statement))}?",
            clause.slice((first, end)),
        )
