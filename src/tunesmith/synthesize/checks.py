"""Checks that an example has to pass. Each says in words why it refuses, or returns `None`.

A check is made anew for each run by `open_checks`, sees the examples one by one in their order, and takes
constant time for each, so that a set of any size is checked in one pass."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tunesmith.duplicates import NearIndex
from tunesmith.records import Example
from tunesmith.synthesize.wordlists import word_set

Check = Callable[[Example, int | None], str | None]
"""(example, start of its chunk in the document) -> why it is refused, or `None`."""


@dataclass(frozen=True, slots=True)
class Limits:
    max_question_words: int = 60
    max_answer_words: int = 120
    near_duplicate: float = 0.8


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’.,-][^\W_]+)*", text)


def normalise(text: str) -> str:
    """Case, accents' encoding, punctuation and spaces folded, so that equal texts are equal strings."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"[^\W_]+", folded))


# --- format
# ---------------------------------------------------------------------------------------------------------

_DEBRIS = re.compile(
    r"\{\{|\}\}|\{%|</?[a-z]+>|^\W*(?:question|answer|q|a)\s*\d*\s*[:.)]\s|```|\[/?INST\]|<\|", re.IGNORECASE
)
_BRACKETS = {")": "(", "]": "[", "}": "{"}


def _check_format(example: Example, start: int | None, *, limits: Limits) -> str | None:
    question, answer = example.instruction, example.target
    for what, text in (("question", question), ("answer", answer)):
        if not text.strip():
            return f"the {what} is empty"
        if any(unicodedata.category(char) in {"Cc", "Cs", "Co"} and char not in "\n\t" for char in text):
            return f"the {what} holds control characters"
        if _DEBRIS.search(text):
            return f"the {what} holds pieces of a template or of mark-up"
        if not _is_balanced(text):
            return f"the {what} has an unclosed bracket"
    if example.kind == "question_answer" and not question.rstrip().endswith(("?", "？", "؟")):
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


# --- length
# ---------------------------------------------------------------------------------------------------------

_NO_SPACES = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]")


def _check_length(example: Example, start: int | None, *, limits: Limits) -> str | None:
    question, answer = words(example.instruction), words(example.target)
    # A script without spaces has no words to count; two characters stand for one word.
    few = 1 if _NO_SPACES.search(example.instruction) else 3
    if len(question) < few:
        return f"the question has {len(question)} words, fewer than {few}"
    if len(question) > limits.max_question_words:
        return f"the question has {len(question)} words, more than {limits.max_question_words}"
    if not answer:
        return "the answer has no words"
    if len(answer) > limits.max_answer_words:
        return f"the answer has {len(answer)} words, more than {limits.max_answer_words}"
    if (
        example.kind == "summary"
        and example.context is not None
        and len(answer) >= len(words(example.context))
    ):
        return "the summary is no shorter than the passage"
    return None


# --- refusal
# --------------------------------------------------------------------------------------------------------

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


def _check_refusal(example: Example, start: int | None, *, limits: Limits) -> str | None:
    found = _REFUSAL.search(example.target)
    return f"the answer refuses: “{found.group().strip()}”" if found else None


# --- self-contained
# -------------------------------------------------------------------------------------------------

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


def _check_self_contained(example: Example, start: int | None, *, limits: Limits) -> str | None:
    for what, text in (("question", example.instruction), ("answer", example.target)):
        if found := _POINTS_AT_TEXT.search(text):
            return f"the {what} points at the text: “{found.group().strip()}”"
    if example.kind == "question_answer" and (found := _DANGLING.search(example.instruction)):
        return f"the question asks about something it does not name: “{found.group().strip()}”"
    return None


# --- language
# -------------------------------------------------------------------------------------------------------

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    "English": word_set(
"the of and to in is that for it with as was on are by this be from at which or have has not what how"
" does"
),
    "German": word_set(
"der die das und ist nicht mit ein eine den von zu im dem auf für des sich auch werden wird wie was"
),
    "French": word_set(
"le la les des est une dans pour qui que sur pas au du avec ce sont par plus et il elle quelle quel"
),
    "Spanish": word_set(
"el la los las es una de que en para con por del se su como más qué cuál son y al lo"
),
    "Italian": word_set(
"il la che di è una per con non del della sono gli nel le dei come più quale anche si"
),
    "Dutch": word_set(
"de het een van en is dat op te zijn met voor niet aan er om ook als wat hoe worden wordt"
),
    "Portuguese": word_set(
"o a os as é uma de que em para com por do da se não mais qual são dos ao na no"
),
    "Swedish": word_set(
"och är att det en som på för med av den till inte ett har om vad hur kan var"
),
    "Finnish": word_set(
"ja on ei että se oli joka mitä kuin myös tai ovat sen niin mikä hän voi sekä miten"
),
}  # fmt: skip


_SHARED = word_set("a as do no is in was on die son per come con par for an de")
"""Words that two of the languages write alike: they tell nothing."""


