"""Classification: a text goes in, one of a few labels comes out; encoders and decoders alike."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError
from tunesmith.models.classifier import (
    Pooling,
    choose_pooling,
    class_logits,
    load_classifier,
    pooled_states,
)
from tunesmith.models.load import ComputeOptions, model_folder
from tunesmith.records import Refused, Row
from tunesmith.tasks.base import Batch, Rendered, Truncate
from tunesmith.tasks.opening import UNLIMITED, open_base
from tunesmith.tasks.texts import control_tokens, fitting_ids, too_long, without_control_tokens

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MEASURES = ("accuracy", "precision", "recall", "f1", "mcc")
"""What is measured on the validation rows after an epoch, as `score` defines it."""


@dataclass(frozen=True)
class Head:
    """What a classifier's head is made for."""

    labels: tuple[str, ...]
    """In the order of the logits."""
    weights: tuple[float, ...] | None = None
    """What a row of each label counts in the loss; `None` for 1."""
    seed: int = 0
    """Draws the weights of a new head."""


@dataclass(frozen=True)
class ClassifyTask:
    """Gives texts to the labels of one head. `open` is the way to make one."""

    tokenizer: PreTrainedTokenizerBase
    context_length: int
    max_length: int
    """Most tokens of a text, special ones included."""
    head: Head
    pooling: Pooling
    truncate: Truncate = "refuse"
    stop_ids: tuple[int, ...] = ()
    name: str = "classify"
    adapter_type: str = "SEQ_CLS"
    measures: tuple[str, ...] = MEASURES
    start: Mapping[str, int] = field(default_factory=dict)
    answer_apart: bool = True
    new_ids: tuple[int, ...] = ()

    @classmethod
    def open(
        cls,
        base: str,
        compute: ComputeOptions,
        *,
        max_length: int | None = None,
        truncate: Truncate = "refuse",
        head: Head | None = None,
    ) -> ClassifyTask:
        """The task for the model called `base`. Without a head it has no labels: texts can be counted, not learnt.

        Raises:
            MissingError: the model or its tokenizer is not there.
            InputError: it is not made for reading texts.
        """
        tokenizer, config = open_base(base, compute)
        context = _context_length(config, tokenizer)
        return cls(
            tokenizer=tokenizer,
            context_length=context,
            max_length=min(context, max_length or _usual_length(base) or context),
            head=head or Head(()),
            pooling=choose_pooling(base, trust_remote_code=compute.trust_remote_code),
            truncate=truncate,
        )

    def load(self, base: str, compute: ComputeOptions) -> PreTrainedModel:
        return load_classifier(base, compute, self.head.labels, seed=self.head.seed)

    def answer_length(self, row: Row) -> int:
        return 1

    def references(self, row: Row) -> tuple[str, ...]:
        return (row.completion, *row.other_references)

    def save_tokenizer(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)

    def render(self, row: Row) -> Rendered | Refused:
        label = row.completion.strip()
        if label not in self.head.labels:
            return Refused(
                row.id,
                row.source_id,
                check="unknown_label",
                reason=f"the label {label!r} is not one of {', '.join(self.head.labels)}",
                instruction=row.instruction or row.prompt,
                target=row.completion,
            )
        text = self.render_prompt(row, room=0)
        if isinstance(text, Refused):
            return text
        return Rendered(
            row.id, row.source_id, text.input_ids, (self.head.labels.index(label),), text.n_prompt, text.n_cut
        )

    def render_prompt(self, row: Row, *, room: int) -> Rendered | Refused:
        """`room` does not matter: a label takes none."""
        text = without_control_tokens(row.prompt, self._control)
        found = fitting_ids(self.tokenizer, text, self.max_length, self.truncate, self._ids)
        if found is None:
            return too_long(
                row,
                what="text",
                length=len(self._ids(text)),
                limit=self.max_length,
                do="raise max_length, or set truncate: prompt_middle (or prompt_right, prompt_left)",
            )
        ids, n_cut = found
        return Rendered(row.id, row.source_id, tuple(ids), (), len(ids), n_cut)

    def _ids(self, text: str) -> list[int]:
        """With the special tokens that the tokenizer puts round a text."""
        ids = list(self.tokenizer(text, verbose=False)["input_ids"])
        # An empty text of a tokenizer without special tokens still has to be read as something.
        return ids or [self.tokenizer.eos_token_id or 0]

    @cached_property
    def _control(self) -> re.Pattern[str] | None:
        return control_tokens(self.tokenizer)

    @cached_property
    def template_sha256(self) -> str:
        probe = (self._ids("a"), self.pooling, self.max_length, self.truncate)
        return hashlib.sha256(repr(probe).encode()).hexdigest()

    def collate(self, rows: Sequence[Rendered]) -> Batch:
        import torch

        longest = max(len(row.input_ids) for row in rows)
        ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, : len(row.input_ids)] = torch.tensor(row.input_ids)
            mask[index, : len(row.input_ids)] = 1
        labels = torch.tensor([row.labels for row in rows], dtype=torch.long).reshape(len(rows), -1)
        return Batch(tuple(row.row_id for row in rows), ids, mask, labels)

    def logits(self, model: Any, batch: Batch) -> torch.Tensor:
        """(B, labels) in float32."""
        return class_logits(model, batch.input_ids, batch.attention_mask, self.pooling)

    def states(self, model: Any, batch: Batch) -> torch.Tensor:
        """What the base makes of each text (B, width) before any head, in float32: the last token of a decoder, else
        the mean, since first tokens say little before they are tuned."""
        pooling: Pooling = "last" if self.pooling == "last" else "mean"
        return pooled_states(model, batch.input_ids, batch.attention_mask, pooling)

    def token_losses(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """One loss a row: -ln p of its label, times the label's weight."""
        import torch

        wanted = batch.labels[:, 0]
        losses = self._losses(self.logits(model, batch), wanted)
        return losses, torch.arange(len(wanted), device=wanted.device)

    def _losses(self, logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """(B,)"""
        import torch
        from torch.nn.functional import cross_entropy

        losses = cross_entropy(logits, wanted, reduction="none")
        if self.head.weights is None:
            return losses
        return losses * torch.tensor(self.head.weights, device=losses.device)[wanted]

    def measure(self, model: Any, batches: Iterable[Batch]) -> dict[str, float]:
        """The weighted loss, and accuracy, macro precision, recall and F1, and Matthews correlation of the labels."""
        import torch
        from sklearn.metrics import accuracy_score, matthews_corrcoef, precision_recall_fscore_support

        total, found, wanted = 0.0, list[int](), list[int]()
        with torch.no_grad():
            for batch in batches:
                logits, labels = self.logits(model, batch), batch.labels[:, 0]
                total += self._losses(logits, labels).sum().item()
                found += logits.argmax(dim=-1).tolist()
                wanted += labels.tolist()
        # As `score` defines them: over all labels alike, 0 where a label is never given.
        precision, recall, f1, _ = precision_recall_fscore_support(
            wanted, found, labels=range(len(self.head.labels)), average="macro", zero_division=0
        )
        return {
            "loss": total / len(wanted),
            "accuracy": float(accuracy_score(wanted, found)),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "mcc": float(matthews_corrcoef(wanted, found))
            if len({*wanted}) > 1 and len({*found}) > 1
            else 0.0,
        }

    def decode(self, ids: Sequence[int]) -> str:
        """The label of a class number."""
        return self.head.labels[ids[0]]

    def pieces(self, row: Rendered) -> tuple[tuple[str, bool], ...]:
        text = str(self.tokenizer.decode(list(row.input_ids), skip_special_tokens=False))
        return ((text, False), (f" → {self.decode(row.labels)}", True))

    def card(self) -> dict[str, Any]:
        return {
            "labels": list(self.head.labels),
            "head_seed": self.head.seed,
            "pooling": self.pooling,
            "max_length": self.max_length,
            "truncate": self.truncate,
        }


def _usual_length(base: str) -> int | None:
    """How much of a text a sentence encoder was trained to read, where it says so."""
    said = model_folder(base) / "sentence_bert_config.json"
    length = json.loads(said.read_text(encoding="utf-8")).get("max_seq_length") if said.is_file() else None
    return int(length) if length else None


def _context_length(config: Any, tokenizer: Any) -> int:
    """What the tokenizer says, and never more than there are positions.

    RoBERTa and its kin count positions from the padding id on, so that two of 514 are lost.
    """
    text_config = config.get_text_config()
    positions = getattr(text_config, "max_position_embeddings", None)
    lengths = [length for length in (positions, tokenizer.model_max_length) if length and length < UNLIMITED]
    is_shifted = "roberta" in config.model_type or config.model_type in ("camembert", "longformer")
    if positions and is_shifted:
        lengths.append(positions - (config.pad_token_id or 0) - 1)
    if not lengths:
        raise InputError(
            f"this model ({config.model_type}) does not say how many tokens it can read",
            where=str(config.name_or_path),
            do="Set `model_max_length` in tokenizer_config.json.",
        )
    return int(min(lengths))
