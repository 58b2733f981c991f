"""Examples to rows: what the student is shown, and which split each source goes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field, model_validator

from tunesmith.errors import GateError
from tunesmith.options import Options
from tunesmith.prepare.leaks import Leak, find_leaks
from tunesmith.prepare.prompts import student_prompt
from tunesmith.prepare.split import split_groups
from tunesmith.records import Example, Refused, Row, SplitName


class SplitOptions(Options):
    by: Literal["source", "passage"] = Field(
        "source",
        description="what stays together: a whole source document, or (for a single document) one passage",
    )
    test: float = Field(0.2, gt=0, lt=1, description="share of the examples to test on")
    validation: float = Field(
        0.1, ge=0, lt=1, description="share of the examples to validate on while training"
    )
    seed: int = Field(0, description="another seed, another split")

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> SplitOptions:
        if self.test + self.validation >= 1:
            raise ValueError(
                f"test ({self.test}) and validation ({self.validation}) leave nothing to train on"
            )
        return self


class PrepareOptions(Options):
    context: Literal["passage", "none"] = Field(
        "passage",
        description="passage: the student is shown the passage (open book); none: the question only (closed book)",
    )
    split: SplitOptions = Field(default=SplitOptions(), description="how rows are held out")
    leaks: Literal["stop", "drop", "allow"] = Field(
        "stop",
        description="a held-out example that was seen in training: stop the run, drop the training row, or allow it",
    )


def prepare_rows(examples: Iterable[Example], options: PrepareOptions) -> Iterator[Row | Refused]:
    """Render each example for the student and assign it to a split.

    Rows come out in the order of the examples. With `leaks: drop`, rows of the earlier split that a held-out row leaks
    from come out as `Refused`.

    Raises:
        GateError: nothing to prepare, too few groups to split, or (with `leaks: stop`) a leak.
    """
    kept = list(examples)
    if not kept:
        raise GateError(
            "no example is left to train and test on",
            where="prepare",
            do="look into synthesize/refused.jsonl for the reasons, and into read/notes.jsonl for the documents",
        )
    split = options.split
    groups = [_group(example, split.by) for example in kept]
    splits = split_groups(groups, test=split.test, validation=split.validation, seed=split.seed)
    rows = [_row(example, group, splits, options) for example, group in zip(kept, groups, strict=True)]
    dropped: dict[str, Leak] = {}
    if options.leaks != "allow":
        leaks = find_leaks(rows)
        if leaks and options.leaks == "stop":
            raise leak_error(leaks)
        while leaks:
            dropped.update({leak.seen_id: leak for leak in leaks})
            leaks = find_leaks([row for row in rows if row.id not in dropped])
    for row in rows:
        leak = dropped.get(row.id)
        yield _refused(row, leak) if leak else row


def leak_error(leaks: list[Leak]) -> GateError:
    first = leaks[0]
    held_out = len({leak.held_out_id for leak in leaks})
    return GateError(
        f"{held_out} held-out example(s) were seen in training, the first by {first.rule}:"
        f" {first.held_out_id} ({first.held_out_split}) and {first.seen_id} ({first.seen_split}) share"
        f" “{first.evidence[:120]}”",
        where="prepare",
        do="set prepare.leaks=drop to take the seen rows out of training (they are kept in prepare/refused.jsonl),"
        " or prepare.leaks=allow to go on and have the report say so",
    )


def _group(example: Example, by: Literal["source", "passage"]) -> str:
    if by == "passage" and example.chunk_id:
        return example.chunk_id
    return example.source_id


def _row(example: Example, group: str, splits: dict[str, SplitName], options: PrepareOptions) -> Row:
    # A summary is a summary of something: it keeps its passage in a closed-book study too.
    context = example.context if options.context == "passage" or example.kind == "summary" else None
    return Row(
        id=example.id,
        source_id=example.source_id,
        group=group,
        prompt=student_prompt(example.kind, example.instruction, context),
        completion=example.target,
        split=splits[group],
        kind=example.kind,
        instruction=example.instruction,
        context=context,
        attributes=example.attributes,
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
