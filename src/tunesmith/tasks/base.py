"""What a task is: how a row becomes tokens, what is learnt from them, and how an answer comes back.

A new task (sequence-to-sequence, classification, …) is one file with a class that answers these questions; training
and generation ask nothing else.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tunesmith.records import Refused, Row

if TYPE_CHECKING:
    import torch

    from tunesmith.models.load import ComputeOptions

Truncate = Literal["refuse", "prompt_left"]
"""What is done with a row that is too long: refuse it, or cut the beginning of its message."""

TASKS = {"causal": "tunesmith.tasks.causal:CausalTask"}

IGNORED = -100
"""The label of a position that is not learnt from; the value torch's cross-entropy ignores."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One row as token ids."""

    row_id: str
    source_id: str
    input_ids: tuple[int, ...]
    """Prompt, then completion with its end token."""
    labels: tuple[int, ...]
    """As long as `input_ids`: the id where it is learnt, `IGNORED` elsewhere."""
    n_prompt: int
    """`input_ids[:n_prompt]` is the prompt, exactly as it is given to the model in use."""
    n_cut: int = 0
    """Prompt tokens that were cut away to make it fit."""

    @property
    def n_trained(self) -> int:
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right to one length. B rows, T positions."""

    row_ids: tuple[str, ...]
    input_ids: torch.Tensor
    """(B, T) token ids."""
    attention_mask: torch.Tensor
    """(B, T) 1 for text, 0 for padding. What is padding is decided by position: the padding id may equal any token."""
    labels: torch.Tensor
    """(B, T) token ids, `IGNORED` where nothing is learnt."""

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.row_ids, self.input_ids.to(device), self.attention_mask.to(device), self.labels.to(device)
        )


class Task(Protocol):
    """The questions training and generation ask. A task is opened for one base model and one length limit."""

    name: str
    context_length: int
    """Most tokens the model can see at once."""
    stop_ids: tuple[int, ...]
    """Token ids that end an answer."""
    template_sha256: str
    """Hash of the words and tokens put round a message: equal hashes mean equal rendering."""

    def load(self, base: str, compute: ComputeOptions) -> Any:
        """The model with the head this task needs, without an adapter."""

    def render(self, row: Row) -> Rendered | Refused:
        """The row with its completion; refused, with the reason, where it cannot be learnt from as it is."""

    def render_prompt(self, row: Row, *, room: int) -> Rendered | Refused:
        """The prompt alone (`labels` all ignored), leaving `room` tokens of the context for the answer."""

    def collate(self, rows: Sequence[Rendered]) -> Batch:
        """Rows side by side, padded on the right."""

    def token_losses(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """For each of the N learnt positions, row by row: -ln p in float32 (N,), and the row it is in (N,)."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer's tokens, without end tokens."""

    def pieces(self, row: Rendered) -> tuple[tuple[str, bool], ...]:
        """The row as (text, is trained) pieces, for people to look at."""


class OpenTask(Protocol):
    """How a task is opened for a base model."""

    def __call__(
        self,
        base: str,
        compute: ComputeOptions,
        *,
        max_length: int | None = None,
        truncate: Truncate = "refuse",
    ) -> Task: ...


def open_task(
    name: str,
    base: str,
    compute: ComputeOptions,
    *,
    max_length: int | None = None,
    truncate: Truncate = "refuse",
) -> Task:
    """The task called `name` for the model called `base`.

    Args:
        max_length: most tokens of a row; `None` for what the model can see.
        truncate: what is done with a row that is longer.

    Raises:
        KeyError: there is no such task.
        MissingError: the model or its tokenizer is not there.
    """
    module, _, attribute = TASKS[name].partition(":")
    opener: OpenTask = getattr(importlib.import_module(module), attribute).open
    return opener(base, compute, max_length=max_length, truncate=truncate)
