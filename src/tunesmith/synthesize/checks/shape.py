"""Checks of how an example is written: its form, its length, refusals, and whether it can stand alone."""

from __future__ import annotations

import re
import unicodedata

from tunesmith.records import Example
from tunesmith.synthesize.checks.base import About, Limits, parts_of
from tunesmith.synthesize.checks.words import words

_DEBRIS = re.compile(
    r"\{\{|\}\}|\{%|</?[a-z]+>|^\W*(?:question|answer|q|a)\s*\d*\s*[:.)]\s|```|\[/?INST\]|<\|", re.IGNORECASE
)
_BRACKETS = {")": "(", "]": "[", "}": "{"}


def check_format(example: Example, about: About) -> str | None:
    """Nothing empty, no control characters, no debris of templates, brackets closed, questions with a question mark."""
    for what, text in parts_of(example):
        if not text.strip():
            return f"the {what} is empty"
        if any(unicodedata.category(char) in {"Cc", "Cs", "Co"} and char not in "\n\t" for char in text):
            return f"the {what} holds control characters"
        if _DEBRIS.search(text):
            return f"the {what} holds pieces of a template or of mark-up"
        if not _is_balanced(text):
            return f"the {what} has an unclosed bracket"
    if example.kind == "question_answer" and not example.instruction.rstrip().endswith(("?", "？", "؟")):
        return "the question does not end with a question mark"
    return None


def _is_balanced(text: str) -> bool:
    # An enumeration such as "a)" closes what it never opened.
    text = re.sub(r"(?:^|\s)\(?\w{1,3}\)", " ", text)
    open_brackets: list[str] = []
    for char in text:
        if char in "([{":
            open_brackets.append(char)
        elif char in _BRACKETS and (not open_brackets or open_brackets.pop() != _BRACKETS[char]):
            return False
    return not open_brackets


_NO_SPACES = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]")


def check_length(example: Example, about: About, *, limits: Limits) -> str | None:
    """Neither too short to mean something nor longer than the options allow."""
    (asked, question), (answered, answer) = parts_of(example)
    n_question, n_answer = len(words(question)), len(words(answer))
    # A script without spaces has no words to count; two characters stand for one word.
    few = 1 if _NO_SPACES.search(question) else 3
    if n_question < few:
        return f"the {asked} has {n_question} words, fewer than {few}"
    if example.kind == "question_answer" and n_question > limits.max_question_words:
        return f"the {asked} has {n_question} words, more than {limits.max_question_words}"
    if not n_answer:
        return f"the {answered} has no words"
    most = _MOST_WORDS.get(example.kind, "")
    if most and n_answer > getattr(limits, most):
        return f"the {answered} has {n_answer} words, more than {getattr(limits, most)}"
    if example.context is None:
        return None
    n_passage = len(words(example.context))
    if example.kind == "summary" and n_answer >= n_passage:
        return "the summary is no shorter than the passage"
    if example.kind == "paraphrase" and not 0.5 <= n_answer / max(1, n_passage) <= 2:
        return f"the text has {n_answer} words, the passage {n_passage}: that is no paraphrase of it"
    return None


_MOST_WORDS = {
    "question_answer": "max_answer_words",
    "summary": "max_answer_words",
    "instruction": "max_response_words",
    "conversation": "max_response_words",
}
"""The limit that holds for the answers of a kind; a label, a split text and a paraphrase have limits of their own."""


_SOURCE = r"(?:text|passage|document|context|excerpt|article|paragraph|section|source|author)"
_REFUSAL = re.compile(
    rf"\b{_SOURCE}\b[^.]{{0,40}}\b(?:does|do|did) not\b[^.]{{0,30}}\b(?:say|state|mention|provide|"
    rf"specify|contain|discuss|explain|give|include)"
    rf"|\b(?:not|never) (?:\w+ )?(?:mentioned|specified|stated|provided|given|discussed|found) "
    rf"(?:\w+ ){{0,2}}in the {_SOURCE}"
    r"|\bno (?:specific |further )?information (?:is|was|about|on|regarding|available|provided)"
    r"|\bas an? (?:AI|artificial|language model)\b|\bI(?:'m| am) (?:sorry|unable|not able)|\bI "
    r"(?:cannot|can't|can not|don't have|do not have)\b"
    r"|\b(?:cannot|can not|can't) be (?:determined|answered)\b|^\W*(?:N/A|unknown|not "
    r"(?:applicable|specified|mentioned|available))\W*$",
    re.IGNORECASE,
)


def check_refusal(example: Example, about: About) -> str | None:
    """No answer that says that it has none; for questions made to have none it is the answer that is wanted."""
    if example.attributes.get("answerable") == "no" or example.kind in ("classification", "segmentation"):
        return None
    found = _REFUSAL.search(example.target)
    return f"the answer refuses: “{found.group().strip()}”" if found else None


_POINTS_AT_TEXT = re.compile(
    r"\b(?:according to|based on|in|from|of|by|does|do"
    r"|(?:as )?(?:described|stated|mentioned|noted|shown|discussed|explained|listed|given|provided|presented)"
    r" (?:in|by))"
    r" (?:the|this|these|that|our) (?:above |following |given |provided |first |second |last )?"
    rf"{_SOURCE}s?\b(?! (?:of|for|that|about|on|in|to) )"
    r"|\b(?:this|these) (?:text|passage|document|excerpt|article|paragraph|section|chapter|report|paper|study|roadmap"
    r"|table|figure|list|sentence|statement|part|page)s?\b"
    r"|\bthe (?:above|following|aforementioned|latter|former)\b"
    r"|\b(?:mentioned|described|listed|shown|discussed|see|given) (?:above|below|earlier|previously)\b"
    r"|\b(?-i:[Ff]igure|[Tt]able|[Aa]ppendix|[Ss]ection|[Cc]hapter|[Bb]ox|[Ee]xhibit|[Aa]nnex) \d",
    re.IGNORECASE,
)
_AUXILIARY = r"(?:does|do|did|is|are|was|were|can|could|will|would|should|has|have|had|may|might|must)"
_DANGLING = re.compile(
    rf"^(?:(?:at|in|by|for|to|from|with|on) )?(?:what|why|how|when|where|which|who|whom|"
    rf"whose)\b[^?]{{0,30}}?\b{_AUXILIARY}"
    r" (?:it|they|this|that|these|those|he|she|such|we|you|i|there|them|its|their|his|her|our|"
    r"your)\b(?! is| are| was| were| to\b)",
    re.IGNORECASE,
)


def check_self_contained(example: Example, about: About) -> str | None:
    """Nothing that only a reader of the source could follow; kinds that work on a shown text may speak of it."""
    if example.kind not in ("question_answer", "summary", "conversation"):
        return None
    is_refusal = example.attributes.get("answerable") == "no"
    for what, text in parts_of(example)[: 1 if is_refusal else 2]:
        if found := _POINTS_AT_TEXT.search(text):
            return f"the {what} points at the text: “{found.group().strip()}”"
    if example.kind == "question_answer" and (found := _DANGLING.search(example.instruction)):
        return f"the question asks about something it does not name: “{found.group().strip()}”"
    return None
