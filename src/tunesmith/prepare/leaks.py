"""Does anything the models are tested on stand in what they were trained on?

| rule | a held-out row is seen when |
|---|---|
| `same_group` | its group is in an earlier split |
| `same_example` | its question and answer stand there |
| `same_prompt` | its prompt of eight or more words does, whatever the answer |
| `same_words` | 13 words in a row of its question and answer do, and such runs hold a fifth of one of both texts (1) |
| `most_words` | 70 % of the runs of eight words of one of the two rows stand in the other (2) |
| `same_passage` | half of the runs of 13 words of its passage do |
| `near_duplicate` | question and answer have a Jaccard similarity of 0.8 or more in runs of five letters |
| `same_meaning` | question and answer have a cosine of 0.95 or more to the built-in sentence encoder |

(1) The length of GPT-3's check: Brown et al. 2020, arXiv:2005.14165, appendix C. The share below which Llama 2's calls
    a text clean: Touvron et al. 2023, arXiv:2307.09288, appendix A.6; long texts share a run of 13 words by chance, as
    a licence, a greeting, a turn of phrase. In texts of up to 65 words one run is enough.
(2) The figures of PaLM's: Chowdhery et al. 2022, arXiv:2204.02311, section 8.
Words are compared in lower case and without punctuation, and runs of words that many rows share (a template) do not
count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tunesmith.duplicates import NearIndex
from tunesmith.prepare.meaning import Meanings
from tunesmith.prepare.overlap import FEW_TEXTS, TEMPLATE_SHARE, Overlap, words_of
from tunesmith.records import Row, SplitName

LeakRule = Literal[
    "same_group",
    "same_example",
    "same_prompt",
    "same_words",
    "most_words",
    "same_passage",
    "near_duplicate",
    "same_meaning",
]
RULES: tuple[LeakRule, ...] = get_args(LeakRule)
LONG_RUN, SHORT_RUN = 13, 8
WORDS_SHARE = 0.2
MOST_WORDS = 0.7
PASSAGE_SHARE = 0.5
NEAR = 0.8
SAME_MEANING = 0.95
SHORTEST_PROMPT = 8
"""Words. Shorter prompts are equal by chance: `What is the aim?`"""
SHORTEST_NEAR = 30
"""Characters. Shorter texts are alike by chance."""
SHOWN = 100
"""Characters of a row in what is told of a leak."""
MATERIAL = ("question_answer", "summary")
"""Kinds of rows whose context is a passage, looked at by itself; in other kinds it is part of what is asked."""


@dataclass(frozen=True, slots=True)
class Leak:
    rule: LeakRule
    held_out_id: str
    held_out_split: SplitName
    seen_id: str
    """The row of the earlier split (train, or validation when the held-out row is a test row)."""
    seen_split: SplitName
    evidence: str
    """The shared words, the group, or how alike they are."""
    more_seen: tuple[str, ...] = ()
    """Further rows of earlier splits that the held-out row was seen in."""
    held_out_asks: str = ""
    """How what the held-out row asks begins."""
    seen_asks: str = ""


@dataclass(slots=True)
class LeakReport:
    """What a leak check found, and what it did not look at."""

    leaks: list[Leak] = field(default_factory=list)
    not_looked: dict[str, str] = field(default_factory=dict)
    """Rule to the reason why it was not applied."""

    @property
    def counts(self) -> dict[str, int]:
        """Held-out rows by rule, every rule that was applied."""
        found = Counter(leak.rule for leak in self.leaks)
        return {rule: found[rule] for rule in RULES if rule not in self.not_looked}


def find_leaks(
    rows: Sequence[Row], *, meaning_up_to: int = 0, words_share: float = WORDS_SHARE
) -> LeakReport:
    """Every held-out row that was seen: one leak per rule and held-out row, with all rows that show it.

    Args:
        rows: of all splits.
        meaning_up_to: most rows that are compared in meaning, by a pass of the sentence encoder over each; 0 for none.
        words_share: share of one of two texts that shared runs of 13 words have to hold; 0: one run is enough.
    """
    report = LeakReport()
    if not meaning_up_to:
        report.not_looked["same_meaning"] = "prepare.leak_meaning is 0"
    elif len(rows) > meaning_up_to:
        report.not_looked["same_meaning"] = (
            f"there are {len(rows):,} rows, and prepare.leak_meaning is {meaning_up_to:,}"
        )
    by_split = {name: [row for row in rows if row.split == name] for name in ("train", "validation", "test")}
    texts = _Texts(rows)
    meanings = None if "same_meaning" in report.not_looked else Meanings()
    for seen, held_out in (
        (by_split["train"], by_split["validation"]),
        ([*by_split["train"], *by_split["validation"]], by_split["test"]),
    ):
        if seen and held_out:
            report.leaks += _gathered(list(_pairs(seen, held_out, texts, meanings, words_share)))
    return report


@dataclass(frozen=True, slots=True)
class _Pair:
    rule: LeakRule
    held_out: Row
    seen: Row
    evidence: str


def _gathered(pairs: Sequence[_Pair]) -> list[Leak]:
    by_item: dict[tuple[str, LeakRule], list[_Pair]] = {}
    for pair in pairs:
        by_item.setdefault((pair.held_out.id, pair.rule), []).append(pair)
    return [
        Leak(
            found[0].rule,
            found[0].held_out.id,
            found[0].held_out.split,
            found[0].seen.id,
            found[0].seen.split,
            found[0].evidence,
            tuple(dict.fromkeys(pair.seen.id for pair in found[1:] if pair.seen.id != found[0].seen.id)),
            _beginning(found[0].held_out),
            _beginning(found[0].seen),
        )
        for found in by_item.values()
    ]


def _beginning(row: Row) -> str:
    text = " ".join((row.instruction or row.prompt).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip()} …"


class _Texts:
    """What tells a row apart: what is asked and answered, without an instruction that many rows share."""

    def __init__(self, rows: Sequence[Row]) -> None:
        counts = Counter(row.instruction for row in rows)
        limit = max(FEW_TEXTS, TEMPLATE_SHARE * len(rows))
        self._shared = {text for text, count in counts.items() if count > limit}

    def asked(self, row: Row) -> str:
        instruction = "" if row.instruction in self._shared else row.instruction
        context = row.context if row.kind not in MATERIAL or not instruction else None
        return " ".join(part for part in (instruction, context, row.completion) if part)


def _pairs(
    seen: Sequence[Row],
    held_out: Sequence[Row],
    texts: _Texts,
    meanings: Meanings | None,
    words_share: float,
) -> Iterator[_Pair]:
    for rule, key in (
        ("same_group", _group_key),
        ("same_example", _example_key),
        ("same_prompt", _prompt_key),
    ):
        places: dict[Any, list[Row]] = {}
        for row in seen:
            places.setdefault(key(row), []).append(row)
        for row in held_out:
            found = key(row)
            if found is not None:
                shown = row.group if rule == "same_group" else row.instruction or row.prompt
                yield from (_Pair(rule, row, other, shown) for other in places.get(found, ()))  # type: ignore[arg-type]
    seen_texts, held_texts = [texts.asked(row) for row in seen], [texts.asked(row) for row in held_out]
    for shared in Overlap(LONG_RUN, held_texts).pairs(seen_texts):
        if shared.covered >= words_share:
            yield _Pair("same_words", held_out[shared.held_out], seen[shared.seen], shared.words)
    for shared in Overlap(SHORT_RUN, held_texts).pairs(seen_texts):
        if max(shared.of_held_out, shared.of_seen) >= MOST_WORDS:
            yield _Pair("most_words", held_out[shared.held_out], seen[shared.seen], shared.words)
    yield from _same_passages(seen, held_out)
    yield from _near(seen, held_out, seen_texts, held_texts)
    if meanings is not None:
        yield from _same_meaning(seen, held_out, seen_texts, held_texts, meanings)


def _group_key(row: Row) -> str:
    return row.group


def _example_key(row: Row) -> tuple[str, ...]:
    return (" ".join(words_of(row.instruction or row.prompt)), " ".join(words_of(row.completion)))


def _prompt_key(row: Row) -> str | None:
    words = words_of(row.prompt)
    return " ".join(words) if len(words) >= SHORTEST_PROMPT else None


def _same_passages(seen: Sequence[Row], held_out: Sequence[Row]) -> Iterator[_Pair]:
    """A passage shared by many rows is looked at once."""
    seen_rows, held_rows = _by_passage(seen), _by_passage(held_out)
    seen_passages, held_passages = list(seen_rows), list(held_rows)
    for shared in Overlap(LONG_RUN, held_passages).pairs(seen_passages):
        if shared.of_held_out >= PASSAGE_SHARE:
            for row in held_rows[held_passages[shared.held_out]]:
                for other in seen_rows[seen_passages[shared.seen]]:
                    yield _Pair("same_passage", row, other, shared.words)


def _by_passage(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.context and row.kind in MATERIAL:
            found.setdefault(row.context, []).append(row)
    return found


def _near(
    seen: Sequence[Row], held_out: Sequence[Row], seen_texts: Sequence[str], held_texts: Sequence[str]
) -> Iterator[_Pair]:
    index = NearIndex(NEAR)
    numbers = [n for n, text in enumerate(held_texts) if len(text) >= SHORTEST_NEAR]
    for number in numbers:
        index.remember(held_texts[number].lower())
    for row, text in zip(seen, seen_texts, strict=True):
        if len(text) >= SHORTEST_NEAR:
            for place, similarity in index.find(text.lower()):
                yield _Pair(
                    "near_duplicate", held_out[numbers[place]], row, f"{similarity:.2f} alike: {text}"
                )


def _same_meaning(
    seen: Sequence[Row],
    held_out: Sequence[Row],
    seen_texts: Sequence[str],
    held_texts: Sequence[str],
    meanings: Meanings,
) -> Iterator[_Pair]:
    for place, other, cosine in meanings.pairs(held_texts, seen_texts, SAME_MEANING):
        shown = f"cosine {cosine:.2f}: {seen_texts[other]}"
        yield _Pair("same_meaning", held_out[place], seen[other], shown)
