"""Causal language models: the prompt, then the answer, in one sequence; only the answer is learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError
from tunesmith.models.load import ComputeOptions
from tunesmith.models.vocabulary import fit_vocabulary
from tunesmith.records import Refused, Row
from tunesmith.tasks.base import IGNORED, Batch, Rendered, Truncate, mean_loss
from tunesmith.tasks.opening import UNLIMITED, load_with_head, open_base, shipped_generation_config
from tunesmith.tasks.templates import PLAIN_TEMPLATE, THOUGHT_TAGS, USUAL, Template, TemplateOptions, Turns
from tunesmith.tasks.texts import fitting_ids

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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
    options: TemplateOptions = USUAL
    new_ids: tuple[int, ...] = ()
    """Tokens that the model was not made with: those that were added, and those it has no embedding for."""
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
        template: TemplateOptions | None = None,
    ) -> CausalTask:
        """The task for the model called `base`.

        Raises:
            MissingError: the model or its tokenizer is not there.
            InputError: the model says nowhere which token ends a text, or an option of the template has no effect.
        """
        options = template_only(template)
        tokenizer, config = open_base(base, compute)
        add_tokens(tokenizer, options.added_tokens, base)
        words = Template(tokenizer, options)
        words.check(base)
        config = config.get_text_config(decoder=True)
        context = _context_length(config, tokenizer)
        return cls(
            tokenizer=tokenizer,
            context_length=context,
            stop_ids=end_tokens(base, tokenizer, words.turn_end),
            max_length=min(context, max_length or context),
            truncate=truncate,
            options=options,
            new_ids=_new_ids(tokenizer, options.added_tokens, config),
        )

    def load(self, base: str, compute: ComputeOptions) -> PreTrainedModel:
        model = load_with_head(base, compute, "causal")
        if self.new_ids:
            fit_vocabulary(model, len(self.tokenizer))
        return model

    # Rendering: training and use both go through `_prompt_ids`.

    @cached_property
    def template(self) -> Template:
        return Template(self.tokenizer, self.options)

    def render(self, row: Row) -> Rendered | Refused:
        ids = self._prompt_ids(*self._asked(row))
        completion = self._completion_ids(row, ids)
        prompt = self._fit_prompt(row, ids, self.max_length - len(completion))
        if isinstance(prompt, Refused):
            return prompt
        kept, n_cut = prompt
        return Rendered(
            row_id=row.id,
            source_id=row.source_id,
            input_ids=(*kept, *completion),
            labels=(*(IGNORED for _ in kept), *completion),
            n_prompt=len(kept),
            n_cut=n_cut,
        )

    def answer_length(self, row: Row) -> int:
        return len(self._completion_ids(row, self._prompt_ids(*self._asked(row))))

    def render_prompt(self, row: Row, *, room: int) -> Rendered | Refused:
        prompt = self._fit_prompt(row, self._prompt_ids(*self._asked(row)), self.max_length - room)
        if isinstance(prompt, Refused):
            return prompt
        ids, n_cut = prompt
        return Rendered(row.id, row.source_id, tuple(ids), (IGNORED,) * len(ids), len(ids), n_cut)

    def _fit_prompt(self, row: Row, ids: list[int], limit: int) -> tuple[list[int], int] | Refused:
        """Of the prompt's ids at most `limit`, and how many were cut; refused where that cannot be."""
        if len(ids) <= limit:
            return ids, 0
        length = len(ids)
        message, earlier = self._asked(row)
        if self.truncate != "refuse":  # what was said first goes first, a question with its answer
            while n_turns := sum(turn["role"] != "system" for turn in earlier):
                earlier = (*earlier[: len(earlier) - n_turns], *earlier[len(earlier) - n_turns + 2 :])
                ids = self._prompt_ids(message, earlier)
                if len(ids) <= limit:
                    return ids, length - len(ids)
        fitting = fitting_ids(
            self.tokenizer, message, limit, self.truncate, lambda text: self._prompt_ids(text, earlier)
        )
        if fitting is not None:
            return fitting[0], length - len(fitting[0])
        reason = (
            f"the prompt has {length} tokens, and {max(limit, 0)} of {self.max_length} are left beside the answer; "
            "make the chunks shorter, raise max_length, or set truncate: prompt_left"
        )
        return Refused(
            row.id, row.source_id, check="too_long", reason=reason, instruction=row.instruction or row.prompt
        )

    def _asked(self, row: Row) -> tuple[str, Turns]:
        """The last message and the turns before it; without a chat template all of it as one text."""
        if row.earlier and self.tokenizer.chat_template:
            return row.instruction, row.earlier
        return row.prompt, ()

    def _prompt_ids(self, message: str, earlier: Turns = ()) -> list[int]:
        """All that the model is given before it answers."""
        # A chat template writes its beginning-of-text token itself; a plain text gets it here, once.
        return [*self._first_ids, *self._encode(self.template.prompt(message, earlier))]

    def _completion_ids(self, row: Row, prompt_ids: list[int]) -> list[int]:
        """The answer as the template writes it, up to and with its end token; nothing after that."""
        message, earlier = self._asked(row)
        prompt = self.template.prompt(message, earlier)
        completion = self.template.completion(message, row.completion, prompt=prompt, earlier=earlier)
        before = prompt_ids[len(self._first_ids) :]
        whole = self._encode(prompt + completion)
        # Some tokenizers put a space before a text that stands alone: the answer is tokenised where it stands, unless
        # it would melt into the prompt's last token, which in use is there already.
        ids = whole[len(before) :] if whole[: len(before)] == before else self._encode(completion)
        for position in range(len(ids)):
            if ids[position] in self.stop_ids:
                return ids[: position + 1]
        return [*ids, self.stop_ids[0]]

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @cached_property
    def _first_ids(self) -> tuple[int, ...]:
        """The beginning-of-text token, when this tokenizer puts one before every text."""
        bos = self.tokenizer.bos_token_id
        if self.tokenizer.chat_template or bos is None:
            return ()
        return (bos,) if self.tokenizer("a")["input_ids"][:1] == [bos] else ()

    @cached_property
    def template_sha256(self) -> str:
        template = self.tokenizer.chat_template or PLAIN_TEMPLATE
        parts = (template, self._first_ids, self.stop_ids, sorted(self.options.model_dump().items()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

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
        text = self.tokenizer.decode(
            [token for token in ids if token not in self._hidden_ids], skip_special_tokens=False
        )
        return self.template.seen(str(text))

    @cached_property
    def _hidden_ids(self) -> frozenset[int]:
        """Control tokens that are no text: all but the tags of thoughts, where a model has tokens for those."""
        tags = {self.tokenizer.convert_tokens_to_ids(tag) for tag in THOUGHT_TAGS}
        return frozenset(set(self.tokenizer.all_special_ids) - tags)

    def references(self, row: Row) -> tuple[str, ...]:
        return tuple(self.template.compared(text) for text in (row.completion, *row.other_references))

    def save_tokenizer(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)

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


def _context_length(config: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    """The most positions the model was made for; what the tokenizer says where the config is silent."""
    length = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(length, UNLIMITED))


def _new_ids(tokenizer: PreTrainedTokenizerBase, added: Sequence[str], config: Any) -> tuple[int, ...]:
    ids = {int(tokenizer.get_vocab()[token]) for token in added}
    n_rows = getattr(config, "vocab_size", None) or len(tokenizer)
    return tuple(sorted(ids | set(range(n_rows, len(tokenizer)))))


def template_only(options: TemplateOptions | None) -> TemplateOptions:
    """The part of a stage's options that is about the template."""
    if options is None:
        return USUAL
    return TemplateOptions(**{name: getattr(options, name) for name in TemplateOptions.model_fields})


def add_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str], base: str) -> None:
    """Put tokens into the vocabulary.

    Raises:
        InputError: one is in it already, or would not come back as it was.
    """
    known = [token for token in tokens if token in tokenizer.get_vocab()]
    if known:
        raise InputError(
            f"the vocabulary has {known[0]!r} already", where=base, do="Leave it out of added_tokens."
        )
    if tokens:
        tokenizer.add_tokens(list(tokens))
    # Byte-level tokenizers read some letters of an added token as bytes when they decode it.
    for token in tokens:
        ids: Any = [tokenizer.convert_tokens_to_ids(token)]
        back = str(tokenizer.decode(ids))
        if back.strip() != token.strip():
            raise InputError(
                f"this tokenizer turns {token!r} into {back!r} when it is written",
                where=base,
                do="Take ASCII letters for added_tokens.",
            )


def end_tokens(base: str, tokenizer: PreTrainedTokenizerBase, turn_end: int | None = None) -> tuple[int, ...]:
    """The tokenizer's end token, then those the model was shipped with (Gemma and Llama 3 end a turn with another), and
    the control token with which the template ends an answer, should neither name it."""
    ids: list[int] = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    shipped = getattr(shipped_generation_config(base), "eos_token_id", None)
    ids += shipped if isinstance(shipped, list) else [shipped] if shipped is not None else []
    ids += [] if turn_end is None else [turn_end]
    if not ids:
        raise InputError(
            "neither the tokenizer nor the generation config names an end token, so no answer could ever end",
            where=base,
            do="Set `eos_token` in tokenizer_config.json.",
        )
    return tuple(dict.fromkeys(ids))
