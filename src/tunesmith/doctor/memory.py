"""How much memory a training run will need, roughly: weights, what is trained, and what the backward pass keeps.

Weights and optimiser are counted exactly. Of each layer the backward pass keeps about 12 vectors of the hidden size, 4
of the feed-forward size and those of key and value for every token (counted from the operations of a Llama layer with
adapters); with gradient checkpointing one vector a layer, and one layer whole. The logits of the answers' tokens are
kept three times over in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def estimate_training_bytes(
    config: Any, n_weights: int, options: TrainOptions, rows: Sequence[Rendered], bytes_per_number: int
) -> int:
    """Bytes of device memory for weights, what is trained with its gradients and moments, and one batch.

    Args:
        config: the model's config.
        n_weights: numbers in the base.
        rows: the training rows; the longest make the largest batch.
        bytes_per_number: of the precision the base computes in.
    """
    text = config.get_text_config(decoder=True)
    hidden = int(text.hidden_size)
    layers = int(text.num_hidden_layers)
    forward = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    heads = int(getattr(text, "num_attention_heads", 1))
    key_value = hidden * int(getattr(text, "num_key_value_heads", None) or heads) // heads
    vocabulary = int(text.vocab_size)

    if options.method == "full":
        held, trained = n_weights * 4.0, n_weights
    else:
        embedding = vocabulary * hidden  # is not quantised
        packed = max(0, n_weights - embedding) * _FOUR_BIT_BYTES + embedding * bytes_per_number
        held = packed if options.in_four_bits else float(n_weights * bytes_per_number)
        trained = layers * options.lora_r * (4 * hidden + 2 * (hidden + key_value) + 3 * (hidden + forward))
    per_trained = 4 + 4 + _STATE_BYTES[options.optim]  # weight and gradient in float32

    longest = sorted((row.n_tokens for row in rows), reverse=True)[: options.per_device_train_batch_size]
    answers = sorted((row.n_trained for row in rows), reverse=True)[: options.per_device_train_batch_size]
    tokens = len(longest) * max(longest, default=0)  # padded
    per_layer = tokens * (12 * hidden + 4 * forward + 2 * key_value) * bytes_per_number
    kept = layers * per_layer
    if options.gradient_checkpointing:
        kept = layers * tokens * hidden * bytes_per_number + per_layer
    logits = 3 * 4 * sum(answers) * vocabulary
    return int(held + trained * per_trained + kept + logits)
