"""What a step is: what it reads and writes in a run folder, and what it may look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tunesmith.plan import BASE, TUNED, Plan
from tunesmith.records import (
    SplitName,
)
from tunesmith.store import (
    RowWriter,
    Run,
    read_rows,
    told_when_full,
)

Record = TypeVar("Record")
Progress = Callable[[int, int | None, str], None]
Counts = dict[str, int]

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
SYSTEMS = (BASE, TUNED)
SHOWN_REFUSALS = 3


def _quiet(done: int, total: int | None, what: str) -> None:
    pass


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class Context:
    """What a step may look at."""

    plan: Plan
    root: Path
    """Relative paths of the plan are relative to this folder."""
    run: Run
    progress: Progress = _quiet
    command: str = ""
    measured: dict[str, Any] = field(default_factory=dict)
    """What a step wants to stand in the manifest beside its counts; the pipeline takes it and clears it."""

    def rows(self, name: str, record_type: type[Record]) -> list[Record]:
        return list(read_rows(self.run.folder / name, record_type))


@dataclass(frozen=True)
class Step:
    name: str
    reads: tuple[str, ...]
    """Files of the run, relative to its folder, whose content the result depends on."""
    writes: tuple[str, ...]
    """Files that are there when the step is done."""
    code: tuple[str, ...]
    """Folders and files of the package whose code the result depends on."""
    run: Callable[[Context], Counts]
    outside: Callable[[Context], dict[str, str]] = lambda context: {}
    """Name and content hash of what the step reads from outside the run: documents, a base model, a prompt file."""

    def options(self, plan: Plan) -> dict[str, Any]:
        options: dict[str, Any] = getattr(plan, self.name).model_dump(mode="json")
        return options if plan.task == "causal" else options | {"task": plan.task}


Told = Callable[[Mapping[str, int]], tuple[int, int | None, str]]
"""Counts so far to what is shown of them: (done, total, what)."""


def keep(context: Context, records: Iterable[Any], places: dict[type, str], what: str | Told) -> Counts:
    """Write each record, as it comes, to the file for its type; count them by file name."""
    folder = context.run.folder
    counts: Counter[str] = Counter()
    for name in places.values():
        with told_when_full(folder / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")
    writers = {record_type: RowWriter(folder / name) for record_type, name in places.items()}
    try:
        for number, record in enumerate(records, start=1):
            writers[type(record)].write(record)
            counts[Path(places[type(record)]).stem] += 1
            context.progress(*((number, None, what) if isinstance(what, str) else what(counts)))
    finally:
        for writer in writers.values():
            writer.close()
    return {Path(name).stem: counts[Path(name).stem] for name in places.values()}
