"""How much each stage of a plan has to do.

Counted where the rows are at hand, and else derived from the documents, which are read for that (reading is quick).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.pipeline import StagePlan
from tunesmith.plan import Plan
from tunesmith.prepare.stage import DataFacts, Ids, find_data, read_data
from tunesmith.read.stage import (
    ScenarioOptions,
    chunk_documents,
    files_to_read,
    plan_scenarios,
    read_documents,
)
from tunesmith.records import Chunk, Document, Example, Note, Refused, Row
from tunesmith.store import Run, read_rows
from tunesmith.synthesize.estimate import Estimate
from tunesmith.synthesize.stage import SynthesizeOptions, estimate_checks, estimate_requests

BUILTIN_YIELD = 0.02
"""Examples that the built-in teacher gets out of a token of passage: what it got from the sample documents, rounded.
Only for a first idea, before `synthesize` has run."""
READ_AT_MOST_MB = 20
SHOWN_REFUSALS = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much each stage has to do; counts are exact where `is_counted` names the stage."""

    documents: int
    megabytes: float
    refused: tuple[str, ...]
    passages: int | None
    passage_tokens: int | None
    examples: int | None
    train_tokens: int | None
    test_rows: int | None
    prompt_tokens: int | None
    teacher: Estimate | None = None
    """What a model teacher has to be asked; `None` for others, and where it is asked nothing."""
    checker: Estimate | None = None
    """The same of the model that answers for the checks, where it is another."""
    judge: Mapping[str, Any] | None = None
    """What `judging_cost` says of a judge; `None` before there are answers, and where nobody is asked."""


def measure(plan: Plan, root: Path, run: Run, stages: list[StagePlan]) -> Sizes:
    """Count what is there, and derive the rest from it."""
    if plan.read is None or plan.synthesize is None:
        return _measure_finished(plan, root, run, stages)
    if plan.read.scenarios is not None:
        return _measure_scenarios(plan, plan.synthesize, plan.read.scenarios, root, run, stages)
    files = files_to_read(plan.read, root)
    megabytes = sum(file.path.stat().st_size for file in files) / 1e6
    fresh = {stage.name for stage in stages if stage.standing == "cached"}
    refused: list[str] = []
    chunks: list[Chunk] | None = None
    if "read" in fresh:
        chunks = list(read_rows(run.folder / "read/chunks.jsonl", Chunk))
    elif megabytes <= READ_AT_MOST_MB:
        documents = []
        for record in read_documents(plan.read, root):
            if isinstance(record, Document):
                documents.append(record)
            elif isinstance(record, Note) and record.is_refusal:
                refused.append(f"{record.source_id}: {record.text}")
        chunks = list(chunk_documents(documents, plan.read.chunk))
    tokens = sum(chunk.n_tokens for chunk in chunks) if chunks is not None else None
    mean_passage = tokens / len(chunks) if tokens and chunks else 0.0
    if "synthesize" in fresh:
        examples: int | None = sum(1 for _ in read_rows(run.folder / "synthesize/examples.jsonl", Example))
    elif chunks is None or tokens is None:
        examples = None
    elif plan.synthesize.teacher == "builtin":
        examples = min(round(tokens * BUILTIN_YIELD), plan.synthesize.per_chunk * len(chunks))
    else:
        examples = plan.synthesize.per_chunk * len(chunks)
    if "prepare" in fresh:
        train_tokens, test_rows, prompt_tokens = _count_prepared(run)
    elif examples is None:
        train_tokens = test_rows = prompt_tokens = None
    else:
        split = plan.prepare.split
        per_row = 40 + (mean_passage if plan.prepare.context == "passage" else 0)
        train_tokens = round(examples * (1 - split.test - split.validation) * per_row)
        test_rows = round(examples * split.test)
        prompt_tokens = round(test_rows * per_row)
    return Sizes(
        documents=len(files),
        megabytes=megabytes,
        refused=tuple(refused),
        passages=None if chunks is None else len(chunks),
        passage_tokens=tokens,
        examples=examples,
        train_tokens=train_tokens,
        test_rows=test_rows,
        prompt_tokens=prompt_tokens,
        teacher=None
        if chunks is None or "synthesize" in fresh
        else estimate_requests(chunks, plan.synthesize, run.folder / "journal.sqlite", root),
        checker=None
        if chunks is None or "synthesize" in fresh
        else estimate_checks(chunks, plan.synthesize, run.folder / "journal.sqlite", root),
    )


