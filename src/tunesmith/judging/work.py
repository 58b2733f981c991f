"""A judge at work: every judgement and grade of two systems, as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunesmith.compare.labels import parse_label
from tunesmith.judging.remembered import remembered
from tunesmith.judging.server import open_asker
from tunesmith.records import Grade, Judgement, Prediction, Row
from tunesmith.score.judge import JudgeOptions, grade_answers, judge_pairs
from tunesmith.score.judging.asking import Asker
from tunesmith.score.judging.pairs import Pair


@dataclass(frozen=True)
class Material:
    """What is put before a judge."""

    pairs: Sequence[Pair] = ()
    """For mode `pairwise`."""
    predictions: Sequence[Prediction] = ()
    """For the modes that grade one answer at a time."""
    rows: Sequence[Row] = ()
    """The test rows of a run: the bare question, the passage, the attributes."""


def judged(material: Material, options: JudgeOptions, journal: Path) -> Iterator[Judgement | Grade]:
    """Everything the judge says, mode by mode, with its controls; `journal` is not made for the built-in judge.

    Raises:
        InputError: the judge gives no verdict or grade, or a reference is lacking that it needs.
        MissingError: the server, its key or the local model is not there.
    """
    with _asker(options, journal) as asker:
        if options.is_pairwise:
            yield from judge_pairs(material.pairs, options, asker=asker, read_label=parse_label)
        if options.graded_modes:
            yield from grade_answers(
                material.predictions, options, asker=asker, read_label=parse_label, rows=material.rows
            )


@contextmanager
def _asker(options: JudgeOptions, journal: Path) -> Iterator[Asker | None]:
    """One for all modes: a local model is loaded once."""
    if options.endpoint is not None:
        with open_asker(options.endpoint, journal) as asker:
            yield asker
    elif options.local_model is not None:
        with remembered(options.local_model, journal) as local:
            yield local
    else:
        yield None


def judgements_and_grades(records: Iterable[Judgement | Grade]) -> tuple[list[Judgement], list[Grade]]:
    """The records by their type, each in their order."""
    judgements: list[Judgement] = []
    grades: list[Grade] = []
    for record in records:
        if isinstance(record, Judgement):
            judgements.append(record)
        else:
            grades.append(record)
    return judgements, grades
