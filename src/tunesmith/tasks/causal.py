"""Causal language models: the prompt, then the answer, in one sequence; only the answer is learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError
from tunesmith.models.load import ComputeOptions, load_model, load_tokenizer, model_folder
from tunesmith.records import Refused, Row
from tunesmith.tasks.base import IGNORED, Batch, Rendered, Truncate, mean_loss
from tunesmith.tasks.texts import control_tokens, fitting_ids, without_control_tokens

if TYPE_CHECKING:
    import re

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PLAIN_TEMPLATE = "### Instruction:\n{prompt}\n\n### Response:\n"
"""For models without a chat template, after Stanford Alpaca. It ends in a newline, so that the first word of the answer
is tokenised the same whether it follows the prompt or stands alone."""

_PROBE_PROMPT, _PROBE_ANSWER = "tell me", "an answer"


@dataclass(frozen=True)
class CausalTask:
    """Renders rows for one causal model. `open` is the way to make one."""

    tokenizer: PreTrainedTokenizerBase
    context_length: int
    stop_ids: tuple[int, ...]
    """The first is the one that is learnt where the template does not bring its own."""
    max_length: int
    """Most tokens of prompt and completion together; at most `context_length`."""
    truncate: Truncate = "refuse"
    """What is done with a row that is longer: refuse it, or cut the beginning of its message."""
    name: str = "causal"
    adapter_type: str = "CAUSAL_LM"
    measures: tuple[str, ...] = ()
    start: Mapping[str, int] = field(default_factory=dict)
    answer_apart: bool = False

    @classmethod
    def open(
        cls,
        base: str,
        compute: ComputeOptions,
        *,
        max_length: int | None = None,
        truncate: Truncate = "refuse",
    ) -> CausalTask:
        """The task for the model called `base`.

        Raises:
            MissingError: the model or its tokenizer is not there.
            InputError: the model says nowhere which token ends a text.
        """
        tokenizer = load_tokenizer(base, trust_remote_code=compute.trust_remote_code)
        context = _context_length(base, tokenizer, compute)
        return cls(
            tokenizer=tokenizer,
            context_length=context,
            stop_ids=end_tokens(base, tokenizer),
            max_length=min(context, max_length or context),
            truncate=truncate,
        )

    def load(self, base: str, compute: ComputeOptions) -> PreTrainedModel:
        return load_model(
            base,
            dtype=compute.dtype,
            device=compute.device,
            head="causal",
            trust_remote_code=compute.trust_remote_code,
        )

    # Rendering: training and use both go through `_prompt_ids`.

    def render(self, row: Row) -> Rendered | Refused:
        completion = self._completion_ids(row.completion)
        prompt = self._fit_prompt(row, self.max_length - len(completion))
        if isinstance(prompt, Refused):
            return prompt
        ids, n_cut = prompt
        return Rendered(
            row_id=row.id,
            source_id=row.source_id,
            input_ids=(*ids, *completion),
            labels=(*(IGNORED for _ in ids), *completion),
            n_prompt=len(ids),
            n_cut=n_cut,
        )

    def render_prompt(self, row: Row, *, room: int) -> Rendered | Refused:
        prompt = self._fit_prompt(row, self.max_length - room)
        if isinstance(prompt, Refused):
            return prompt
        ids, n_cut = prompt
        return Rendered(row.id, row.source_id, tuple(ids), (IGNORED,) * len(ids), len(ids), n_cut)

    def _fit_prompt(self, row: Row, limit: int) -> tuple[list[int], int] | Refused:
        """Prompt ids of at most `limit` tokens, and how many were cut; refused where that cannot be."""
        ids = self._prompt_ids(row.prompt)
        if len(ids) <= limit:
            return ids, 0
        length = len(ids)
        fitting = fitting_ids(self.tokenizer, row.prompt, limit, self.truncate, self._prompt_ids)
        if fitting is not None:
            return fitting
        reason = (
            f"the prompt has {length} tokens, and {max(limit, 0)} of {self.max_length} are left beside the answer; "
            "make the chunks shorter, raise max_length, or set truncate: prompt_left"
        )
        return Refused(
            row.id, row.source_id, check="too_long", reason=reason, instruction=row.instruction or row.prompt
        )

    def _prompt_ids(self, message: str) -> list[int]:
        """All that the model is given before it answers."""
        if self.tokenizer.chat_template:
            text = self._chat(
                [{"role": "user", "content": self._defuse(message)}], add_generation_prompt=True
            )
            ids = self._encode(text)
        else:
            ids = self._encode(PLAIN_TEMPLATE.format(prompt=self._defuse(message)))
        # A chat template writes its beginning-of-text token itself; a plain text gets it here, once.
        return [*self._first_ids, *ids]

    def _completion_ids(self, answer: str) -> list[int]:
        """The answer, what the template puts after it, and the end token; nothing after that."""
        ids = self._encode(self._defuse(answer) + self._answer_tail)
        for position in range(len(ids)):
            if ids[position] in self.stop_ids:
                return ids[: position + 1]
        return [*ids, self.stop_ids[0]]

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _chat(self, messages: list[dict[str, str]], *, add_generation_prompt: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        )

    @cached_property
    def _first_ids(self) -> tuple[int, ...]:
        """The beginning-of-text token, when this tokenizer puts one before every text."""
        bos = self.tokenizer.bos_token_id
        if self.tokenizer.chat_template or bos is None:
            return ()
        return (bos,) if self.tokenizer("a")["input_ids"][:1] == [bos] else ()

    @cached_property
    def _answer_tail(self) -> str:
        """What the chat template puts after an answer: `<|im_end|>\\n` and the like."""
        if not self.tokenizer.chat_template:
            return ""
        question = {"role": "user", "content": _PROBE_PROMPT}
        whole = self._chat(
            [question, {"role": "assistant", "content": _PROBE_ANSWER}], add_generation_prompt=False
        )
        return whole.rpartition(_PROBE_ANSWER)[2] if _PROBE_ANSWER in whole else ""

    @cached_property
    def _control(self) -> re.Pattern[str] | None:
        return control_tokens(self.tokenizer)

    def _defuse(self, text: str) -> str:
        return without_control_tokens(text, self._control)

    @cached_property
    def template_sha256(self) -> str:
        template = self.tokenizer.chat_template or PLAIN_TEMPLATE
        return hashlib.sha256(repr((template, self._first_ids, self.stop_ids)).encode()).hexdigest()

    # Batches, losses, texts

    def collate(self, rows: Sequence[Rendered]) -> Batch:
        import torch

        longest = max(len(row.input_ids) for row in rows)
        padding = self.tokenizer.pad_token_id or 0
        ids = torch.full((len(rows), longest), padding, dtype=torch.long)
        labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for index, row in enumerate(rows):
            length = len(row.input_ids)
            ids[index, :length] = torch.tensor(row.input_ids)
            labels[index, :length] = torch.tensor(row.labels)
            mask[index, :length] = 1
        return Batch(tuple(row.row_id for row in rows), ids, mask, labels)

    def token_losses(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        from tunesmith.models import fast

        # Position t predicts token t + 1.
        wanted = batch.labels[:, 1:]
        learnt = wanted != IGNORED
        losses = fast.answer_losses(
            model, learnt, wanted[learnt], input_ids=batch.input_ids, attention_mask=batch.attention_mask
        )
        return losses, learnt.nonzero()[:, 0]

    def measure(self, model: Any, batches: Iterable[Batch]) -> dict[str, float]:
        return {"loss": mean_loss(self.token_losses, model, batches)}

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def pieces(self, row: Rendered) -> tuple[tuple[str, bool], ...]:
        runs: list[tuple[list[int], bool]] = []
        for token, label in zip(row.input_ids, row.labels, strict=True):
            trained = label != IGNORED
            if not runs or runs[-1][1] != trained:
                runs.append(([], trained))
            runs[-1][0].append(token)
        return tuple(
            (str(self.tokenizer.decode(ids, skip_special_tokens=False)), trained) for ids, trained in runs
        )

    def card(self) -> dict[str, Any]:
        return {}


def _context_length(base: str, tokenizer: PreTrainedTokenizerBase, compute: ComputeOptions) -> int:
    """The most positions the model was made for; what the tokenizer says where the config is silent."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model_folder(base), trust_remote_code=compute.trust_remote_code)
    text_config = config.get_text_config(decoder=True)
    length = getattr(text_config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(length, 1 << 20))


def end_tokens(base: str, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokenizer's end token, then those the model was shipped with (Gemma and Llama 3 end a turn with another)."""
    from transformers import GenerationConfig

    ids: list[int] = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    if (model_folder(base) / "generation_config.json").is_file():
        shipped = GenerationConfig.from_pretrained(model_folder(base)).eos_token_id
        ids += shipped if isinstance(shipped, list) else [shipped] if shipped is not None else []
    if not ids:
        raise InputError(
            "neither the tokenizer nor the generation config names an end token, so no answer could ever end",
            where=base,
            do="Set `eos_token` in tokenizer_config.json.",
        )
    return tuple(dict.fromkeys(ids))
