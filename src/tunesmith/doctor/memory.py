"""How much memory a training run will need, roughly: weights, what is trained, and what the backward pass keeps.

Weights and optimiser are counted exactly. Of each layer the backward pass keeps about 12 vectors of the hidden size, 4
of the feed-forward size and those of key and value for every token (counted from the operations of a Llama layer with
adapters); a decoder that reads an encoder keeps 6 more of the hidden size, and keys and values of every source token.
With gradient checkpointing it is one vector a layer, and one layer whole. On a CPU attention weights are kept, too: one
for each head and pair of tokens, and another where they are dropped out. The logits of the answers' tokens are kept
three times over in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.tasks.base import Rendered
from tunesmith.train.options import TrainOptions

_FOUR_BIT_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""A weight in NF4: half a byte, a byte of scale for 64 of them, and a float32 for 256 scales."""
_STATE_BYTES = {
    "adamw_torch": 8.0,
    "paged_adamw_32bit": 8.0,
    "adamw_8bit": 2.0,
    "paged_adamw_8bit": 2.0,
    "adafactor": 0.1,
}
"""Bytes of optimiser state a trained number."""


@dataclass(frozen=True)
class _Stack:
    """Like layers, and what goes through them at once."""

    layers: int
    hidden: int
    forward: int
    heads: int
    key_value: int
    matrices: int
    """Of the feed-forward part: 3 where it is gated, else 2."""
    tokens: int
    """With padding, of all rows of a batch."""
    longest: int
    source_tokens: int | None = None
    """What a decoder looks at beside its own tokens; `None` without an encoder."""
    source_longest: int = 0

    @property
    def adapted(self) -> int:
        """Sum of the inputs and outputs of a layer's matrices: numbers of an adapter of rank 1."""
        attention = 4 * self.hidden + 2 * (self.hidden + self.key_value)
        attentions = 1 if self.source_tokens is None else 2
        return attentions * attention + self.matrices * (self.hidden + self.forward)

    def kept(self, *, with_weights: int) -> int:
        """Numbers that a layer keeps for the backward pass; of attention weights `with_weights` copies."""
        a_token = 12 * self.hidden + 4 * self.forward + 2 * self.key_value
        numbers = self.tokens * a_token + with_weights * self.heads * self.tokens * self.longest
        if self.source_tokens is not None:
            numbers += self.tokens * 6 * self.hidden + self.source_tokens * 2 * self.key_value
            numbers += with_weights * self.heads * self.tokens * self.source_longest
        return numbers


def estimate_training_bytes(
    config: Any,
    n_weights: int,
    options: TrainOptions,
    rows: Sequence[Rendered],
    bytes_per_number: int,
    *,
    keeps_attention: bool = False,
) -> int:
    """Bytes of device memory for weights, what is trained with its gradients and moments, and one batch.

    Args:
        config: the model's config.
        n_weights: numbers in the base.
        rows: the training rows; the longest make the largest batch.
        bytes_per_number: of the precision the base computes in.
        keeps_attention: whether the weights of attention are kept, as they are on a CPU.
    """
    stacks = _stacks(config, rows, options.per_device_train_batch_size)
    hidden, vocabulary = stacks[0].hidden, int(config.get_text_config(decoder=True).vocab_size)

    if options.method == "full":
        held, trained = n_weights * 4.0, n_weights
    else:
        embedding = vocabulary * hidden  # is not quantised
        packed = max(0, n_weights - embedding) * _FOUR_BIT_BYTES + embedding * bytes_per_number
        held = packed if options.in_four_bits else float(n_weights * bytes_per_number)
        trained = sum(stack.layers * options.lora_r * stack.adapted for stack in stacks)
    per_trained = 4 + 4 + _STATE_BYTES[options.optim]  # weight and gradient in float32

    drops = any(
        getattr(config, name, 0.0) or 0.0
        for name in ("attention_dropout", "attention_probs_dropout_prob", "dropout_rate")
    )
    with_weights = 0 if not keeps_attention else 2 if drops else 1
    a_layer = [stack.kept(with_weights=with_weights) for stack in stacks]
    if options.gradient_checkpointing:
        inputs = sum(stack.layers * stack.tokens * stack.hidden for stack in stacks)
        kept = (inputs + max(a_layer)) * bytes_per_number
    else:
        kept = sum(stack.layers * one for stack, one in zip(stacks, a_layer, strict=True)) * bytes_per_number
    answers = sorted((row.n_trained for row in rows), reverse=True)[: options.per_device_train_batch_size]
    of_classes = getattr(config, "is_encoder_decoder", False) is False and all(
        row.n_trained == 1 for row in rows
    )
    logits = 0 if of_classes else 3 * 4 * sum(answers) * vocabulary
    return int(held + trained * per_trained + kept + logits)


def _stacks(config: Any, rows: Sequence[Rendered], batch_size: int) -> list[_Stack]:
    """A decoder, or an encoder, or an encoder and the decoder that reads it."""
    longest = max((len(row.input_ids) for row in rows), default=0)
    n_rows = min(batch_size, len(rows))
    tokens = n_rows * longest
    if not getattr(config, "is_encoder_decoder", False):
        text = config.get_text_config(decoder=True)
        gated = getattr(text, "intermediate_size", None) and not hasattr(text, "type_vocab_size")
        return [_stack(text, int(text.num_hidden_layers), tokens, longest, 3 if gated else 2)]
    target = max((row.n_target for row in rows), default=0)
    gated = bool(getattr(config, "is_gated_act", False))
    encoder = int(getattr(config, "encoder_layers", None) or config.num_hidden_layers)
    decoder = int(
        getattr(config, "decoder_layers", None)
        or getattr(config, "num_decoder_layers", None)
        or config.num_hidden_layers
    )
    return [
        _stack(config, encoder, tokens, longest, 3 if gated else 2, part="encoder"),
        _stack(
            config,
            decoder,
            n_rows * target,
            target,
            3 if gated else 2,
            part="decoder",
            source_tokens=tokens,
            source_longest=longest,
        ),
    ]


def _stack(
    config: Any,
    layers: int,
    tokens: int,
    longest: int,
    matrices: int,
    *,
    part: str = "",
    source_tokens: int | None = None,
    source_longest: int = 0,
) -> _Stack:
    """Names of sizes differ: `intermediate_size` (Llama, BERT), `d_ff` (T5), `encoder_ffn_dim` (BART)."""
    hidden = int(config.hidden_size)
    names = ("intermediate_size", "d_ff", f"{part}_ffn_dim")
    forward = next((int(value) for name in names if (value := getattr(config, name, None))), 4 * hidden)
    of_heads = (f"{part}_attention_heads", "num_attention_heads")
    heads = next((int(value) for name in of_heads if (value := getattr(config, name, None))), 1)
    key_value = hidden * int(getattr(config, "num_key_value_heads", None) or heads) // heads
    return _Stack(
        layers, hidden, forward, heads, key_value, matrices, tokens, longest, source_tokens, source_longest
    )