def _measure_scenarios(
    plan: Plan,
    writing: SynthesizeOptions,
    options: ScenarioOptions,
    root: Path,
    run: Run,
    stages: list[StagePlan],
) -> Sizes:
    """The same of a grid: scenarios in place of passages, an example of each."""
    scenarios = plan_scenarios(options).scenarios
    split = plan.prepare.split
    told = sum(_tokens(" ".join((one.instruction, *one.criteria, *one.texts.values()))) for one in scenarios)
    asked = sum(_tokens(one.instruction) for one in scenarios)
    test_rows = round(len(scenarios) * split.test)
    # Nobody knows how long a model's texts will be; social posts and the like have about a hundred words.
    train_tokens = round((asked + 125 * len(scenarios)) * (1 - split.test - split.validation))
    is_done = any(stage.name == "synthesize" and stage.standing == "cached" for stage in stages)
    journal = run.folder / "journal.sqlite"
    return Sizes(
        documents=0,
        megabytes=0.0,
        refused=(),
        passages=len(scenarios),
        passage_tokens=told,
        examples=len(scenarios),
        train_tokens=train_tokens,
        test_rows=test_rows,
        prompt_tokens=round(asked * split.test),
        teacher=None if is_done else estimate_requests(scenarios, writing, journal, root),
        checker=None if is_done else estimate_checks(scenarios, writing, journal, root),
    )


def _count_prepared(run: Run) -> tuple[int | None, int | None, int | None]:
    """Tokens of the training rows, test rows, and tokens of their prompts."""
    train = read_rows(run.folder / "prepare/train.jsonl", Row)
    test = list(read_rows(run.folder / "prepare/test.jsonl", Row))
    trained = sum(_tokens(row.prompt + row.completion) for row in train)
    return trained, len(test), sum(_tokens(row.prompt) for row in test)


def _measure_finished(plan: Plan, root: Path, run: Run, stages: list[StagePlan]) -> Sizes:
    """The same of a plan that starts from finished rows: they are read, unless `prepare` has done so."""
    options = plan.prepare
    sources = [
        (source, part)
        for part, found in (
            (None, options.own),
            ("test", options.test_data),
            ("validation", options.validation_data),
        )
        for source in found
    ]
    files = [file for source, _ in sources for file in find_data(source, root).files]
    megabytes = sum(file.path.stat().st_size for file in files) / 1e6
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    refused: list[str] = []
    if megabytes <= READ_AT_MOST_MB:
        ids = Ids(options.duplicates)
        for source, part in sources:
            facts = DataFacts(source.name)
            for item in read_data(source, root, facts, ids=ids, bad_rows=options.bad_rows):
                if isinstance(item, Refused):
                    refused.append(item.reason)
                    continue
                one = item.example
                size = _tokens(f"{one.instruction} {one.context or ''} {one.target}")
                rows[part or item.part or "train"].append(size)
    count = sum(map(len, rows.values())) or None
    if any(stage.name == "prepare" and stage.standing == "cached" for stage in stages):
        train_tokens, test_rows, prompt_tokens = _count_prepared(run)
    elif count is None:
        train_tokens = test_rows = prompt_tokens = None
    else:
        held = (
            0 if rows["test"] else options.split.test,
            0 if rows["validation"] else options.split.validation,
        )
        mixed = 1 - sum(source.share or 0 for source in options.mixed)
        train_tokens = round(sum(rows["train"]) * (1 - sum(held)) / mixed)
        test_rows = len(rows["test"]) or round(len(rows["train"]) * held[0])
        prompt_tokens = sum(rows["test"]) or round(sum(rows["train"]) * held[0])
    return Sizes(
        documents=len(files),
        megabytes=megabytes,
        refused=tuple(refused[:SHOWN_REFUSALS]),
        passages=None,
        passage_tokens=None,
        examples=count,
        train_tokens=train_tokens,
        test_rows=test_rows,
        prompt_tokens=prompt_tokens,
    )


def _tokens(text: str) -> int:
    """About as many tokens as a tokenizer would make: 1.25 a word."""
    return math.ceil(1.25 * len(text.split()))
