"""A judge in this process: a causal model that is asked how likely each answer on the menu is.

Nothing is written by the model, so nothing can be misread: for `A`, `B` and `TIE` the likelihood after the prompt is
computed, and the likeliest is the verdict. The probabilities are given as the reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from tunesmith.models.load import ComputeOptions, set_threads
from tunesmith.records import Refused, Row
from tunesmith.score.judging.asking import Reply, Request, likeliest, told_chances
from tunesmith.tasks.base import Rendered, Task, open_task


class LocalAsker:
    """Answers requests whose schema leaves each field a menu.

    Args:
        model: folder, hub id or `builtin`. It is loaded at the first request.
        compute: where and how exactly it computes.
    """

    def __init__(self, model: str, compute: ComputeOptions) -> None:
        self.name = model
        self._compute = compute

    def ask(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Raises `MissingError` or `InputError` when the model cannot be loaded."""
        for request in requests:
            yield self._answer(request)

    @cached_property
    def _task(self) -> Task:
        return open_task("causal", self.name, self._compute)

    @cached_property
    def _model(self) -> Any:
        set_threads(self._compute.threads)
        model = self._task.load(self.name, self._compute)
        model.eval()
        return model

    def _answer(self, request: Request) -> Reply:
        prompt = "\n\n".join(message["content"] for message in request.messages)
        reply: dict[str, Any] = {}
        reasons = []
        told: dict[str, float] | None = None
        for field, menu in _menus(request.schema).items():
            # a verdict alone is one word; grades come as the object that the prompt shows
            written = request.menu or [json.dumps({field: choice}) for choice in menu]
            rows = self._render(prompt, written)
            if isinstance(rows, Refused):
                return Reply("", trouble=rows.reason)
            chances = _softmax(self._log_likelihoods(rows))
            reply[field] = menu[likeliest(chances, request, field)]
            reasons.append(told_chances(field, menu, chances))
            if request.menu:
                told = dict(zip(request.menu, chances, strict=True))
        return Reply(json.dumps({"reason": "; ".join(reasons), **reply}), chances=told)

    def _render(self, prompt: str, completions: Sequence[str]) -> list[Rendered] | Refused:
        rendered = []
        for completion in completions:
            row = self._task.render(Row(completion, "judge", prompt, completion, "test"))
            if isinstance(row, Refused):
                return row
            rendered.append(row)
        return rendered

    def _log_likelihoods(self, rows: Sequence[Rendered]) -> list[float]:
        """ln p of each row's completion and end token."""
        import torch

        batch = self._task.collate(rows).to(self._model.device)
        with torch.no_grad():
            losses, owners = self._task.token_losses(self._model, batch)
        sums = torch.zeros(len(rows), dtype=torch.float64)
        sums.index_add_(0, owners.cpu(), losses.double().cpu())
        return [-float(loss) for loss in sums]


def _menus(schema: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The choices of each field that has any."""
    return {name: list(field["enum"]) for name, field in schema["properties"].items() if "enum" in field}


def _softmax(values: Sequence[float]) -> list[float]:
    weights = [math.exp(value - max(values)) for value in values]
    return [weight / sum(weights) for weight in weights]
