"""What a task is: how a row becomes tokens, what is learnt from them, and how an answer comes back.

A new task is one file with a class that answers these questions; training and generation ask nothing else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tunesmith.errors import MissingError
from tunesmith.models.load import BUILTIN, BUILTIN_ENCODER
from tunesmith.records import Refused, Row

if TYPE_CHECKING:
    import torch

    from tunesmith.models.load import ComputeOptions

Truncate = Literal["refuse", "prompt_left", "prompt_right", "prompt_middle"]
"""What is done with a row that is too long: refuse it, or cut the beginning, the end or the middle of its message."""

TaskName = Literal["causal", "seq2seq", "classify"]

TASKS: dict[str, str] = {
    "causal": "tunesmith.tasks.causal:CausalTask",
    "seq2seq": "tunesmith.tasks.seq2seq:Seq2SeqTask",
    "classify": "tunesmith.tasks.classify:ClassifyTask",
}

IGNORED = -100
"""The label of a position that is not learnt from; the value torch's cross-entropy ignores."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One row as token ids."""

    row_id: str
    source_id: str
    input_ids: tuple[int, ...]
    """Prompt, then completion with its end token; the prompt alone where the answer stands apart."""
    labels: tuple[int, ...]
    """As long as `input_ids`: the id where it is learnt, `IGNORED` elsewhere. Where the answer stands apart, a target's
    ids with the end token, or the number of a class."""
    n_prompt: int
    """`input_ids[:n_prompt]` is the prompt, exactly as it is given to the model in use."""
    n_cut: int = 0
    """Prompt tokens that were cut away to make it fit."""
    n_target: int = 0
    """Tokens that a decoder reads beside `input_ids`."""

    @property
    def n_trained(self) -> int:
        return sum(label != IGNORED for label in self.labels)

    @property
    def n_tokens(self) -> int:
        """Tokens that go through the model."""
        return len(self.input_ids) + self.n_target


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right to one length. B rows, T positions."""

    row_ids: tuple[str, ...]
    input_ids: torch.Tensor
    """(B, T) token ids."""
    attention_mask: torch.Tensor
    """(B, T) 1 for text, 0 for padding. What is padding is decided by position: the padding id may equal any token."""
    labels: torch.Tensor
    """(B, T) token ids, `IGNORED` where nothing is learnt; (B, U) where the answer stands apart: target ids of U
    positions, or the number of a class with U = 1."""

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.row_ids, self.input_ids.to(device), self.attention_mask.to(device), self.labels.to(device)
        )


class Task(Protocol):
    """The questions training and generation ask. A task is opened for one base model and one length limit."""

    name: str
    adapter_type: str
    """peft's name for adapters of such models."""
    answer_apart: bool
    """Whether the answer is a sequence (or class) of its own, and not the end of what the model reads."""
    measures: tuple[str, ...]
    """Names of what `measure` gives beside the loss; empty where the loss is all there is."""
    context_length: int
    """Most tokens the model can see at once."""
    stop_ids: tuple[int, ...]
    """Token ids that end an answer."""
    start: Mapping[str, int]
    """What a decoder of its own is given to begin an answer with, by the names of a generation config."""
    new_ids: tuple[int, ...]
    """Token ids whose embeddings the base was not made with: they are trained and saved with an adapter."""
    template_sha256: str
    """Hash of the words and tokens put round a message: equal hashes mean equal rendering."""

    def load(self, base: str, compute: ComputeOptions) -> Any:
        """The model with the head this task needs, without an adapter."""

    def render(self, row: Row) -> Rendered | Refused:
        """The row with its completion; refused, with the reason, where it cannot be learnt from as it is."""

    def render_prompt(self, row: Row, *, room: int) -> Rendered | Refused:
        """The prompt alone (`labels` all ignored), leaving `room` tokens of the context for the answer."""

    def answer_length(self, row: Row) -> int:
        """Tokens of the row's answer as it would be learnt, end token included, whatever the limit."""

    def collate(self, rows: Sequence[Rendered]) -> Batch:
        """Rows side by side, padded on the right."""

    def token_losses(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """For each of the N learnt positions, row by row: -ln p in float32 (N,), and the row it is in (N,)."""

    def measure(self, model: Any, batches: Iterable[Batch]) -> dict[str, float]:
        """The loss and what `measures` names, over all rows of the batches together; no gradients are kept."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer's tokens, without end tokens."""

    def references(self, row: Row) -> tuple[str, ...]:
        """The row's right answers, as texts that `decode` could give: without thoughts where those are taken out."""

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer, added tokens and all, into the folder of what was trained."""

    def pieces(self, row: Rendered) -> tuple[tuple[str, bool], ...]:
        """The row as (text, is trained) pieces, for people to look at."""

    def card(self) -> dict[str, Any]:
        """What has to be known to use what was trained, beside the base: class labels and the like."""


TokenLosses = Callable[[Any, Batch], "tuple[torch.Tensor, torch.Tensor]"]


def mean_loss(token_losses: TokenLosses, model: Any, batches: Iterable[Batch]) -> float:
    """Loss per learnt position over all batches together."""
    import torch

    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            losses, _ = token_losses(model, batch)
            total += losses.sum().item()
            count += len(losses)
    return total / count


class OpenTask(Protocol):
    """How a task is opened for a base model."""

    def __call__(
        self,
        base: str,
        compute: ComputeOptions,
        *,
        max_length: int | None = None,
        truncate: Truncate = "refuse",
        **own: Any,
    ) -> Task: ...


def open_task(
    name: str,
    base: str,
    compute: ComputeOptions,
    *,
    max_length: int | None = None,
    truncate: Truncate = "refuse",
    **own: Any,
) -> Task:
    """The task called `name` for the model called `base`.

    Args:
        max_length: most tokens of a row; `None` for what the model can see.
        truncate: what is done with a row that is longer.
        own: what this task alone asks for: `template` (causal), `max_target_length` (seq2seq), `head` (classify).

    Raises:
        KeyError: there is no such task.
        MissingError: the model or its tokenizer is not there.
    """
    module, _, attribute = TASKS[name].partition(":")
    opener: OpenTask = getattr(importlib.import_module(module), attribute).open
    return opener(base, compute, max_length=max_length, truncate=truncate, **own)


def base_for(task: str, base: str) -> str:
    """The model meant by `base`: `builtin` is the sentence encoder where texts are classified.

    Raises:
        MissingError: no such model comes with the package.
    """
    if base != BUILTIN or task == "causal":
        return base
    if task == "classify":
        return BUILTIN_ENCODER
    raise MissingError(
        f"no model for the task {task} comes with tunesmith",
        where="train.base",
        do="Name a folder or a hub id, such as google/flan-t5-small or facebook/bart-base.",
    )
