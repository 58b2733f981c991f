"""From one clause to questions with answers: each rule is a short function that returns nothing when it is unsure.

A rule never invents: the answer is a piece of the sentence, or the sentence's main clause. `ask` runs all
rules and drops what reads badly (a pronoun without its noun, an answer that the question gives away, a
vacuous answer)."""

from __future__ import annotations

import re

from tunesmith.synthesize.questions import as_answer, tidy
from tunesmith.synthesize.rules.definitions import aim, definition
from tunesmith.synthesize.rules.places import when, where
from tunesmith.synthesize.rules.quantities import amount, measured_phrase, subject_amount
from tunesmith.synthesize.rules.reading import reads_well
from tunesmith.synthesize.rules.reasons import effect, manner, purpose, reason
from tunesmith.synthesize.rules.roles import duty, governed, object_of, said, who_or_what
from tunesmith.synthesize.rules.statement import Draft, Rule, Statement


def ask(statement: Statement) -> list[Draft]:
    """All questions worth asking about the statement, the best first; at most one for each answer."""
    found: list[Draft] = []
    answers: set[str] = set()
    if _OF_THE_TEXT.search(statement.subject):
        return found
    for rule in RULES:
        for draft in rule(statement):
            draft = Draft(draft.rule, tidy(draft.question), as_answer(tidy(draft.answer)))
            key = re.sub(r"\W+", " ", draft.answer.lower()).strip()
            if key in answers or not reads_well(draft) or any(_repeats(key, earlier) for earlier in answers):
                continue
            answers.add(key)
            found.append(draft)
    return found


_OF_THE_TEXT = re.compile(
    r"\b(?:part|section|chapter|figure|table|annex|appendix|paper|article|page|paragraph)s?\b(?! "
    r"of the (?!report|roadmap|document|paper))",
    re.IGNORECASE,
)


def _repeats(answer: str, earlier: str) -> bool:
    """True when a number that was asked for already is the core of the answer."""
    return answer.startswith(earlier) and bool(re.search(r"\d", earlier))


RULES: tuple[Rule, ...] = (
    definition,
    reason,
    effect,
    when,
    amount,
    measured_phrase,
    subject_amount,
    purpose,
    aim,
    manner,
    governed,
    where,
    object_of,
    said,
    duty,
    who_or_what,
)
