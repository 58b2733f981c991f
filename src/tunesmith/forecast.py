"""What a run would do, how much there is of it, and about how long it takes: `tunesmith check`.

How much there is, `sizes` says. Times are the time the stage took before in this folder, or a rule of thumb on this
machine's measured matrix speed: tuning an adapter costs about 4 floating-point operations per weight and token,
generation 2 per weight and prompt token, and a decoded token as much as 16 prompt tokens because it cannot fill the
processor.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.judging.cost import cost_remarks, judging_cost
from tunesmith.models.load import BUILTIN, BUILTIN_ENCODER, model_folder, weight_files
from tunesmith.pipeline import StagePlan, survey
from tunesmith.plan import Plan
from tunesmith.sizes import READ_AT_MOST_MB, Sizes, measure
from tunesmith.spending import Budget
from tunesmith.steps.base import Context, duration
from tunesmith.steps.data import check_teacher
from tunesmith.steps.results import judge_material
from tunesmith.store import Run
from tunesmith.synthesize.estimate import Estimate
from tunesmith.synthesize.options import LocalTeacher, TeacherOptions

TRAIN_FLOPS, PROMPT_FLOPS, DECODE_FACTOR = 4, 2, 16


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
        # The judge is asked while the teacher writes on.
        both = [sizes.teacher.seconds, *([sizes.checker.seconds] if sizes.checker is not None else [])]
        known = [seconds for seconds in both if seconds is not None]
        return max(known) if len(known) == len(both) else None
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
    writing = plan.synthesize
    if writing is not None and sizes.teacher is not None:
        teacher = writing.endpoint or writing.local
        remarks += _model_remarks(teacher, sizes.teacher, "The teacher", "synthesize.teacher")
    if writing is not None and sizes.checker is not None:
        judge = writing.judge_endpoint or (writing.judge if isinstance(writing.judge, LocalTeacher) else None)
        remarks += _model_remarks(judge, sizes.checker, "The judge of the examples", "synthesize.judge")
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


def _model_remarks(
    asked: TeacherOptions | LocalTeacher | None, teacher: Estimate, who: str, option: str
) -> list[str]:
    """What a model's requests come to, and whether its budget holds them."""
    if asked is None:
        return []
    left = teacher.items - teacher.kept
    # How many examples come to the judge hangs on what the checks before it refuse.
    most = "at most " if option.endswith("judge") else ""
    said = f"{who} is asked {most}{left:,} times" + (
        f"; {teacher.kept:,} more replies are in the journal and cost nothing." if teacher.kept else "."
    )
    said += (
        f" About {teacher.prompt_tokens:,} tokens of prompts and {teacher.reply_tokens:,} of replies (at most"
        f" {teacher.most_reply_tokens:,})"
    )
    if isinstance(asked, LocalTeacher):
        remarks = [f"{said}, in this process."]
    elif teacher.cost is None or teacher.most_cost is None:
        remarks = [f"{said}; what that costs is not known without {option}.prices."]
    else:
        remarks = [f"{said}: about {teacher.cost:.2f}, at most {teacher.most_cost:.2f}."]
    if left and isinstance(asked, TeacherOptions) and teacher.least_seconds is not None:
        limits = {"requests": asked.requests_per_minute, "tokens": asked.tokens_per_minute}
        said = " and ".join(f"{limit:,} {what}" for what, limit in limits.items() if limit is not None)
        remarks.append(f"At most {said} a minute: that takes {duration(teacher.least_seconds)} or more.")
    if teacher.seconds is None and left:
        remarks.append(
            f"How fast {who[0].lower()}{who[1:]} is shows with its first replies: no time is given for synthesize."
        )
    return remarks + (_budget_remarks(asked.budget, teacher) if asked.budget is not None else [])


def _budget_remarks(budget: Budget, teacher: Estimate) -> list[str]:
    """Which of its limits ends the asking before it is done."""
    remarks = []
    if budget.money is not None and teacher.cost is not None:
        rest = budget.money - (teacher.spent or 0.0)
        if teacher.cost > rest:
            remarks.append(
                f"The budget has {max(rest, 0.0):.2f} of {budget.money:g} left, which is less than that: it ends the"
                " asking early."
            )
    if budget.requests is not None and teacher.items - teacher.kept > budget.requests - teacher.n_sent:
        remarks.append(
            f"The budget has {max(budget.requests - teacher.n_sent, 0):,} of {budget.requests:,} requests left: it"
            " ends the asking early."
        )
    if budget.hours is not None and teacher.seconds is not None:
        hours_left = max(0.0, budget.hours - teacher.hours_spent)
        if teacher.seconds / 3600 > hours_left:
            remarks.append(
                f"The budget has {hours_left:.2g} of {budget.hours:g} hours left, and it takes about"
                f" {duration(teacher.seconds)}: it ends the asking early."
            )
    return remarks
