"""Whether an example was there before: word for word, nearly, or with the same opening again."""

from __future__ import annotations

from collections import Counter

from tunesmith.duplicates import NearIndex
from tunesmith.records import Example
from tunesmith.synthesize.checks.base import About, Check, Limits, parts_of
from tunesmith.synthesize.checks.words import normalise, stated_numbers, words

WORKED_ON = ("summary", "segmentation", "paraphrase")
"""Kinds that ask the same of every passage: only their answers can be told apart."""
FEW = 20
"""Examples before which no opening counts as frequent."""
OPENING_WORDS = 3


def compared_text(example: Example) -> str:
    """What tells an example apart from others of its kind: its prompt, or where prompts are alike, its answer."""
    return example.target if example.kind in WORKED_ON or _is_of_scenario(example) else example.instruction


def exact_duplicate() -> Check:
    seen: set[str] = set()

    def check(example: Example, about: About) -> str | None:
        key = f"{example.kind} {_answerable(example)} {normalise(compared_text(example))}"
        if key in seen:
            return f"the same {_compared_part(example)} was there before"
        seen.add(key)
        return None

    return check


LONG_ANSWER = 8
"""Words from which equal answers are taken to be the same item; short answers ("copper") repeat by right."""


def near_duplicate(limits: Limits) -> Check:
    prompts = NearIndex(limits.near_duplicate)
    answers = NearIndex(limits.near_duplicate)

    def check(example: Example, about: About) -> str | None:
        # Two questions that differ in a number only ask for different things.
        if example.kind not in WORKED_ON and not _is_of_scenario(example):
            twin = prompts.add(
                normalise(example.instruction), label=f"{_answerable(example)} {_label(example.instruction)}"
            )
            if twin is not None:
                return f"the question is nearly one asked before: “{twin}”"
        if len(words(example.target)) >= LONG_ANSWER and _answerable(example) != "no":
            twin = answers.add(normalise(example.target), label=_label(example.target))
            if twin is not None:
                return f"the answer is nearly one given before: “{twin}”"
        return None

    return check


def opener(limits: Limits) -> Check:
    """At most a share of the kept texts may begin with the same three words."""
    counts: Counter[tuple[str, ...]] = Counter()
    n_kept = 0

    def check(example: Example, about: About) -> str | None:
        nonlocal n_kept
        opening = tuple(normalise(compared_text(example)).split()[:OPENING_WORDS])
        most = max(1, int(limits.opener_share * max(FEW, n_kept + 1)))
        if counts[opening] >= most:
            share = f"{limits.opener_share:.0%}"
            return (
                f"“{' '.join(opening)} …” opens {counts[opening]} of {n_kept} kept texts, more than {share}"
            )
        counts[opening] += 1
        n_kept += 1
        return None

    return check


def _answerable(example: Example) -> str:
    """A question may be asked once with an answer and once of a passage that has none."""
    return example.attributes.get("answerable", "")


def _compared_part(example: Example) -> str:
    (asked, instruction), (answered, _) = parts_of(example)
    return asked if compared_text(example) is instruction else answered


def _is_of_scenario(example: Example) -> bool:
    """Its task is a line filled in from a grid: alike by intention."""
    return example.kind == "instruction" and example.context is None


def _label(text: str) -> str:
    return " ".join(sorted(stated_numbers(text)))
