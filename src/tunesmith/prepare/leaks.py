"""Does anything the models are tested on stand in what they were trained on?

Four looks, each at the words only (lower case, punctuation dropped): the same group, the same question and answer, a
run of 13 words of a held-out question and answer, and a held-out passage half of whose 13-word runs were seen in
training.
Thirteen words is the length used for GPT-3's contamination check (Brown et al. 2020, arXiv:2005.14165, appendix C).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith.records import Row, SplitName

NGRAM = 13
PASSAGE_SHARE = 0.5

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Leak:
    rule: Literal["same_group", "same_example", "same_words", "same_passage"]
    held_out_id: str
    held_out_split: SplitName
    seen_id: str
    """The row of the earlier split (train, or validation when the held-out row is a test row)."""
    seen_split: SplitName
    evidence: str
    """The shared words, or the group."""


def find_leaks(rows: Sequence[Row]) -> list[Leak]:
    """Every held-out row that was seen, with one row that shows it. At most one leak per rule and held-out row."""
    by_split = {name: [row for row in rows if row.split == name] for name in ("train", "validation", "test")}
    leaks = list(_between(by_split["train"], by_split["validation"]))
    leaks += _between([*by_split["train"], *by_split["validation"]], by_split["test"])
    return leaks


def _between(seen: Sequence[Row], held_out: Sequence[Row]) -> Iterator[Leak]:
    groups = {row.group: row for row in reversed(seen)}
    examples = {_example_key(row): row for row in reversed(seen)}
    words_seen = _index(seen, of_passage=False)
    passages_seen = _index(seen, of_passage=True)
    for row in held_out:
        if row.group in groups:
            yield _leak("same_group", row, groups[row.group], row.group)
        if _example_key(row) in examples:
            yield _leak("same_example", row, examples[_example_key(row)], row.instruction)
        run = next((gram for gram in _ngrams(_words(_asked(row))) if gram in words_seen), None)
        if run:
            yield _leak("same_words", row, words_seen[run], " ".join(run))
        grams = list(_ngrams(_words(row.context or "")))
        shared = [gram for gram in grams if gram in passages_seen]
        if grams and len(shared) >= PASSAGE_SHARE * len(grams):
            yield _leak("same_passage", row, passages_seen[shared[0]], " ".join(shared[0]))


def _leak(
    rule: Literal["same_group", "same_example", "same_words", "same_passage"],
    row: Row,
    seen: Row,
    evidence: str,
) -> Leak:
    return Leak(rule, row.id, row.split, seen.id, seen.split, evidence)


def _asked(row: Row) -> str:
    return f"{row.instruction} {row.completion}"


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _example_key(row: Row) -> tuple[str, str]:
    return " ".join(_words(row.instruction)), " ".join(_words(row.completion))


def _ngrams(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + NGRAM]) for start in range(len(words) - NGRAM + 1))


def _index(rows: Sequence[Row], *, of_passage: bool) -> dict[tuple[str, ...], Row]:
    """Each run of words, with the first row that holds it. A passage shared by many rows is read once."""
    index: dict[tuple[str, ...], Row] = {}
    passages: set[str] = set()
    for row in rows:
        if of_passage:
            if row.context is None or row.context in passages:
                continue
            passages.add(row.context)
        for gram in _ngrams(_words(row.context if of_passage and row.context else _asked(row))):
            index.setdefault(gram, row)
    return index
