"""Why, how, what for, and what happens if."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunesmith.synthesize.clauses import Clause
from tunesmith.synthesize.questions import inverted, joined, lower_first, pieces
from tunesmith.synthesize.rules.patterns import PRONOUN, YEAR
from tunesmith.synthesize.rules.statement import (
    Draft,
    Statement,
    cannot_stand,
    front_of,
    is_simple,
    main_sentence,
    question,
    rest_of,
)
from tunesmith.synthesize.tagger import BE, Word


def reason(statement: Statement) -> Iterator[Draft]:
    """S V … because C -> Why does S V …?"""
    clause = statement.clause
    if cannot_stand(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    expected = clause.rest[1]
    for tail in clause.tails:
        if tail.first not in {expected, expected + 1}:
            break
        expected = tail.end
        if tail.word in {"when", "if"} and tail is clause.tails[0]:
            continue
        if tail.word in {"because", "since", "so that"}:
            if clause.is_copula and (
                tail.word == "so that"
                or any(word.tag in {"WDT", "WP"} for word in clause.words[clause.rest[0] : clause.rest[1]])
            ):
                break
            if tail.word == "since" and _speaks_of_time(clause, tail.first, tail.end):
                break
            text = clause.slice((tail.first, _reason_end(clause, tail.first)))
            yield Draft("reason", question(statement, "Why", rest_of(statement)), text)
        break
    match = re.search(r"\b(?:because of|due to|owing to|thanks to) ", rest_of(statement))
    if match and not clause.tails and statement.clause.words[clause.verb].lower not in BE:
        before, after = rest_of(statement)[: match.start()], rest_of(statement)[match.start() :]
        yield Draft("reason", question(statement, "Why", before), after)


def _speaks_of_time(clause: Clause, first: int, end: int) -> bool:
    return clause.words[clause.finite].lower in {"has", "have", "had"} or bool(
        re.search(rf"^since {YEAR}", clause.slice((first, end)))
    )


def _reason_end(clause: Clause, first: int) -> int:
    """The end of a reason: it goes on over `and`, and stops at a new thought."""
    end = next(tail.end for tail in clause.tails if tail.first == first)
    for tail in clause.tails:
        if tail.first == end or tail.first == end + 1:
            if (
                tail.word in {"and", "or", "than", "when", "if", "where", "until", "that"}
                and clause.words[end].text != ";"
            ):
                end = tail.end
            elif tail.first > first:
                break
    return end


def manner(statement: Statement) -> Iterator[Draft]:
    """S V O by doing X -> How does S V O?"""
    clause = statement.clause
    if not is_simple(statement) or clause.fronted_clause or clause.is_copula:
        return
    particle, parts = pieces(clause)
    for index, part in enumerate(parts):
        first = part.span[0]
        if part.opener and any(word.tag == "VBG" for word in clause.words[clause.rest[0] : first]):
            return
        if part.opener != "by" or part.is_absorbed or first + 1 >= part.span[1]:
            continue
        following = clause.words[first + 1]
        is_doing = following.tag == "VBG" or (
            following.tag == "RB" and first + 2 < part.span[1] and clause.words[first + 2].tag == "VBG"
        )
        if is_doing or clause.slice(part.span).startswith("by means of"):
            before = joined(clause, [p.span for p in parts[:index]])
            if not before and not clause.is_passive:
                continue
            yield Draft(
                "manner",
                question(statement, "How", f"{particle} {before}"),
                clause.slice((first, clause.rest[1])),
            )
            return


def purpose(statement: Statement) -> Iterator[Draft]:
    """X is used to do Y -> What is X used for?"""
    clause = statement.clause
    if (
        not clause.is_passive
        or clause.base not in {"use", "design", "intend", "employ"}
        or not is_simple(statement)
    ):
        return
    _, parts = pieces(clause)
    if (
        parts
        and parts[0].opener in {"to do", "for"}
        and clause.words[clause.finite].lower in {"is", "are", "can"}
    ):
        yield Draft("purpose", f"What {inverted(clause, statement.subject, 'for')}?", rest_of(statement))


def effect(statement: Statement) -> Iterator[Draft]:
    """If C, M. -> What happens if C?"""
    clause = statement.clause
    words = clause.words
    if clause.fronted_clause is not None:
        first = clause.fronted_clause[0]
        opener = words[first].lower
        condition = lower_first(clause.slice(clause.fronted_clause), words, first)
        if opener in {"if", "when"} and not _starts_dangling(words, first + 1):
            yield Draft("effect", f"What happens {condition}?", main_sentence(statement))
        elif opener == "because" and not _starts_dangling(words, first + 1) and not cannot_stand(statement):
            yield Draft("reason", question(statement, "Why", rest_of(statement)), condition)
        return
    for tail in clause.tails:
        if tail.word == "when" and tail.first in {clause.rest[1], clause.rest[1] + 1}:
            last = tail is clause.tails[-1]
            condition = clause.slice((tail.first, tail.end))
            if (
                last
                and not PRONOUN.search(condition)
                and is_simple(statement)
                and not clause.is_copula
                and not clause.is_ambiguous
            ):
                yield Draft(
                    "condition",
                    f"When {inverted(clause, statement.subject, f'{rest_of(statement)} {front_of(statement)}')}?",
                    condition,
                )
            return


def _starts_dangling(words: tuple[Word, ...], index: int) -> bool:
    return words[index].tag in {"PRP", "PRP$"} or words[index].lower in {
        "this",
        "these",
        "that",
        "those",
        "such",
        "there",
        "all",
    }
