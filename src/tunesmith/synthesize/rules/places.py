"""When and where."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunesmith.synthesize.questions import inverted, joined, pieces, tidy
from tunesmith.synthesize.rules.patterns import DATE, QUANTITY
from tunesmith.synthesize.rules.statement import Draft, Statement, cannot_stand, is_simple, question, rest_of
from tunesmith.synthesize.wordlists import word_set

PLACE_VERBS = word_set(
    "stand lie sit hang locate place bury live occur appear form grow install find situate mount fit"
)


_WHEN = {
    "in": "When",
    "on": "When",
    "during": "When",
    "since": "Since when",
    "until": "Until when",
    "by": "By when",
    "from": "From when",
    "before": "Before when",
    "after": "After when",
    "around": "When",
}


def when(statement: Statement) -> Iterator[Draft]:
    """… in 1852 -> When …?"""
    clause = statement.clause
    if clause.is_negative or clause.fronted_clause or clause.is_ambiguous:
        return
    if clause.fronted is not None:
        first, end = clause.fronted
        text = clause.slice((first + 1, end))
        if clause.words[first].lower in _WHEN and DATE.match(text):
            head = _WHEN[clause.words[first].lower]
            yield Draft(
                "when",
                f"{head} {inverted(clause, statement.subject, rest_of(statement))}?",
                clause.slice(clause.fronted),
            )
            return
    if cannot_stand(statement):
        return
    particle, parts = pieces(clause)
    for index, part in enumerate(parts):
        text = clause.slice((part.span[0] + 1, part.span[1])).strip(" ,")
        if part.is_absorbed or part.opener not in _WHEN or not DATE.match(text):
            continue
        others = tidy(
            f"{particle} " + joined(clause, [p.span for number, p in enumerate(parts) if number != index])
        )
        if others or index == 0:
            yield Draft(
                "when", question(statement, _WHEN[part.opener], others.rstrip(" ,")), f"{part.opener} {text}"
            )
            return


def where(statement: Statement) -> Iterator[Draft]:
    """Radiators stand below windows -> Where do radiators stand?   … in Iceland -> Where …?"""
    clause = statement.clause
    if not is_simple(statement) or clause.fronted_clause or clause.is_ambiguous:
        return
    particle, parts = pieces(clause)
    for index, part in enumerate(parts):
        if part.is_absorbed or part.opener not in {
            "in",
            "at",
            "on",
            "below",
            "above",
            "under",
            "near",
            "behind",
            "between",
            "beside",
            "inside",
            "outside",
        }:
            continue
        first, end = part.span
        text = clause.slice((first + 1, end)).strip(" ,")
        is_name = (
            part.opener in {"in", "at"}
            and all(
                word.tag in {"NNP", "NNPS", ",", "DT"} or word.lower == "and"
                for word in clause.words[first + 1 : end]
            )
            and not DATE.match(text)
        )
        is_name = is_name and any(word.tag == "NNP" for word in clause.words[first + 1 : end])
        is_place = (
            index == 0
            and clause.base in PLACE_VERBS
            and (not clause.is_copula)
            and not re.match(QUANTITY + r"\b", text)
        )
        if is_place and part.opener in {"in", "on", "at"}:
            is_place = clause.words[first + 1].tag in {
                "DT",
                "NNP",
                "NNS",
                "NN",
                "JJ",
                "CD",
            } and clause.base not in {"find", "form", "place", "appear", "occur", "grow"}
        if is_name or is_place:
            others = tidy(
                f"{particle} " + joined(clause, [p.span for number, p in enumerate(parts) if number != index])
            ).rstrip(" ,")
            if is_name and not others and not clause.is_passive:
                continue
            if is_place:
                text = (
                    clause.slice((first + 1, parts[-1].span[1]))
                    if all(p.opener in {"in", "of", "on", "between", "near"} for p in parts)
                    else text
                )
                others = (
                    ""
                    if all(p.opener in {"in", "of", "on", "between", "near", part.opener} for p in parts)
                    else others
                )
            yield Draft("where", question(statement, "Where", others), f"{part.opener} {text}")
            return
