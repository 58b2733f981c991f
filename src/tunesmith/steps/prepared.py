"""The step from examples and finished rows to prepared ones, with the card of the set."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError, MissingError
from tunesmith.models.load import is_at_hand, model_folder
from tunesmith.plan import Plan
from tunesmith.prepare.card import CardFacts, licenses_of, render_card
from tunesmith.prepare.lengths import Lengths, measure_lengths
from tunesmith.prepare.stage import (
    DataFacts,
    DataOptions,
    Given,
    Ids,
    LeakReport,
    find_data,
    nested_subset,
    prepare_rows,
    read_data,
)
from tunesmith.records import Chunk, Document, Example, Note, Refused, Row, SplitName, as_row
from tunesmith.steps.base import SPLITS, Context, Counts, keep
from tunesmith.store import file_fingerprint, read_rows, write_atomically, write_json
from tunesmith.tasks.base import open_task
from tunesmith.tasks.opening import UNLIMITED

USES: dict[str, SplitName | None] = {
    "data": None,
    "test_data": "test",
    "validation_data": "validation",
    "mix": None,
}
"""The keys of finished data, and the part that each puts its rows in."""


def data_outside(context: Context) -> dict[str, str]:
    """Finished data by the content of its files."""
    found: dict[str, str] = {}
    for use in USES:
        for source in getattr(context.plan.prepare, use):
            for file in find_data(source, context.root).files:
                found[f"data {file.name}"] = file_fingerprint(file.path)
    return found | _tokenizer_outside(context.plan)


def _tokenizer_outside(plan: Plan) -> dict[str, str]:
    """What the lengths depend on: another model with the same tokenizer and window changes nothing here."""
    longest = f"{plan.train.max_length}, {plan.train.max_target_length}"
    found = {"longest row": longest, "task": plan.task}
    if not is_at_hand(plan.train.base):
        return found | {"tokenizer": plan.train.base}
    folder = model_folder(plan.train.base)
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    hashes = {f"tokenizer {n}": file_fingerprint(folder / n) for n in names if (folder / n).is_file()}
    config = folder / "config.json"
    window = (
        json.loads(config.read_text(encoding="utf-8")).get("max_position_embeddings")
        if config.is_file()
        else None
    )
    return found | hashes | {"window": str(window)}


def prepare_step(context: Context) -> Counts:
    plan, folder = context.plan, context.run.folder
    given = _Finished(context)
    examples = [item.example for item in given.items]
    written = [] if plan.synthesize is None else context.rows("synthesize/examples.jsonl", Example)
    examples += written
    parts = {item.example.id: item.part for item in given.items if item.part is not None}
    report = LeakReport()
    try:
        prepared = list(prepare_rows(examples, plan.prepare, parts=parts, mixed=given.mixed, report=report))
    finally:
        # Also when the run stops over them: then they are what people want to see.
        write_json(folder / "prepare/leaks.json", [as_row(leak) for leak in report.leaks])
    counts: Counts = dict(given.counts)
    rows: dict[str, list[Row]] = {
        split: [one for one in prepared if isinstance(one, Row) and one.split == split] for split in SPLITS
    }
    for split, found in rows.items():
        counts |= keep(context, found, {Row: f"prepare/{split}.jsonl"}, "rows")
    refused = [*given.refused, *(one for one in prepared if isinstance(one, Refused))]
    counts |= keep(context, refused, {Refused: "prepare/refused.jsonl"}, "rows")
    _write_subsets(context, rows["train"])
    lengths, window = _lengths(plan, rows)
    mixed = _mixed_rows(given, rows["train"])
    write_json(
        folder / "prepare/data.json",
        {
            "sets": [as_row(facts) for facts in given.facts],
            "mixed_in": mixed,
            "leaks": {"held_out_rows": report.counts, "not_looked": report.not_looked},
            "lengths": {split: as_row(one) for split, one in lengths.items()},
            "window": window,
        },
    )
    card = CardFacts(
        name=plan.name,
        splits={split: len(found) for split, found in rows.items()},
        sources={split: len({row.source_id for row in found}) for split, found in rows.items()},
        hashes={split: _sha256(folder / f"prepare/{split}.jsonl") for split in SPLITS},
        funnel=_funnel(context, given, rows, refused),
        sets=given.facts,
        leaks=report,
        lengths=lengths,
        window=window,
        base=plan.train.base,
        teacher="" if plan.synthesize is None else plan.teacher_name,
        licenses=licenses_of({example.source_id for example in written}, plan.prepare.licenses),
        mixed=mixed,
        task=plan.task,
        command=context.command,
    )
    write_atomically(folder / "prepare/README.md", render_card(card))
    over = sum(one.over_window for one in lengths.values())
    return counts | {"leaks": len(report.leaks)} | ({"rows over the window": over} if window else {})


def subset_file(share: float) -> str:
    """Where a run keeps that share of its training rows."""
    return f"prepare/subsets/train-{share:g}.jsonl"


def _write_subsets(context: Context, train: Sequence[Row]) -> None:
    for share in context.plan.prepare.subsets:
        keep(context, nested_subset(train, float(share)), {Row: subset_file(share)}, "rows")


def _mixed_rows(given: _Finished, train: Sequence[Row]) -> dict[str, int]:
    """Training rows by the set they were mixed in from; a repeated row counts each time."""
    owners = {example.id: options.name for options, examples in given.mixed for example in examples}
    return dict(Counter(name for row in train if (name := owners.get(row.id.split("~")[0])) is not None))


def _lengths(plan: Plan, rows: Mapping[str, Sequence[Row]]) -> tuple[dict[str, Lengths], int | None]:
    """Lengths of each split and the window; nothing and `None` where the base model is not at hand."""
    if not is_at_hand(plan.train.base):
        return {}, None
    own: dict[str, Any] = (
        {"max_target_length": plan.train.max_target_length} if plan.task == "seq2seq" else {}
    )
    try:
        task: Any = open_task(
            plan.task,
            plan.train.base,
            plan.train,
            max_length=plan.train.max_length,
            **own,
        )
    except (MissingError, InputError):  # training says so, with what to do
        return {}, None

    def count(texts: list[str]) -> list[int]:
        if not texts:
            return []
        encoded = task.tokenizer(texts, add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    probe = Row("probe", "probe", "tell me", "an answer", "train")
    given = task.render_prompt(probe, room=0) if task.answer_apart else task.render(probe)
    inside = ["tell me"] if task.answer_apart else ["tell me", "an answer"]
    template = 0 if isinstance(given, Refused) else len(given.input_ids) - sum(count(inside))
    window: int = task.max_length
    answer_window = UNLIMITED if task.answer_apart else None  # a label takes no room
    if plan.task == "seq2seq":
        answer_window = task.max_target_length - (task.answer_length(probe) - sum(count(["an answer"])))
    found = {
        split: measure_lengths(
            part, count, template=max(0, template), window=window, answer_window=answer_window
        )
        for split, part in rows.items()
    }
    return found, window


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _funnel(
    context: Context, given: _Finished, rows: Mapping[str, Sequence[Row]], refused: Sequence[Refused]
) -> list[tuple[str, int, dict[str, int]]]:
    """What each step let through, and what it refused by reason."""
    folder = context.run.folder
    steps: list[tuple[str, int, dict[str, int]]] = []
    if context.plan.read is not None:
        notes = Counter(note.rule for note in context.rows("read/notes.jsonl", Note) if note.is_refusal)
        documents = sum(1 for _ in read_rows(folder / "read/documents.jsonl", Document))
        steps.append(("documents read", documents, dict(notes)))
        steps.append(("passages", sum(1 for _ in read_rows(folder / "read/chunks.jsonl", Chunk)), {}))
    if context.plan.synthesize is not None:
        checks = Counter(one.check for one in context.rows("synthesize/refused.jsonl", Refused))
        accepted = sum(1 for _ in read_rows(folder / "synthesize/examples.jsonl", Example))
        steps.append(("examples accepted", accepted, dict(checks)))
    if given.facts:
        unusable = Counter(one.check for one in given.refused)
        steps.append(("finished rows read", sum(facts.examples for facts in given.facts), dict(unusable)))
    late = Counter(one.check for one in refused[len(given.refused) :])
    return [*steps, ("rows prepared", sum(map(len, rows.values())), dict(late))]


class _Finished:
    """The finished rows that the plan names, read: own ones with their parts, and sets to mix in."""

    def __init__(self, context: Context) -> None:
        self.items: list[Given] = []
        self.refused: list[Refused] = []
        self.mixed: list[tuple[DataOptions, list[Example]]] = []
        self.facts: list[DataFacts] = []
        options = context.plan.prepare
        ids = Ids(options.duplicates)
        for use, part in USES.items():
            for source in getattr(options, use):
                facts = DataFacts(source.name, share=source.share, use=use)
                self.facts.append(facts)
                own: list[Given] = []
                for item in read_data(source, context.root, facts, ids=ids, bad_rows=options.bad_rows):
                    (own.append(item) if isinstance(item, Given) else self.refused.append(item))
                    context.progress(facts.rows, None, f"rows of {source.name}")
                if part is not None and len(facts.parts) > 1:
                    raise InputError(
                        f"the set comes in parts: {', '.join(facts.parts)}",
                        where=f"prepare.{use}: {source.path}",
                        do=f"say which one is meant, with take: {part}",
                    )
                if source.share is not None:
                    training = [item.example for item in own if item.part in (None, "train")]
                    self.mixed.append((source, training))
                else:
                    self.items += [Given(item.example, part or item.part) for item in own]

    @property
    def counts(self) -> Counts:
        """Rows by format, and the unusable ones: what people see of a set at first."""
        found: Counts = {}
        for facts in self.facts:
            for name in facts.formats:
                found[f"{name} rows"] = found.get(f"{name} rows", 0) + facts.rows
        return found
