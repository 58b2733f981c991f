"""What is asked for: every system's answer to every row under every decoding setting, in batches, each with its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.generate.keys import answer_key, conditions_key
from tunesmith.generate.options import Decoding, GenerateOptions
from tunesmith.generate.systems import made_with
from tunesmith.records import Refused, Row, system_under
from tunesmith.tasks.base import Rendered, Task


@dataclass(frozen=True, slots=True)
class Item:
    row: Row
    prompt: Rendered | None
    reference: Rendered | None
    """Prompt and reference together; `None` where they do not fit into the context."""
    problem: Refused | None = None


@dataclass(frozen=True, slots=True)
class BatchPlan:
    batches: list[list[Item]]
    refused: list[Item]
    decodings: dict[str, Decoding]
    """The settings that read these prompts, by name: all of them, unless some leave too little room for the answer."""

    @property
    def middle(self) -> int:
        """Index of the batch with prompts of middling length, a last batch of few rows not counted."""
        n_full = sum(len(batch) == len(self.batches[0]) for batch in self.batches)
        return n_full // 2


@dataclass(frozen=True, slots=True)
class Work:
    """One system under one decoding setting."""

    system: str
    """As predictions name it."""
    decoding: Decoding
    settings: dict[str, Any]
    conditions: str
    of: str
    """The system's own name."""

    def key(self, item: Item) -> str:
        return answer_key(self.conditions, self.system, item.row, _seen(item))


class Wanted:
    """Every answer that is asked for, with its content key; what of it is done, and how the rest is batched."""

    def __init__(
        self,
        task: Task,
        rows: Sequence[Row],
        base: str,
        adapters: Mapping[str, Path | None],
        options: GenerateOptions,
        done: frozenset[str],
    ) -> None:
        self.done = done
        self.decodings = options.decodings
        self.plans = _plans(task, rows, options)
        self.told: dict[str, set[str]] = {system: set() for system in adapters}
        self.made_with = made_with(task, base, adapters, options)
        self.keys: dict[tuple[str, str, str], str] = {}
        for system in adapters:
            for plan in self.plans:
                for name in plan.decodings:
                    work = self.work(system, name, {})
                    for item in (*plan.refused, *(item for batch in plan.batches for item in batch)):
                        self.keys[system, name, item.row.id] = work.key(item)
        self.n_total = len(self.keys)
        self.n_left = sum(key not in done for key in self.keys.values())

    def is_wanted(self, system: str, name: str, item: Item) -> bool:
        return self.keys[system, name, item.row.id] not in self.done

    def work(self, system: str, name: str, settings: dict[str, Any]) -> Work:
        decoding = self.decodings[name]
        said = settings | decoding.model_dump(mode="json") | ({"setting": name} if name else {})
        conditions = conditions_key(self.made_with[system], decoding)
        return Work(system_under(system, name), decoding, said, conditions, system)


def _seen(item: Item) -> Rendered | Refused:
    seen = item.prompt or item.problem
    assert seen is not None, "a row has a prompt, or a reason why not"
    return seen


def _plans(task: Task, rows: Sequence[Row], options: GenerateOptions) -> list[BatchPlan]:
    """One plan for all settings that read the same prompts; one that needs more room may have to cut or refuse some."""
    plans: list[BatchPlan] = []
    for name, decoding in options.decodings.items():
        plan = _plan(task, rows, room=decoding.max_new_tokens, size=options.batch_size)
        same = next(
            (one for one in plans if one.batches == plan.batches and one.refused == plan.refused), plan
        )
        if same is plan:
            plans.append(plan)
        same.decodings[name] = decoding
    return plans


def _plan(task: Task, rows: Sequence[Row], *, room: int, size: int) -> BatchPlan:
    """Batches of prompts of like length, the longest first, so that memory runs out at once or never."""
    items: list[Item] = []
    refused: list[Item] = []
    for row in rows:
        prompt = task.render_prompt(row, room=room)
        reference = task.render(row)
        if isinstance(prompt, Refused):
            refused.append(Item(row, None, None, prompt))
        else:
            items.append(Item(row, prompt, reference if isinstance(reference, Rendered) else None))
    items.sort(key=lambda item: (-len(item.prompt.input_ids) if item.prompt else 0, item.row.id))
    return BatchPlan([items[start : start + size] for start in range(0, len(items), size)], refused, {})
