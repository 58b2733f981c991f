"""What is done already, what has to run, and running it.

A stage's key is made from its options, the content of the files it reads, and its code. So a change reruns exactly what
it can change: another `train.lora_r` leaves the examples alone, and a mended comment in `read` that yields the same
chunks leaves everything after `read` alone.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import yaml

from tunesmith import __version__
from tunesmith.models.load import check_before_the_run
from tunesmith.plan import Plan
from tunesmith.steps.base import Context, Step
from tunesmith.steps.data import check_teacher
from tunesmith.steps.results import check_judge
from tunesmith.steps.table import steps_of
from tunesmith.store import (
    Run,
    StageState,
    code_fingerprint,
    file_fingerprint,
    fingerprint,
    write_atomically,
)
from tunesmith.train.following import leading
from tunesmith.train.stage import take_part

SOURCE = Path(__file__).parent
FOUNDATION = ("records.py", "options.py")
"""Code that every stage's result depends on."""

LIBRARIES = {
    "read": ("pypdfium2", "syntok"),
    "synthesize": ("syntok",),
    "prepare": (),
    "train": ("torch", "transformers", "peft", "accelerate"),
    "generate": ("torch", "transformers", "peft"),
    "score": ("sacrebleu", "rouge-score", "nltk", "torch", "transformers"),
    "judge": ("numpy", "scipy", "aiohttp"),
    "compare": ("numpy", "scipy"),
    "report": ("matplotlib", "jinja2"),
}

Standing = Literal["cached", "partly done", "to run", "waits"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What would happen to one stage."""

    name: str
    standing: Standing
    key: str | None
    """`None` while an earlier stage has to run first: only its output can tell."""
    last_seconds: float | None
    """What the stage took when it last ran in this folder, under whatever settings."""


class Watcher:
    """Hears what a run does. The command line shows it; the default keeps quiet."""

    def stage_begins(self, name: str, standing: Standing) -> None: ...
    def stage_ends(self, name: str, state: StageState, was_cached: bool) -> None: ...
    def progress(self, done: int, total: int | None, what: str) -> None: ...


def stage_key(step: Step, context: Context) -> str | None:
    """The step's key, or `None` when a file it reads is not there yet."""
    inputs = stage_inputs(step, context)
    if inputs is None:
        return None
    return fingerprint([step.name, step.options(context.plan), inputs, _code_of(step.code)])


@cache
def _code_of(places: tuple[str, ...]) -> str:
    """Once per process: what was imported at the start is what runs, also when a file changes meanwhile."""
    return code_fingerprint(*(SOURCE / place for place in (*FOUNDATION, *places)))


def stage_inputs(step: Step, context: Context) -> dict[str, str] | None:
    """Name and content hash of everything the step reads, from the run and from outside it."""
    inputs: dict[str, str] = {}
    for name in step.reads:
        path = context.run.folder / name
        if not path.exists():
            return None
        inputs[name] = file_fingerprint(path)
    inputs.update(step.outside(context))
    return inputs


def survey(plan: Plan, root: Path, run: Run) -> Iterator[StagePlan]:
    """What a run would do to each stage, in order. Nothing is run or written."""
    context = Context(plan, root, run)
    earlier_runs = False
    for step in steps_of(plan):
        state = run.state(step.name)
        seconds = state.seconds if state and state.status == "done" else None
        key = None if earlier_runs else stage_key(step, context)
        if key is None:
            standing: Standing = "waits"
        elif state and state.key == key:
            standing = "cached" if _is_finished(state) and _is_whole(step, run) else "partly done"
        else:
            standing = "cached" if run.is_done(step.name, key) else "to run"
        # A result that is kept under another name comes back on the run; what follows cannot be told before that.
        earlier_runs = earlier_runs or standing != "cached" or not (state and state.key == key)
        yield StagePlan(step.name, standing, key, seconds)


def run_plan(
    plan: Plan,
    root: Path,
    folder: Path,
    *,
    until: str | None = None,
    command: str = "",
    watcher: Watcher | None = None,
) -> Path:
    """Run what has to run, up to and with `until`, and return the run folder.

    Killed at any point, the same call goes on where it was and ends with the same result.

    Args:
        plan: the checked plan.
        root: the folder that relative paths of the plan are relative to.
        folder: the run folder; made if it is not there.
        until: name of the last stage to run; `None` for all.
        command: how a person makes this run again; goes into the manifest and the report.
        watcher: hears the progress.
    """
    if take_part() is not None:  # one of a launcher's other processes
        return folder
    with leading():
        return _run_plan(plan, root, folder, until, command, watcher or Watcher())


def _run_plan(
    plan: Plan, root: Path, folder: Path, until: str | None, command: str, watcher: Watcher
) -> Path:
    names = [step.name for step in steps_of(plan)]
    if until is None or names.index(until) >= names.index("train"):
        check_before_the_run(plan.train.base)  # not after an hour of a paid teacher
    check_teacher(plan)
    if until is None or until not in names[: names.index("score")]:
        check_judge(plan, root)
    with Run(folder) as run:
        context = Context(plan, root, run, watcher.progress, command)
        text = yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_atomically(folder / "plan.yaml", text)
        for step in steps_of(plan):
            _run_step(step, context, watcher)
            run.write_manifest(manifest_head(plan, command), names)
            if step.name == until:
                break
    return folder


def _run_step(step: Step, context: Context, watcher: Watcher) -> None:
    key = stage_key(step, context)
    if key is None:
        missing = [name for name in step.reads if not (context.run.folder / name).exists()]
        raise RuntimeError(f"{step.name} needs {', '.join(missing)}, which an earlier stage did not write")
    state = context.run.begin(step.name, key)
    if _is_finished(state) and _is_whole(step, context.run):
        watcher.stage_ends(step.name, state, True)
        return
    state.status = "running"
    watcher.stage_begins(step.name, "partly done" if state.seconds else "to run")
    state.options = step.options(context.plan)
    state.inputs = stage_inputs(step, context) or {}
    state.versions = {name: metadata.version(name) for name in LIBRARIES[step.name]}
    context.run.save(state)
    with _timed(state, context.run.save):
        context.measured.clear()
        state.counts = step.run(context)
        state.measured = dict(context.measured)
        state.status = "done"
    watcher.stage_ends(step.name, state, False)


def _is_finished(state: StageState) -> bool:
    """Whether nothing is left to do. What a server did not answer is asked again in the next run; the rest is kept."""
    return state.status == "done" and not state.counts.get("unanswered")


def _is_whole(step: Step, run: Run) -> bool:
    """Whether nobody took away what the step wrote."""
    return all((run.folder / name).exists() for name in step.writes)


@contextmanager
def _timed(state: StageState, save: Callable[[StageState], None]) -> Iterator[None]:
    """Add the wall time and peak memory of the attempt to the state, also when it fails or is interrupted."""
    start = time.monotonic()
    try:
        yield
    finally:
        state.seconds = round(state.seconds + time.monotonic() - start, 3)
        # Linux gives kilobytes, macOS bytes; the figure is that of the whole process so far.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
        state.peak_memory_mb = round(peak, 1)
        save(state)


def manifest_head(plan: Plan, command: str) -> dict[str, Any]:
    return {
        "name": plan.name,
        "tunesmith": __version__,
        "command": command,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
