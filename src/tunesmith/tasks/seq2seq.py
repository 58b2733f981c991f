"""Sequence to sequence (T5, BART and their kin): an encoder reads the prompt, a decoder learns the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError
from tunesmith.models.fast import logits_only_at
from tunesmith.models.load import ComputeOptions
from tunesmith.records import Refused, Row
from tunesmith.tasks.base import IGNORED, Batch, Rendered, Truncate, mean_loss
from tunesmith.tasks.causal import end_tokens
from tunesmith.tasks.opening import UNLIMITED, load_with_head, open_base, shipped_generation_config
from tunesmith.tasks.texts import control_tokens, fitting_ids, too_long, without_control_tokens

if TYPE_CHECKING:
    import re

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_USUAL_SOURCE = 512
"""Most source tokens where neither the tokenizer nor the config names a limit, as T5 was trained."""


@dataclass(frozen=True)
class Seq2SeqTask:
    """Renders rows for one encoder-decoder. `open` is the way to make one."""

    tokenizer: PreTrainedTokenizerBase
    context_length: int
    """Most tokens of the source that the encoder was made for."""
    stop_ids: tuple[int, ...]
    """The first is learnt after every target."""
    start: Mapping[str, int]
    """What the decoder begins with: `decoder_start_token_id`, and `forced_bos_token_id` where the model has one (the
    language of mBART's answer)."""
    max_length: int
    """Most tokens of the source."""
    max_target_length: int
    """Most tokens of the target, its end token included."""
    truncate: Truncate = "refuse"
    name: str = "seq2seq"
    adapter_type: str = "SEQ_2_SEQ_LM"
    measures: tuple[str, ...] = ()
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
        max_target_length: int | None = None,
    ) -> Seq2SeqTask:
        """The task for the model called `base`.

        Raises:
            MissingError: the model or its tokenizer is not there.
            InputError: it is no encoder-decoder, or says nowhere how an answer begins or ends.
        """
        tokenizer, config = open_base(base, compute)
        if not config.is_encoder_decoder:
            raise InputError(
                f"this model ({config.model_type}) is no encoder-decoder, so it cannot do task: seq2seq",
                where=base,
                do="Take task: causal, or a model such as google/flan-t5-small or facebook/bart-base.",
            )
        # Positions that are learnt end somewhere; T5's are relative and do not.
        hard = getattr(config, "max_position_embeddings", None) or UNLIMITED
        usual = [hard, *(length for length in (tokenizer.model_max_length,) if length < UNLIMITED)]
        context = (
            min(usual) if min(usual) < UNLIMITED else getattr(config, "n_positions", None) or _USUAL_SOURCE
        )
        return cls(
            tokenizer=tokenizer,
            context_length=context,
            stop_ids=end_tokens(base, tokenizer),
            start=_start(base, config),
            max_length=min(hard, max_length or context),
            max_target_length=min(hard, max_target_length or context),
            truncate=truncate,
        )

    def load(self, base: str, compute: ComputeOptions) -> PreTrainedModel:
        return load_with_head(base, compute, "seq2seq")

    def answer_length(self, row: Row) -> int:
        return len(self._target_ids(row.completion))

    def references(self, row: Row) -> tuple[str, ...]:
        return (row.completion, *row.other_references)

    def save_tokenizer(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)

    # Rendering: training and use both go through `_source`.

    def render(self, row: Row) -> Rendered | Refused:
        source = self._source(row)
        if isinstance(source, Refused):
            return source
        target = self._target_ids(row.completion)
        if len(target) > self.max_target_length:
            return too_long(
                row,
                what="target",
                length=len(target),
                limit=self.max_target_length,
                do="raise max_target_length (an answer is never cut)",
            )
        ids, n_cut = source
        return Rendered(
            row.id, row.source_id, tuple(ids), tuple(target), len(ids), n_cut, n_target=len(target)
        )

    def render_prompt(self, row: Row, *, room: int) -> Rendered | Refused:
        """`room` is the decoder's business: the source has all of the encoder to itself."""
        source = self._source(row)
        if isinstance(source, Refused):
            return source
        ids, n_cut = source
        return Rendered(row.id, row.source_id, tuple(ids), (), len(ids), n_cut)

    def _source(self, row: Row) -> tuple[list[int], int] | Refused:
        text = without_control_tokens(row.prompt, self._control)
        found = fitting_ids(self.tokenizer, text, self.max_length, self.truncate, self._source_ids)
        if found is not None:
            return found
        return too_long(
            row,
            what="source",
            length=len(self._source_ids(text)),
            limit=self.max_length,
            do="raise max_length, or set truncate: prompt_right",
        )

    def _source_ids(self, text: str) -> list[int]:
        """With the special tokens that the tokenizer puts round a source: T5's end token, BART's pair, a language."""
        return list(self.tokenizer(text, verbose=False)["input_ids"])

    def _target_ids(self, text: str) -> list[int]:
        """With those of a target, and one end token where the tokenizer brings none."""
        safe = without_control_tokens(text, self._control)
        ids = list(self.tokenizer(text_target=safe, verbose=False)["input_ids"])
        # Control tokens in the text are broken up, so an end token here is the tokenizer's (mBART's language follows).
        return ids if any(token in self.stop_ids for token in ids[-2:]) else [*ids, self.stop_ids[0]]

    @cached_property
    def _control(self) -> re.Pattern[str] | None:
        return control_tokens(self.tokenizer)

    @cached_property
    def template_sha256(self) -> str:
        probe = (self._source_ids("a"), self._target_ids("a"), self.stop_ids, sorted(self.start.items()))
        return hashlib.sha256(repr(probe).encode()).hexdigest()

    # Batches, losses, texts

    def collate(self, rows: Sequence[Rendered]) -> Batch:
        import torch

        longest, longest_target = (
            max(len(row.input_ids) for row in rows),
            max(len(row.labels) for row in rows),
        )
        ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        labels = torch.full((len(rows), longest_target), IGNORED, dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, : len(row.input_ids)] = torch.tensor(row.input_ids)
            mask[index, : len(row.input_ids)] = 1
            labels[index, : len(row.labels)] = torch.tensor(row.labels, dtype=torch.long)
        return Batch(tuple(row.row_id for row in rows), ids, mask, labels)

    def token_losses(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        from torch.nn.functional import cross_entropy

        learnt = batch.labels != IGNORED
        with logits_only_at(model, learnt, shifted=False):
            logits = model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                decoder_input_ids=decoder_inputs(model, batch.labels),
                # A position is read as long as the label it leads to is there: padding stands at the end.
                decoder_attention_mask=learnt.long(),
                use_cache=False,
            ).logits
        if logits.dim() == 3:  # the head could not be found
            logits = logits[learnt]
        return cross_entropy(logits.float(), batch.labels[learnt], reduction="none"), learnt.nonzero()[:, 0]

    def measure(self, model: Any, batches: Iterable[Batch]) -> dict[str, float]:
        return {"loss": mean_loss(self.token_losses, model, batches)}

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def pieces(self, row: Rendered) -> tuple[tuple[str, bool], ...]:
        source = str(self.tokenizer.decode(list(row.input_ids), skip_special_tokens=False))
        return (
            (source, False),
            (str(self.tokenizer.decode(list(row.labels), skip_special_tokens=False)), True),
        )

    def card(self) -> dict[str, Any]:
        return {"max_length": self.max_length, "max_target_length": self.max_target_length}


def decoder_inputs(model: Any, labels: torch.Tensor) -> torch.Tensor:
    """The labels (B, U) moved one to the right behind the decoder's start token, as this model does it.

    T5 and BART put `decoder_start_token_id` first, mBART the target's language, which ends its labels.
    """
    import torch

    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    if hasattr(inner, "prepare_decoder_input_ids_from_labels"):
        shifted: torch.Tensor = inner.prepare_decoder_input_ids_from_labels(labels=labels)
        return shifted
    first = torch.full_like(labels[:, :1], inner.config.decoder_start_token_id)
    return torch.cat([first, labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, 0)], dim=1)


def _start(base: str, config: Any) -> dict[str, int]:
    shipped = shipped_generation_config(base)
    found: dict[str, int] = {}
    for name in ("decoder_start_token_id", "forced_bos_token_id"):
        value = getattr(shipped, name, None)
        value = getattr(config, name, None) if value is None else value
        if value is not None:
            found[name] = int(value)
    if "decoder_start_token_id" not in found:
        raise InputError(
            "the config does not say which token the decoder starts with",
            where=base,
            do="Set `decoder_start_token_id` in config.json.",
        )
    return found
