"""Examples to rows: what the student is shown, and which split each source goes to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tunesmith.errors import GateError, InputError
from tunesmith.prepare.data import DataFacts, Given, Ids, read_data
from tunesmith.prepare.leaks import RULES, Leak, LeakReport, find_leaks
from tunesmith.prepare.mixing import draw, mixed_counts
from tunesmith.prepare.options import DataOptions, PrepareOptions, SplitOptions
from tunesmith.prepare.prompts import student_prompt
from tunesmith.prepare.sources import find_data
from tunesmith.prepare.split import split_groups, stratified_order
from tunesmith.prepare.subsets import nested_subset
from tunesmith.records import Example, Refused, Row, SplitName

__all__ = [
    "DataFacts",
    "DataOptions",
    "Given",
    "Ids",
    "LeakReport",
    "PrepareOptions",
    "SplitOptions",
    "find_data",
    "nested_subset",
    "prepare_rows",
    "read_data",
]

Mixed = tuple[DataOptions, Sequence[Example]]


SHOWN_LEAKS = 3


def prepare_rows(
    examples: Iterable[Example],
    options: PrepareOptions,
    *,
    parts: Mapping[str, SplitName] | None = None,
    mixed: Sequence[Mixed] = (),
    report: LeakReport | None = None,
) -> Iterator[Row | Refused]:
    """Render each example for the student and assign it to a split.

    Rows come out in the order of the examples, those mixed in after them. With `leaks: drop`, rows of the earlier split
    that a held-out row leaks from come out as `Refused`.

    Args:
        parts: example id to the part that its set puts it in. Where that gives a test (or validation) set, none is
            taken from the rest.
        mixed: the sets of which a share goes into training.
        report: filled with what the leak check found and left, also when it stops the run.

    Raises:
        GateError: nothing to prepare, too few groups to split, or (with `leaks: stop`) a leak.
        InputError: a group or stratum that the plan names is not there, or a set is too small for its share.
    """
    kept = list(examples)
    if not kept:
        raise GateError(
            "no example is left to train and test on",
            where="prepare",
            do="look into synthesize/refused.jsonl for the reasons, and into read/notes.jsonl for the documents",
        )
    placed = _placed(kept, options, parts or {})
    rows = [_row(example, group, split, options) for example, group, split in placed]
    rows += [_row(example, example.source_id, split, options) for example, split in _mixed_in(rows, mixed)]
    dropped = _leaking(rows, options, LeakReport() if report is None else report)
    places = _ranks([row for row in rows if row.id not in dropped], options)
    for row in rows:
        leak = dropped.get(row.id)
        yield _refused(row, leak) if leak else dataclasses.replace(row, rank=places.get(row.id))


def _leaking(rows: Sequence[Row], options: PrepareOptions, report: LeakReport) -> dict[str, Leak]:
    """Row id to the leak for which it is taken out; `report` is left with the leaks that stay."""
    found = find_leaks(rows, meaning_up_to=options.leak_meaning, words_share=options.leak_words)
    report.leaks, report.not_looked = found.leaks, found.not_looked
    accepted = set(RULES) if options.leaks == "allow" else set(options.allow_leaks)
    blocking = [leak for leak in found.leaks if leak.rule not in accepted]
    if blocking and options.leaks == "stop":
        raise leak_error(blocking)
    by_meaning = [leak for leak in found.leaks if leak.rule == "same_meaning" and leak.rule in accepted]
    dropped: dict[str, Leak] = {}
    while blocking:
        for leak in blocking:
            for id in (leak.seen_id, *leak.more_seen):
                dropped.setdefault(id, leak)
        # With fewer rows a run of words may no longer be a template's. All that is alike in meaning is known already.
        rest = [row for row in rows if row.id not in dropped]
        if not any(row.split == "train" for row in rest):
            raise GateError(
                f"every training row leaks into the held-out rows, {len(dropped):,} in all",
                where="prepare.leaks",
                do="the rows repeat one another; accept that kind of leak with prepare.allow_leaks if it is meant",
            )
        left = find_leaks(rest, words_share=options.leak_words).leaks
        report.leaks = [*left, *(leak for leak in by_meaning if leak.seen_id not in dropped)]
        blocking = [leak for leak in left if leak.rule not in accepted]
    return dropped


def _placed(
    examples: Sequence[Example], options: PrepareOptions, parts: Mapping[str, SplitName]
) -> list[tuple[Example, str, SplitName]]:
    """Each example with its group and its split."""
    split = options.split
    given = {part for example in examples if (part := parts.get(example.id)) is not None}
    pool = [example for example in examples if parts.get(example.id, "train") == "train"]
    if not pool:
        raise GateError("no row is left to train on: the data is all for testing", where="prepare.data")
    groups = {example.id: _group(example, split.by) for example in examples}
    splits = split_groups(
        [groups[example.id] for example in pool],
        test=0 if "test" in given else split.test,
        validation=0 if "validation" in given else split.validation,
        seed=split.seed,
        strata=_group_strata(pool, groups, split.stratify),
    )
    return [
        (example, group, part if (part := parts.get(example.id, "train")) != "train" else splits[group])
        for example in examples
        for group in [groups[example.id]]
    ]


def _group_strata(
    examples: Sequence[Example], groups: Mapping[str, str], stratify: str | None
) -> dict[str, str] | None:
    """The stratum that most examples of each group belong to."""
    if stratify is None:
        return None
    counts: dict[str, Counter[str]] = {}
    for example in examples:
        counts.setdefault(groups[example.id], Counter())[_stratum(example, stratify)] += 1
    return {group: max(sorted(found), key=found.__getitem__) for group, found in counts.items()}


def _stratum(example: Example, stratify: str) -> str:
    return example.target if stratify == "label" else _attribute(example, stratify, "prepare.split.stratify")


def _attribute(example: Example, name: str, where: str) -> str:
    if name not in example.attributes:
        raise InputError(
            f"{name!r} is no attribute of {example.id}; it has {', '.join(example.attributes) or 'none'}",
            where=where,
            do="keep the column with each row: `attributes: [NAME]` of the data set, or name another",
        )
    return example.attributes[name]


def _mixed_in(rows: Sequence[Row], mixed: Sequence[Mixed]) -> Iterator[tuple[Example, SplitName]]:
    shares = [options.share or 0.0 for options, _ in mixed]
    wanted = mixed_counts(sum(row.split == "train" for row in rows), shares)
    held = mixed_counts(
        sum(row.split == "validation" for row in rows),
        [share for share, (options, _) in zip(shares, mixed, strict=True) if options.validation],
    )
    for (options, examples), n in zip(mixed, wanted, strict=True):
        yield from ((example, "train") for example in draw(examples, n, options))
        if options.validation:
            # Validation rows are never repeated ones, and never those that are trained on.
            more = draw(examples, held.pop(0), options.model_copy(update={"repeat": False}), skip=n)
            yield from ((example, "validation") for example in more)


def _ranks(rows: Sequence[Row], options: PrepareOptions) -> dict[str, int]:
    """Id of each training row to its place in the order of subsets."""
    train = {row.id: row for row in rows if row.split == "train"}
    stratify = options.split.stratify
    strata = {id: _row_stratum(row, stratify) for id, row in train.items()} if stratify else {}
    order = stratified_order(dict.fromkeys(train, 1), strata, options.split.seed)
    return {id: place for place, id in enumerate(order)}


def _row_stratum(row: Row, stratify: str) -> str:
    return row.completion if stratify == "label" else row.attributes.get(stratify, "")


def leak_error(leaks: Sequence[Leak]) -> GateError:
    """What stops a run: how many rows, a pair of each kind, and what may be written."""
    held_out = len({leak.held_out_id for leak in leaks})
    counts = Counter(leak.rule for leak in leaks).most_common()
    pairs: dict[tuple[str, str], list[Leak]] = {}
    for rule, _ in counts:
        first = next(leak for leak in leaks if leak.rule == rule)
        pairs.setdefault((first.held_out_id, first.seen_id), []).append(first)
    shown = "; ".join(
        f"{', '.join(leak.rule for leak in found)}: {one.held_out_id} ({one.held_out_split}: “{one.held_out_asks}”) and"
        f" {one.seen_id} ({one.seen_split}: “{one.seen_asks}”) share “{one.evidence[:120]}”"
        for found in list(pairs.values())[:SHOWN_LEAKS]
        for one in found[:1]
    )
    kinds = ",".join(rule for rule, _ in counts)
    return GateError(
        f"{held_out:,} held-out example(s) were seen in training"
        f" ({', '.join(f'{rule} {n:,}' for rule, n in counts)}). {shown}",
        where="prepare",
        do="set prepare.leaks=drop to take the seen rows out of training (they are kept in prepare/refused.jsonl),"
        f" prepare.allow_leaks=[{kinds}] to accept {'these kinds' if len(counts) > 1 else 'this kind'}, or"
        " prepare.leaks=allow to accept all; the report says so. All of them stand in prepare/leaks.json",
    )


def _group(example: Example, by: str) -> str:
    if by == "source":
        return example.source_id
    if by == "passage":
        return example.chunk_id or example.source_id
    return _attribute(example, by, "prepare.split.by")


def _row(example: Example, group: str, split: SplitName, options: PrepareOptions) -> Row:
    # A passage may be left out. The text of a summary, the input of an instruction and what was said before in a
    # conversation are part of what is asked.
    is_passage = example.chunk_id is not None and example.kind in ("question_answer", "instruction")
    can_go = options.context == "none" and (is_passage or example.kind == "question_answer")
    context = None if can_go else example.context
    return Row(
        id=example.id,
        source_id=example.source_id,
        group=group,
        prompt=student_prompt(example.kind, example.instruction, context),
        completion=example.target,
        split=split,
        kind=example.kind,
        instruction=example.instruction,
        context=context,
        attributes=example.attributes,
        other_references=example.other_targets,
        chunk_id=example.chunk_id,
        evidence_start=example.evidence_start,
        evidence_end=example.evidence_end,
        first_page=example.first_page,
        last_page=example.last_page,
        earlier=example.earlier if example.kind == "conversation" else (),
    )


def _refused(row: Row, leak: Leak) -> Refused:
    return Refused(
        id=row.id,
        source_id=row.source_id,
        check="leak",
        reason=f"{leak.rule}: shares “{leak.evidence}” with the {leak.held_out_split} row {leak.held_out_id}",
        instruction=row.instruction,
        target=row.completion,
    )