def _function_words(text: str) -> dict[str, int]:
    """How many function words of each language the text holds."""
    found = [word for word in normalise(text).split() if word not in _SHARED]
    return {
        name: sum(word in function_words for word in found) for name, function_words in FUNCTION_WORDS.items()
    }


def language_of(text: str) -> str | None:
    """The language whose function words stand out, or `None` when the text is too short or of another language."""
    counts = _function_words(text)
    (best, most), (_, second) = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:2]
    return best if most >= 3 and most >= 1.5 * second and most >= 0.1 * len(text.split()) else None


def script_of(text: str) -> str | None:
    """Script of most letters: the first word of their Unicode names (LATIN, CYRILLIC, CJK, …)."""
    counts: dict[str, int] = {}
    for char in text:
        if char.isalpha():
            name = unicodedata.name(char, "?").split()[0].split("-")[0]
            name = "CJK" if name in {"HIRAGANA", "KATAKANA"} else name
            counts[name] = counts.get(name, 0) + 1
    return max(sorted(counts), key=lambda name: counts[name]) if counts else None


def _check_language(example: Example, start: int | None, *, limits: Limits) -> str | None:
    if example.context is None:
        return None
    wanted_script = script_of(example.context)
    wanted = language_of(example.context)
    for what, text in (("question", example.instruction), ("answer", example.target)):
        script = script_of(text)
        if script and wanted_script and script != wanted_script:
            return f"the {what} is written in {script}, the passage in {wanted_script}"
        language = language_of(text)
        if (
            language
            and wanted
            and language != wanted
            and 2 * _function_words(text)[wanted] < _function_words(text)[language]
        ):
            return f"the {what} is in {language}, the passage in {wanted}"
    return None


# --- grounded
# -------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
}


def numbers(text: str) -> set[str]:
    """Numbers as plain digit strings: "1,200" and "1200" are one; "3.50" and "3.5" are one."""
    found = set()
    for match in _NUMBER.findall(text):
        plain = re.sub(r",(?=\d{3}\b)", "", match)
        found.add(plain.rstrip("0").rstrip(".") if "." in plain else plain)
    return found


def _check_grounded(example: Example, start: int | None, *, limits: Limits) -> str | None:
    passage = example.context
    if passage is None:
        return None
    if example.evidence_start is None or example.evidence_end is None:
        quote = example.attributes.get("quote", "")
        return (
            f"the quoted evidence does not stand in the passage: “{quote[:80]}”"
            if quote
            else "no evidence was quoted"
        )
    if start is not None and not 0 <= example.evidence_start - start < example.evidence_end - start <= len(
        passage
    ):
        return "the evidence lies outside the passage"
    there = numbers(passage) | {
        NUMBER_WORDS[word] for word in normalise(passage).split() if word in NUMBER_WORDS
    }
    missing = sorted(numbers(example.target) - there)
    if missing:
        return f"the answer's {', '.join(missing)} does not stand in the passage"
    return None


# --- duplicates
# -----------------------------------------------------------------------------------------------------


def _exact_duplicate() -> Check:
    seen: set[str] = set()

    def check(example: Example, start: int | None) -> str | None:
        key = f"{example.kind} {normalise(example.instruction)}"
        if example.kind == "summary":
            key = f"summary {normalise(example.target)}"
        if key in seen:
            return "the same question was asked before"
        seen.add(key)
        return None

    return check


LONG_ANSWER = 8
"""Words from which equal answers are taken to be the same item; short answers ("copper") repeat by right."""


def _near_duplicate(limits: Limits) -> Check:
    prompts = NearIndex(limits.near_duplicate)
    answers = NearIndex(limits.near_duplicate)

    def check(example: Example, start: int | None) -> str | None:
        # Two questions that differ in a number only ask for different things.
        if example.kind != "summary":
            twin = prompts.add(normalise(example.instruction), label=_label(example.instruction))
            if twin is not None:
                return f"the question is nearly one asked before: “{twin}”"
        if len(words(example.target)) >= LONG_ANSWER:
            twin = answers.add(normalise(example.target), label=_label(example.target))
            if twin is not None:
                return f"the answer is nearly one given before: “{twin}”"
        return None

    return check


def _label(text: str) -> str:
    return " ".join(
        sorted(numbers(text) | {NUMBER_WORDS[w] for w in normalise(text).split() if w in NUMBER_WORDS})
    )


# --- the table
# ------------------------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[Limits], Check]] = {
    "format": lambda limits: partial(_check_format, limits=limits),
    "length": lambda limits: partial(_check_length, limits=limits),
    "refusal": lambda limits: partial(_check_refusal, limits=limits),
    "self_contained": lambda limits: partial(_check_self_contained, limits=limits),
    "language": lambda limits: partial(_check_language, limits=limits),
    "grounded": lambda limits: partial(_check_grounded, limits=limits),
    "exact_duplicate": lambda limits: _exact_duplicate(),
    "near_duplicate": _near_duplicate,
}
"""Name in the plan -> a fresh check. Duplicates stand last, so that a refused example does not shadow a good one."""


def open_checks(names: Sequence[str], limits: Limits) -> list[tuple[str, Check]]:
    return [(name, CHECKS[name](limits)) for name in names]
