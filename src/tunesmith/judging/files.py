"""A judge for files made anywhere: what `tunesmith judge` prints, and what `tunesmith tally` makes of what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.compare.judged import judge_summary, settle
from tunesmith.compare.tally import JudgedItem, mcnemar
from tunesmith.errors import InputError
from tunesmith.evaluation import read_two_systems
from tunesmith.judging.cost import judging_cost
from tunesmith.judging.graded import graded_summary
from tunesmith.judging.kept import check_place, keeping, read_judged
from tunesmith.judging.people import people_agreement
from tunesmith.judging.work import Material, judged, judgements_and_grades
from tunesmith.records import Grade, Judgement, Prediction, Row
from tunesmith.score.judge import JudgeOptions
from tunesmith.score.judging.pairs import build_pairs
from tunesmith.score.predictions import check_references, iterate_predictions, read_predictions

Announce = Callable[[dict[str, Any]], None]


def judge_files(
    paths: Sequence[Path],
    options: JudgeOptions,
    *,
    journal: Path,
    out: Path | None = None,
    attributes: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    announce: Announce | None = None,
) -> dict[str, Any]:
    """What a judge says of files of predictions.

    Args:
        paths: for mode `pairwise` two files, base and tuned, with the same ids; else one or several.
        options: of the judge; `people` is relative to the working folder.
        journal: file that keeps the replies of a server or a local model, so that the same judging sends nothing again.
        out: file that gets every judgement and grade, one a line.
        attributes: columns of the files by whose values the result is shown too.
        columns: our column name to the files'.
        announce: hears the cost before anything is asked.

    Returns:
        For `pairwise` what `compare.judged.judge_summary` returns; for the other modes `graded`, what `graded_summary`
        returns; `people` with such a file; and `cost`, what `judging_cost` returns; all of JSON types.

    Raises:
        InputError: a file cannot be used, the items differ, or the judge gives no verdict.
        MissingError: the judge's server or key, or the local model, is not there.
    """
    people = None if options.people is None else Path(options.people)
    if out is not None:
        check_place(out, [*paths, *([people] if people else []), journal])
    if people is not None and not people.exists():
        raise InputError("there is no such file", where=str(people), do="check judge.people or --people")
    predictions = _systems(paths, options, columns)
    material = _material(predictions, paths, options, attributes, columns)
    cost = judging_cost(material, options, journal)
    if announce is not None:
        announce(cost)
    records = judged(material, options, journal)
    held = list(records if out is None else keeping(records, out))
    return summed_up(held, people=people) | {"cost": cost}


def summed_up(
    records: Iterable[Judgement | Grade],
    *,
    people: Path | None = None,
    contestants: Mapping[str, str] | None = None,
    compared: bool = True,
) -> dict[str, Any]:
    """Judgements as `judge_summary` has them, grades under `graded`, and the agreement with people under `people`.

    Args:
        records: of one judge.
        people: file of people's verdicts or ratings.
        contestants: role to model name, to warn of a judge of the same family; the systems' names without.
        compared: whether grades are compared here.
    """
    judgements, grades = judgements_and_grades(records)
    found: dict[str, Any] = {}
    if judgements:
        names = {"base": judgements[0].base, "tuned system": judgements[0].tuned}
        found |= judge_summary(judgements, contestants=contestants or names)
    if grades:
        systems = {f"system {name}": name for name in dict.fromkeys(grade.system for grade in grades)}
        if "judge" not in found:
            found["judge"] = grades[0].judge
        found["graded"] = graded_summary(grades, compared=compared, contestants=contestants or systems)
    if people is not None:
        found["people"] = people_agreement(people, judgements, grades)
    return found


def tally_judged(path: Path, other: Path | None = None, *, people: Path | None = None) -> dict[str, Any]:
    """The result of a judging again, from the file that `tunesmith judge --out` wrote; nobody is asked.

    Args:
        path: that file.
        other: a second judge's, for the same items: adds `other` and `mcnemar` for the preferences.
        people: as for `judge_files`.

    Raises:
        InputError: a file holds no judgements, or the two are about different items.
    """
    records = read_judged(path)
    if not records:
        raise InputError("there are no judgements in this file", where=str(path), do="check the file")
    found = summed_up(records, people=people)
    if other is not None:
        first, _ = judgements_and_grades(records)
        second, _ = judgements_and_grades(read_judged(other))
        if not (first and second):
            raise InputError(
                "there are only grades: McNemar's test compares preferences",
                where=str(other if first else path),
                do="leave --against out, or judge with --mode pairwise",
            )
        found |= {"other": summed_up(second), "mcnemar": mcnemar(_items(first), _items(second))}
    return found


def _items(judgements: Iterable[Judgement]) -> list[JudgedItem]:
    own = settle(one for one in judgements if not one.control)
    return [JudgedItem(item.id, item.source_id, item.outcome, item.text) for item in own]


def _systems(
    paths: Sequence[Path], options: JudgeOptions, columns: Mapping[str, str] | None
) -> list[Prediction]:
    """The predictions of all files, two systems on the same items first where pairs are judged."""
    if options.is_pairwise:
        if len(paths) != 2:
            raise InputError(
                f"mode pairwise compares two files, not {len(paths)}",
                where="judge",
                do="name the base's file and the tuned model's, or choose --mode correctness or rubric",
            )
        _, first, second = read_two_systems(paths[0], paths[1], columns)
        found = [(paths[0], first), (paths[1], second)]
    else:
        found = [(path, read_predictions(path, columns=columns)) for path in paths]
    if options.is_builtin or "correctness" in options.mode:
        for path, predictions in found:
            check_references(path, predictions, columns=columns)
    origin: dict[str, Path] = {}
    for path, predictions in found:
        for system in dict.fromkeys(prediction.system for prediction in predictions):
            if system in origin:
                raise InputError(
                    f"system {system!r} is in {origin[system]} as well",
                    where=str(path),
                    do="give each row its `system`, or the files different names",
                )
            origin[system] = path
    held = [prediction for _, predictions in found for prediction in predictions]
    _check_sources(held)
    return held


def _check_sources(predictions: Sequence[Prediction]) -> None:
    """Raises `InputError` when one item belongs to two sources: neither interval nor difference could be right."""
    source_of: dict[str, Prediction] = {}
    for one in predictions:
        first = source_of.setdefault(one.id, one)
        if first.source_id != one.source_id:
            raise InputError(
                f"item {one.id} belongs to {first.source_id!r} for {first.system} and to {one.source_id!r} for"
                f" {one.system}",
                do="give an item the same source_id in every file",
            )


def _material(
    predictions: Sequence[Prediction],
    paths: Sequence[Path],
    options: JudgeOptions,
    attributes: Sequence[str],
    columns: Mapping[str, str] | None,
) -> Material:
    known = _attributes(paths, attributes, columns) if attributes else {}
    names = list(dict.fromkeys(prediction.system for prediction in predictions))
    pairs = build_pairs(predictions, names[0], names[1]) if options.is_pairwise else []
    return Material(
        pairs=[replace(pair, attributes=known.get(pair.id, {})) for pair in pairs],
        predictions=predictions if options.graded_modes else (),
        rows=[_row(id, of) for id, of in known.items()],
    )


def _row(id: str, attributes: dict[str, str]) -> Row:
    """A row that tells nothing but the attributes of an item."""
    return Row(id=id, source_id="", prompt="", completion="", split="test", attributes=attributes)


def _attributes(
    paths: Sequence[Path], names: Sequence[str], columns: Mapping[str, str] | None
) -> dict[str, dict[str, str]]:
    """Item to column to value, from the first file that has it."""
    known: dict[str, dict[str, str]] = {}
    for path in paths:
        for prediction, row in iterate_predictions(path, columns=columns):
            held = known.setdefault(prediction.id, {})
            for name in names:
                text = row.text(name)
                if text is not None and text.strip():
                    held.setdefault(name, text.strip())
    for name in names:
        if not any(name in held for held in known.values()):
            raise InputError(
                f"no row has the attribute {name!r}",
                where=", ".join(map(str, paths)),
                do="name a column of the files with --by",
            )
    return known
