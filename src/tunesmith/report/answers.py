"""Which answers stand side by side, and which of their words stand in the reference too."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.records import Prediction
from tunesmith.report.study import Study, comparison_places, higher_is_better, item_values, judged_metrics
from tunesmith.report.words import metric_name, number, shortened, signed

SHOWN_OF_EACH = 8
ANSWER_LETTERS = 1500
PASSAGE_LETTERS = 4000
_MARKED_WORDS = 400
"""Beyond this the marks are left out: comparing is quadratic, and nobody reads that far."""

Piece = tuple[str, bool]


@dataclass(frozen=True)
class Answer:
    system: str
    colour: int
    pieces: tuple[Piece, ...]
    """(text, stands in the reference too)."""
    status: str


@dataclass(frozen=True)
class ScoreLine:
    metric: str
    base: str
    tuned: str
    change: str
    direction: str
    """`better`, `worse`, `same`, or empty when one side is missing."""


@dataclass(frozen=True)
class Shown:
    """One test item with the answers of both systems."""

    id: str
    group: str
    rank: int
    source_id: str
    question: str
    passage: str | None
    reference: str
    answers: tuple[Answer, ...]
    scores: tuple[ScoreLine, ...]
    change: str
    """The primary metric's change, as printed."""


def shown_answers(study: Study, pair: tuple[str, str], *, each: int = SHOWN_OF_EACH) -> list[Shown]:
    """The items where tuned gained most, where it lost most, and some drawn with the study's seed; none twice.

    Sorted by the primary metric, ties by id, so that the choice depends on the study alone.
    """
    base, tuned = pair
    before = {item.id: item for item in study.predictions if item.system == base}
    after = {item.id: item for item in study.predictions if item.system == tuned}
    both = sorted(before.keys() & after.keys())
    gains = _gains(study, pair)
    ranked = sorted((item for item in both if item in gains), key=lambda item: (-gains[item], item))
    best = [item for item in ranked if gains[item] > 0][:each]
    worst = [item for item in reversed(ranked) if gains[item] < 0][:each]
    rest = [item for item in both if item not in {*best, *worst}]
    drawn = random.Random(study.seed).sample(rest, min(each, len(rest)))
    chosen = [("best", best), ("worst", worst), ("random", drawn)]
    describe = _Describer(study, pair)
    return [
        describe(before[item], after[item], group, rank, gains.get(item))
        for group, items in chosen
        for rank, item in enumerate(items, start=1)
    ]


def common_words(text: str, reference: str) -> tuple[Piece, ...]:
    """The text in pieces, each with whether its words stand in the reference too, in the same order."""
    words = re.findall(r"\s*\S+", text)
    wanted = reference.split()
    if not words or not wanted or max(len(words), len(wanted)) > _MARKED_WORDS:
        return ((text, False),) if text else ()
    matcher = difflib.SequenceMatcher(
        None, [_bare(w) for w in words], [_bare(w) for w in wanted], autojunk=False
    )
    common = [False] * len(words)
    for block in matcher.get_matching_blocks():
        common[block.a : block.a + block.size] = [True] * block.size
    pieces: list[Piece] = []
    for word, is_common in zip(words, common, strict=True):
        if pieces and pieces[-1][1] == is_common:
            pieces[-1] = (pieces[-1][0] + word, is_common)
            continue
        # The space between a marked and an unmarked word belongs to the unmarked one.
        bare = word.lstrip()
        if is_common and pieces:
            pieces[-1] = (pieces[-1][0] + word[: -len(bare)], False)
        pieces.append((bare if is_common else word, is_common))
    return tuple(pieces)


def _bare(word: str) -> str:
    """A word without case and punctuation; what is only punctuation stays."""
    return re.sub(r"^\W+|\W+$", "", word.casefold()) or word


def _gains(study: Study, pair: tuple[str, str]) -> dict[str, float]:
    """Row id to the primary metric's change, above zero where tuned is better; empty without scores."""
    metrics = judged_metrics(study)
    if not metrics:
        return {}
    values = item_values(study, metrics[0])
    base, tuned = values.get(pair[0], {}), values.get(pair[1], {})
    sign = 1 if higher_is_better(study, metrics[0]) else -1
    return {item: sign * (tuned[item] - base[item]) for item in base.keys() & tuned.keys()}


class _Describer:
    """Looks up once what every shown item needs."""

    def __init__(self, study: Study, pair: tuple[str, str]) -> None:
        self._pair = pair
        self._rows = {row.id: row for row in study.rows}
        self._metrics = judged_metrics(study)
        self._upwards = {metric: higher_is_better(study, metric) for metric in self._metrics}
        self._values = {metric: item_values(study, metric) for metric in self._metrics}
        self._places = {
            item.metric: comparison_places(item)
            for item in study.comparisons
            if (item.base, item.tuned) == pair
        }

    def __call__(
        self, base: Prediction, tuned: Prediction, group: str, rank: int, gain: float | None
    ) -> Shown:
        row = self._rows.get(base.id)
        reference = base.references[0] if base.references else ""
        lines = [line for metric in self._metrics if (line := self._line(metric, base.id))]
        return Shown(
            id=base.id,
            group=group,
            rank=rank,
            source_id=base.source_id,
            question=shortened((row.instruction if row else "") or base.prompt, ANSWER_LETTERS),
            passage=shortened(row.context, PASSAGE_LETTERS) if row and row.context else None,
            reference=shortened(reference, ANSWER_LETTERS),
            answers=tuple(
                Answer(
                    item.system,
                    index,
                    common_words(shortened(item.text, ANSWER_LETTERS), reference),
                    item.status,
                )
                for index, item in enumerate((base, tuned))
            ),
            scores=tuple(lines),
            change=f"{lines[0].metric} {lines[0].change}" if lines and gain is not None else "",
        )

    def _line(self, metric: str, item: str) -> ScoreLine | None:
        values = self._values[metric]
        before = values.get(self._pair[0], {}).get(item)
        after = values.get(self._pair[1], {}).get(item)
        if before is None and after is None:
            return None
        places = self._places.get(metric)
        change = None if before is None or after is None else after - before
        return ScoreLine(
            metric=metric_name(metric),
            base=number(before, places),
            tuned=number(after, places),
            change=signed(change, places),
            direction=_direction(change, self._upwards[metric]),
        )


def _direction(change: float | None, upwards: bool) -> str:
    if change is None:
        return ""
    if change == 0:
        return "same"
    return "better" if (change > 0) == upwards else "worse"


def group_sizes(shown: Sequence[Shown]) -> dict[str, int]:
    return {group: sum(item.group == group for item in shown) for group in ("best", "worst", "random")}
