"""How the rows of a batch lie before the model: side by side with padding, or end to end with none.

Either way a row sees only itself, and its losses and gradients are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tunesmith.errors import InputError
from tunesmith.tasks.base import IGNORED, Batch, Rendered, Task
from tunesmith.train.options import TrainOptions

if TYPE_CHECKING:
    import torch


class Layout(Protocol):
    """How rows become a model's input, and what is read off its output."""

    def collate(self, rows: Sequence[Rendered]) -> dict[str, Any]:
        """Tensors, among them `labels` (`IGNORED` where nothing is learnt), and `row_ids`."""

    def losses(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """For each of the N learnt positions, row by row: -ln p in float32 (N,), and the row it is in (N,)."""


@dataclass(frozen=True)
class Padded:
    """Rows side by side, padded on the right to the longest, as the task does it."""

    task: Task

    def collate(self, rows: Sequence[Rendered]) -> dict[str, Any]:
        batch = self.task.collate(rows)
        return {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
            "labels": batch.labels,
            # transformers counts these to weigh the batches of a step
            "shift_labels": batch.labels if self.task.answer_apart else batch.labels[:, 1:],
            "row_ids": batch.row_ids,
        }

    def losses(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        batch = Batch(inputs["row_ids"], inputs["input_ids"], inputs["attention_mask"], inputs["labels"])
        return self.task.token_losses(model, batch)


@dataclass(frozen=True)
class EndToEnd:
    """Rows of a causal model one after another in one sequence. The model has to keep them apart
    (`fast.use_row_attention`)."""

    def collate(self, rows: Sequence[Rendered]) -> dict[str, Any]:
        import torch

        bounds = [0]
        labels: list[int] = []
        for row in rows:
            bounds.append(bounds[-1] + len(row.input_ids))
            labels += (IGNORED, *row.labels[1:])  # nothing of its own row stands before a first token
        shifted = torch.tensor([labels])
        return {
            "input_ids": torch.tensor([[token for row in rows for token in row.input_ids]]),
            "labels": shifted,
            "shift_labels": shifted[:, 1:],
            "bounds": tuple(bounds),
            "row_ids": tuple(row.row_id for row in rows),
        }

    def losses(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        from tunesmith.models import fast

        wanted = inputs["labels"][:, 1:]
        learnt = wanted != IGNORED
        losses = fast.answer_losses(
            model,
            learnt,
            wanted[learnt],
            input_ids=inputs["input_ids"],
            **fast.rows_end_to_end(inputs["bounds"], wanted.device),
        )
        places = learnt[0].nonzero()[:, 0] + 1
        ends = torch.tensor(inputs["bounds"][1:], device=places.device)
        return losses, torch.searchsorted(ends, places, right=True)


def arrange(base: Any, task: Task, options: TrainOptions) -> Layout:
    """Put the attention and kernels in place that the options and the machine allow, and say how rows will lie.

    Raises:
        InputError: `packing: true` with a task or model that cannot keep rows end to end apart.
        MissingError: flash-attention or liger-kernel is asked for and is not there.
    """
    from tunesmith.models import fast

    fast.choose_attention(base, options.attn_implementation)
    fast.use_liger(base, options.use_liger_kernel)
    fast.speed_up_dropout(base)
    # On a GPU without flash-attention, row by row is many small kernels: rows of like length side by side are better.
    pays = base.device.type == "cpu" or base.config._attn_implementation == "flash_attention_2"
    if options.packing or (options.packing is None and pays and task.name == "causal"):
        if task.name == "causal" and fast.use_row_attention(base):
            return EndToEnd()
        if options.packing:
            raise InputError(
                "rows of this task or model cannot lie end to end: it would mix them",
                where="train.packing",
                do="Leave packing empty: rows of like length then lie side by side.",
            )
    fast.speed_up_attention(base)
    return Padded(task)
