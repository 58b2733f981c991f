"""Two systems' answers to the same items, side by side, and what can be said of them without asking a judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tunesmith.errors import InputError
from tunesmith.records import JudgedAs, Prediction, Row
from tunesmith.score.metric import answer_text, reference_texts

SHOWN_IDS = 5


@dataclass(frozen=True)
class Pair:
    """One item with the answers of both systems."""

    id: str
    source_id: str
    task: str
    """What both systems were asked."""
    passage: str | None
    """The text that the answer should rest on, where it is not part of the task."""
    references: tuple[str, ...]
    base: Prediction
    tuned: Prediction
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> str | None:
        """All references as one text, numbered when there are several; `None` when there is none."""
        return shown_references(self.references)


def shown_references(references: Iterable[str]) -> str | None:
    held = [text for text in references if text]
    if len(held) < 2:
        return held[0] if held else None
    return "\n".join(f"{number}. {text}" for number, text in enumerate(held, start=1))


def build_pairs(
    predictions: Iterable[Prediction], base: str, tuned: str, rows: Iterable[Row] = ()
) -> list[Pair]:
    """Joins the answers of two systems by item, in the order of the base system's predictions.

    Args:
        predictions: of these and any other systems.
        rows: the test rows, which tell the bare question, the passage and the attributes of an item. Without its row
            an item's task is the whole prompt.

    Raises:
        InputError: a system has no answers or two for one item, the systems answered different items, or were asked
            differently.
    """
    of_base, of_tuned = _by_id(predictions, base, tuned)
    odd = sorted(of_base.keys() ^ of_tuned.keys())
    if odd:
        raise InputError(
            f"{base} and {tuned} did not answer the same items: {_shown(odd)}",
            do="judge systems on the same items: generate the missing answers",
        )
    known = {row.id: row for row in rows}
    pairs = [_pair(one, of_tuned[id], known.get(id)) for id, one in of_base.items()]
    different = [
        pair.id
        for pair in pairs
        if pair.base.prompt != pair.tuned.prompt or pair.base.references != pair.tuned.references
    ]
    if different:
        raise InputError(
            f"{base} and {tuned} had different prompts or references for {_shown(different)}",
            do="give both systems the same prompts and references",
        )
    return pairs


def settled_without_asking(pair: Pair) -> tuple[JudgedAs, str] | None:
    """Verdict and status of a pair that needs no judge, or `None`.

    A failed answer says nothing about the model, so there is no verdict. An empty answer loses, two empty ones tie.
    Answers equal up to white space at their ends tie.
    """
    if "error" in (pair.base.status, pair.tuned.status):
        return "unparsed", "failed answer"
    base, tuned = answer_text(pair.base), answer_text(pair.tuned)
    if not base or not tuned:
        if base == tuned:
            return "tie", "empty answer"
        return ("win" if tuned else "loss"), "empty answer"
    return ("tie", "duplicate answers") if base == tuned else None


def need_references(items: Sequence[Pair] | Sequence[Prediction], who: str) -> None:
    """Raises `InputError` when an item has no reference."""
    without = [item.id for item in items if not any(text.strip() for text in item.references)]
    if without:
        raise InputError(
            f"{who} needs a reference, and there is none for {_shown(without)}",
            do="add references, or choose a judge that does without",
        )


def _by_id(
    predictions: Iterable[Prediction], base: str, tuned: str
) -> tuple[dict[str, Prediction], dict[str, Prediction]]:
    if base == tuned:
        raise InputError(f"both systems are called {base!r}", do="name two different systems")
    found: dict[str, dict[str, Prediction]] = {base: {}, tuned: {}}
    others = set()
    for prediction in predictions:
        answers = found.get(prediction.system)
        if answers is None:
            others.add(prediction.system)
        elif prediction.id in answers:
            raise InputError(
                f"{prediction.system} has two answers for item {prediction.id}",
                do="keep one answer per item and system",
            )
        else:
            answers[prediction.id] = prediction
    for system, answers in found.items():
        if not answers:
            there = ", ".join(sorted(others | {name for name, held in found.items() if held})) or "none"
            raise InputError(f"there are no answers of {system!r}", do=f"name two of the systems: {there}")
    return found[base], found[tuned]


def _pair(base: Prediction, tuned: Prediction, row: Row | None) -> Pair:
    # a row may be known by its prompt only, as one made from a plain file
    bare = row is not None and bool(row.instruction)
    return Pair(
        id=base.id,
        source_id=base.source_id,
        task=row.instruction if row is not None and bare else base.prompt,
        passage=row.context if row is not None and bare else None,
        references=tuple(reference_texts(base)),
        base=base,
        tuned=tuned,
        attributes={} if row is None else row_attributes(row),
    )


def row_attributes(row: Row) -> dict[str, str]:
    """What items can be told apart by; the kind only of a row that tells its question."""
    return {**({"kind": row.kind} if row.instruction else {}), **row.attributes}


def _shown(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return ", ".join(ids[:SHOWN_IDS]) + more
