"""What a run would do, how much there is of it, and about how long it takes: `tunesmith check`.

Sizes are counted where the rows are at hand, and else derived from the documents, which are read for that (reading is
quick). Times are the time the stage took before in this folder, or a rule of thumb on this machine's measured matrix
speed: tuning an adapter costs about 4 floating-point operations per weight and token, generation 2 per weight and
prompt token, and a decoded token as much as 16 prompt tokens because it cannot fill the processor.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.judging.cost import cost_remarks, judging_cost
from tunesmith.models.load import BUILTIN, BUILTIN_ENCODER, model_folder, weight_files
from tunesmith.pipeline import StagePlan, survey
from tunesmith.plan import Plan
from tunesmith.prepare.stage import DataFacts, Ids, find_data, read_data
from tunesmith.read.files import find_files
from tunesmith.read.stage import ScenarioOptions, chunk_documents, plan_scenarios, read_documents
from tunesmith.records import Chunk, Document, Example, Note, Refused, Row
from tunesmith.steps.base import Context
from tunesmith.steps.data import check_teacher
from tunesmith.steps.results import judge_material
from tunesmith.store import Run, read_rows
from tunesmith.synthesize.estimate import Estimate
from tunesmith.synthesize.stage import SynthesizeOptions, estimate_requests

TRAIN_FLOPS, PROMPT_FLOPS, DECODE_FACTOR = 4, 2, 16
BUILTIN_YIELD = 0.02
"""Examples that the built-in teacher gets out of a token of passage: what it got from the sample documents, rounded.
Only for a first idea, before `synthesize` has run."""
READ_AT_MOST_MB = 20
SHOWN_REFUSALS = 3


@dataclass(frozen=True, slots=True)
class StageOutlook:
    name: str
    standing: str
    size: str
    seconds: float | None
    """`None` where nothing can be said; 0 for what is cached."""

    @property
    def time_in_words(self) -> str:
        if self.standing == "cached":
            return "nothing to do"
        if self.seconds is None:
            return "not known"
        return f"{self.seconds:.0f} s" if self.seconds < 90 else f"{self.seconds / 60:.0f} min"


@dataclass(frozen=True, slots=True)
class Outlook:
    stages: tuple[StageOutlook, ...]
    remarks: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


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
    judge: Mapping[str, Any] | None = None
    """What `judging_cost` says of a judge; `None` before there are answers, and where nobody is asked."""


def forecast(plan: Plan, root: Path, run: Run) -> Outlook:
    """Look at the plan without running it. What would stop the run at once stops this too, with the same message."""
    check_teacher(plan)
    stages = list(survey(plan, root, run))
    sizes = replace(measure(plan, root, run, stages), judge=_judging(plan, root, run, stages))
    weights = count_weights(plan.train.base)
    speed = matrix_speed()
    lines = tuple(
        StageOutlook(
            stage.name,
            stage.standing,
            _size_in_words(stage.name, sizes, weights),
            _seconds(stage, plan, sizes, weights, speed),
        )
        for stage in stages
    )
    return Outlook(lines, tuple(_remarks(plan, sizes, weights, lines)))


def _judging(plan: Plan, root: Path, run: Run, stages: list[StagePlan]) -> dict[str, Any] | None:
    """What the judge costs, exactly, once the answers are there."""
    standing = {stage.name: stage.standing for stage in stages}
    if plan.judge is None or plan.judge.endpoint is None:
        return None
    if standing["generate"] != "cached" or standing["judge"] in ("cached", "waits"):
        return None
    return judging_cost(judge_material(Context(plan, root, run)), plan.judge, run.folder / "judge.sqlite")


def measure(plan: Plan, root: Path, run: Run, stages: list[StagePlan]) -> Sizes:
    """Count what is there, and derive the rest from it."""
    if plan.read is None or plan.synthesize is None:
        return _measure_finished(plan, root, run, stages)
    if plan.read.scenarios is not None:
        return _measure_scenarios(plan, plan.synthesize, plan.read.scenarios, root, run, stages)
    files = find_files(plan.read.documents or [], root)
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
        teacher=None
        if any(stage.name == "synthesize" and stage.standing == "cached" for stage in stages)
        else estimate_requests(scenarios, writing, run.folder / "journal.sqlite", root),
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


def count_weights(base: str) -> int | None:
    """Number of weights of the base model, read from the headers of its files; `None` when it is only on a hub.

    A safetensors file starts with the length of its JSON header as 8 bytes, little-endian.
    """
    if base not in (BUILTIN, BUILTIN_ENCODER) and not Path(base).expanduser().exists():
        return None
    total = 0
    for path in weight_files(model_folder(base)):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        total += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return total


def matrix_speed() -> float:
    """Floating-point operations per second of one core: float32 matrices of 512, best of twenty.

    One core, because a busy machine makes several threads wait for each other, and then the figure says nothing.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    size = 512
    left = np.ones((size, size), np.float32)
    best = math.inf
    with threadpool_limits(1):
        for _ in range(20):
            start = time.perf_counter()
            left @ left
            best = min(best, time.perf_counter() - start)
    return float(2 * size**3 / best)


