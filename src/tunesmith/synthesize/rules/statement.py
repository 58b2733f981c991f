"""What a rule gets and what it gives, and the pieces of questions that all rules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tunesmith.synthesize.clauses import Clause
from tunesmith.synthesize.questions import inverted, lower_first, tidy
from tunesmith.synthesize.rules.patterns import ANAPHORA, PRONOUN
from tunesmith.synthesize.tagger import Word


@dataclass(frozen=True, slots=True)
class Draft:
    rule: str
    question: str
    answer: str


@dataclass(frozen=True)
class Statement:
    """A clause that stands alone: its subject is spelled out."""

    clause: Clause
    subject: str
    """The subject as it goes into a question: resolved, with a small first letter where it is no name."""
    is_person: bool = False
    is_actor: bool = False
    """True for people and organisations: `who`, not `what`."""

    @property
    def words(self) -> tuple[Word, ...]:
        return self.clause.words


Rule = Callable[[Statement], Iterator[Draft]]


def front_of(statement: Statement) -> str:
    """The phrase before the subject, for the end of a question; empty when it only ties sentences together."""
    clause = statement.clause
    if clause.fronted is None:
        return ""
    first, end = clause.fronted
    opener = clause.words[first].lower
    if clause.words[first].tag in {"RB", "JJ"} and end - first == 1:
        return ""
    if opener in {
        "for",
        "according",
        "despite",
        "unlike",
        "like",
        "by",
        "as",
        "to",
        "with",
        "of",
        "besides",
        "instead",
        "due",
        "in",
    } and _ties(clause, first, end):
        return ""
    return lower_first(clause.slice(clause.fronted), clause.words, first)


_TIES = re.compile(
    r"^(?:for (?:example|instance|this reason|that reason|these reasons)|in (?:addition|fact|"
    r"particular|general|contrast|other words|turn|this|that|spite of its name|short|practice)|"
    r"as (?:a result|such|a consequence)|by contrast|on the (?:other|one) hand|to (?:this end|"
    r"date)|of course|at (?:first|last|the same time)|despite this)\b",
    re.IGNORECASE,
)


def _ties(clause: Clause, first: int, end: int) -> bool:
    return _TIES.match(clause.slice((first, end))) is not None


def cannot_stand(statement: Statement) -> bool:
    """True when the fronted phrase is needed for the sense but cannot be kept, as `in such cases`."""
    fronted = front_of(statement)
    return bool(ANAPHORA.search(fronted)) or bool(PRONOUN.search(fronted))


def condition_of(statement: Statement) -> str:
    """A short `when`, `if`, `before` or `after` clause right behind the main one, which keeps the statement true."""
    clause = statement.clause
    tail = clause.tails[0] if clause.tails else None
    if tail is None or tail.word not in {"when", "if", "before", "after"} or tail.end - tail.first > 12:
        return ""
    text = clause.slice((tail.first, tail.end))
    leans = tail.word in {"before", "after"} and PRONOUN.search(text)
    return "" if leans or ANAPHORA.search(text) else text.rstrip(" ,")


def with_context(statement: Statement, text: str) -> str:
    """`text` with the condition and the phrase before the subject, which keep it true."""
    return tidy(f"{text.rstrip(' ,')} {condition_of(statement)} {front_of(statement)}")


def question(statement: Statement, head: str, tail: str) -> str:
    return f"{head} {inverted(statement.clause, statement.subject, with_context(statement, tail))}?"


def main_sentence(statement: Statement) -> str:
    """Subject and predicate as a sentence of its own."""
    clause = statement.clause
    adverbs = (
        clause.slice((clause.subject[1], clause.finite))
        if clause.words[clause.subject[1]].tag == "RB"
        else ""
    )
    text = tidy(
        f"{statement.subject} {adverbs} {clause.slice((clause.finite, clause.rest[1]))} {front_of(statement)}"
    )
    return re.sub(
        r"\b(?:also|therefore|thus|hence|however|nevertheless|moreover|furthermore|consequently) ", "", text
    )


def rest_of(statement: Statement) -> str:
    return statement.clause.slice(statement.clause.rest)


def is_simple(statement: Statement) -> bool:
    return not statement.clause.is_negative and not cannot_stand(statement)
