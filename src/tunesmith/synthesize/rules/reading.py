"""Whether a question with its answer reads well: what is doubtful is dropped here, whichever rule wrote it."""

from __future__ import annotations

import re

from tunesmith.synthesize.rules.patterns import ANAPHORA, NUMBER_WORD, PRONOUN
from tunesmith.synthesize.rules.statement import Draft
from tunesmith.synthesize.wordlists import word_set

_LEANING_REASON = re.compile(
    r"^(?:Because|Since|So that|If|When) (?:that|this|these|those|such|there|one|he|she)\b(?! \w+ (?:is|are)\b)"
)


_VAGUE = re.compile(
    r"^(?:(?:less|more|fewer|further|better|larger|smaller|higher|lower) (?!than\b)(?!.*\bthan\b)|"
    r"(?:many|several|some|various|most|numerous|certain) [\w-]+( [\w-]+)?\.$|(?:its|their|his|"
    r"her) )",
    re.IGNORECASE,
)


_BAD_END = re.compile(
    r"\b(?:how|when|where|why|whether|if|what|very|so|such|not|more|most|both|the|a|an|and|or|of|"
    r"in|on|at|by|for|to|with|from|into|as|than|that|which|its|their|is|are|be)[?.]?$",
    re.IGNORECASE,
)


_BAD_START = re.compile(
    r"^(?:and|or|but|of|than|which|that|who|whom|it|they|he|she|them|him|this|these|those|such|there|not|no longer)\b",
    re.IGNORECASE,
)


_GOVERNED_END = re.compile(r"\b(?:of|in|on|at|by|for|to|with|from|into|as)\?$")


_MAY_END_SO = {"governed", "purpose", "aim"}
"""`What does it consist of?` ends with a preposition by right."""


def reads_well(draft: Draft) -> bool:
    question, answer = draft.question, draft.answer
    n_question, n_answer = len(question.split()), len(answer.split())
    if (
        not (3 if draft.rule == "definition" else 4) <= n_question <= 24
        or not 1 <= n_answer <= 45
        or len(question) > 180
    ):
        return False
    body = question.rstrip("?")
    if ANAPHORA.search(body) or ANAPHORA.search(
        re.sub(r"\b(?:another|the same|own|those (?:of|that)|here|there)\b", "", answer)
        if draft.rule == "definition"
        else answer
    ):
        return False
    if (
        _BAD_END.search(answer)
        or (_BAD_START.search(answer) and draft.rule != "said")
        or (_BAD_END.search(body) and not (draft.rule in _MAY_END_SO and _GOVERNED_END.search(question)))
    ):
        return False
    if _VAGUE.match(answer) or re.search(
        r"\b(?:it|them|him)\b", re.sub(r"\b(?:when|if) (?:it|they) .*", "", body)
    ):
        return False
    if _LEANING_REASON.match(answer) or re.search(
        r"\bnot only\b|\bbut also\b|\bone of \d|for example|for instance|e\.g\.|i\.e\.", question + answer
    ):
        return False
    if re.search(r", (?:and|but|so|or|yet) ", question) or re.search(
        r" but (?:they|it|he|she|also)\b", answer
    ):
        return False
    if re.search(
        r"\b(?:in|of|below|above|at|by|for|with|from|to|on|under) that (?!of\b)[a-z]+",
        question + " " + answer,
    ):
        return False
    if question.count(",") > 2 or any(char in question for char in ';:"“”[]=|→•') or ".." in question:
        return False
    if any(char in answer for char in "[]=|→•"):
        return False
    if question.count("(") != question.count(")") or answer.count("(") != answer.count(")"):
        return False
    if _is_dangling(body):
        return False
    return not _gives_away(question, answer)


def _is_dangling(body: str) -> bool:
    """True when a pronoun comes before any noun it could stand for: within the first four words of the question."""
    words = body.split()
    return (
        any(PRONOUN.fullmatch(word.strip(",")) for word in words[:4])
        or sum(bool(PRONOUN.fullmatch(word)) for word in words) > 2
    )


def _content(text: str) -> set[str]:
    return {
        word
        for word in re.findall(r"[a-z0-9][a-z0-9'-]+", text.lower())
        if word not in _FUNCTION and len(word) > 2
    }


_FUNCTION = word_set(
    "the and that which with from for into what why how when where who does did are was were has have had"
    " can could may might must should will would its their this than not but also only very more most"
    " about because while whereas been being happens"
)


def _gives_away(question: str, answer: str) -> bool:
    """True when the answer says nothing that the question does not say."""
    said = _content(answer)
    if re.search(r"\d", answer) and not set(re.findall(r"\d+", answer)) <= set(re.findall(r"\d+", question)):
        return False
    if not said:
        return not re.search(rf"\b{NUMBER_WORD}\b", answer.lower())
    return len(said - _content(question)) == 0