def _seconds(stage: StagePlan, plan: Plan, sizes: Sizes, weights: int | None, speed: float) -> float | None:
    if stage.standing == "cached":
        return 0.0
    if stage.name == "synthesize" and sizes.teacher is not None:
        return sizes.teacher.seconds
    if stage.last_seconds is not None:
        return stage.last_seconds
    if shutil.which("nvidia-smi"):
        return None if stage.name in {"train", "generate"} else 10.0
    match stage.name:
        case "read":
            return 1 + sizes.megabytes
        case "synthesize":
            if plan.synthesize is None or plan.synthesize.teacher != "builtin":
                return None
            return None if sizes.passages is None else 2 + 0.02 * sizes.passages
        case "train":
            if weights is None or sizes.train_tokens is None:
                return None
            epochs = plan.train.num_train_epochs
            return 10 + TRAIN_FLOPS * weights * sizes.train_tokens * epochs / speed
        case "generate":
            if weights is None or sizes.prompt_tokens is None or sizes.test_rows is None:
                return None
            if plan.task == "classify":
                # Three systems read the test texts, and the logistic regression the training texts.
                read = 3 * sizes.prompt_tokens + (sizes.train_tokens or 0)
                return 5 + PROMPT_FLOPS * weights * read / speed
            decodings = plan.generate.decodings.values()
            new_tokens = sum(one.num_beams * one.max_new_tokens for one in decodings)
            decoded = DECODE_FACTOR * sizes.test_rows * new_tokens
            systems = len(plan.generate.systems)
            # The prompt goes through once to be answered, under however many settings, and once more to weigh the
            # reference.
            return 5 + systems * PROMPT_FLOPS * weights * (2 * sizes.prompt_tokens + decoded) / speed
        case "judge":
            return None if plan.judge is not None and plan.judge.judge != "builtin" else 5.0
        case "score" if plan.task == "classify":
            return 5.0
        case "score":
            return None if sizes.test_rows is None else 5 + 0.1 * sizes.test_rows
        case _:
            return 5.0


def _size_in_words(stage: str, sizes: Sizes, weights: int | None) -> str:
    def count(value: int | None, what: str) -> str:
        return f"{value:,} {what}" if value is not None else f"{what} not counted"

    match stage:
        case "read":
            if not sizes.documents:
                return count(sizes.passages, "scenarios")
            return f"{sizes.documents} files, {sizes.megabytes:.1f} MB"
        case "synthesize":
            passages = count(sizes.passages, "passages" if sizes.documents else "scenarios")
            size = f"{passages}, {count(sizes.passage_tokens, 'tokens')}"
            return (
                size
                if sizes.teacher is None
                else f"{size}; {sizes.teacher.items - sizes.teacher.kept:,} requests"
            )
        case "prepare":
            return count(sizes.examples, "examples, roughly")
        case "train":
            model = f"{weights / 1e6:.0f} M weights" if weights else "weights not counted"
            return f"{count(sizes.train_tokens, 'tokens an epoch')}, {model}"
        case "generate" | "score" | "judge":
            return count(sizes.test_rows, "test rows")
        case _:
            return ""


def _remarks(plan: Plan, sizes: Sizes, weights: int | None, lines: tuple[StageOutlook, ...]) -> list[str]:
    remarks = [f"Will be refused: {line}" for line in sizes.refused]
    if sizes.passages is None and plan.read is not None:
        remarks.append(f"More than {READ_AT_MOST_MB} MB of documents: counted only when they are read.")
    if weights is None:
        remarks.append(
            f"{plan.train.base} is not on this disk: it is fetched from the hub when the run starts."
        )
    remarks += _teacher_remarks(plan, sizes.teacher)
    remarks += _judge_remarks(plan, sizes, lines)
    waiting = [line.name for line in lines if line.standing == "waits"]
    if waiting:
        remarks.append(
            f"{', '.join(waiting)}: whether they are cached shows when the stages before them have run. Sizes and times"
            " there are rough."
        )
    return remarks


def _judge_remarks(plan: Plan, sizes: Sizes, lines: tuple[StageOutlook, ...]) -> list[str]:
    """The judge's cost: counted from the answers, or before there are any from the number of test rows."""
    if plan.judge is None or plan.judge.endpoint is None:
        return []
    if sizes.judge is not None:
        return list(cost_remarks(sizes.judge, plan.judge))
    waits = any(line.name == "judge" and line.standing != "cached" for line in lines)
    if not waits or sizes.test_rows is None:
        return []
    graded = len(plan.judge.graded_modes) * len(plan.generate.systems) * sizes.test_rows
    # an answer against itself is the same request in both orders, one against a corrupted copy is not
    controls = 3 * min(plan.judge.controls, sizes.test_rows)
    pairwise = 2 * sizes.test_rows + controls if plan.judge.is_pairwise else 0
    return [
        f"The judge is asked at most {graded + pairwise:,} times"
        + (", and again where its verdict changes with the order" if plan.judge.votes > 1 else "")
        + "; tokens and money are counted when the answers are there."
    ]


def _teacher_remarks(plan: Plan, teacher: Estimate | None) -> list[str]:
    """What the teacher's requests come to, and whether the budget holds them."""
    if teacher is None or plan.synthesize is None or plan.synthesize.endpoint is None:
        return []
    endpoint, left = plan.synthesize.endpoint, teacher.items - teacher.kept
    said = f"The teacher is asked {left:,} times" + (
        f"; {teacher.kept:,} more replies are in the journal and cost nothing." if teacher.kept else "."
    )
    said += (
        f" About {teacher.prompt_tokens:,} tokens of prompts and {teacher.reply_tokens:,} of replies (at most"
        f" {teacher.most_reply_tokens:,})"
    )
    if teacher.cost is None or teacher.most_cost is None:
        remarks = [f"{said}; what that costs is not known without synthesize.teacher.prices."]
    else:
        remarks = [f"{said}: about {teacher.cost:.2f}, at most {teacher.most_cost:.2f}."]
    if teacher.seconds is None and left:
        remarks.append(
            "How fast the teacher is shows with its first replies: no time is given for synthesize."
        )
    budget = endpoint.budget
    if budget is not None and budget.money is not None and teacher.cost is not None:
        rest = budget.money - (teacher.spent or 0.0)
        if teacher.cost > rest:
            remarks.append(
                f"The budget has {max(rest, 0.0):.2f} of {budget.money:g} left, which is less than that: it ends the"
                " asking early."
            )
    if budget is not None and budget.requests is not None and left > budget.requests - teacher.n_sent:
        remarks.append(
            f"The budget has {max(budget.requests - teacher.n_sent, 0):,} of {budget.requests:,} requests left: it"
            " ends the asking early."
        )
    return remarks
