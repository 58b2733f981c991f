"""A model that gives texts to classes: loading it, and which states of a text its head is given.

The model is transformers' own for sequence classification, so that plain transformers and peft load what was trained.
What the head is given is decided here and not by the model: transformers takes a decoder's last token that is not *the
padding token's id*, which is wrong where a text ends with that very token, and the first token of an encoder even
where the encoder was trained to be averaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.models.load import ComputeOptions, load_model, model_folder

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Pooling = Literal["mean", "last", "own"]
"""What stands for a text: the mean of its token states; the state of its last token; what the model's own class takes
(the first token, for most encoders)."""


def choose_pooling(base: str, *, trust_remote_code: bool = False) -> Pooling:
    """What sentence-transformers wrote beside the weights; else the last token of a decoder, an encoder's own way."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    folder = model_folder(base)
    said = folder / "1_Pooling" / "config.json"
    if said.is_file():
        pooling = json.loads(said.read_text(encoding="utf-8"))
        if pooling.get("pooling_mode_mean_tokens"):
            return "mean"
        if pooling.get("pooling_mode_lasttoken"):
            return "last"
    kind = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code).model_type
    is_decoder = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return "last" if is_decoder else "own"


def known_labels(base: str, *, trust_remote_code: bool = False) -> tuple[str, ...]:
    """The labels that the model's head was trained on, in their order; empty for a model without such a head."""
    from transformers import AutoConfig

    folder = model_folder(base)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    is_classifier = any("ForSequenceClassification" in name for name in config.architectures or ())
    return tuple(config.id2label[number] for number in sorted(config.id2label)) if is_classifier else ()


def load_classifier(
    base: str, compute: ComputeOptions, labels: Sequence[str], *, seed: int
) -> PreTrainedModel:
    """The model with a head for these labels, in float32, whatever the rest is in.

    The head is the model's own where that was trained on the same labels in the same order; else it is new, drawn
    from `seed`.

    Raises:
        MissingError, InputError: as `load_model`.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = load_model(
            base,
            dtype=compute.dtype,
            device=compute.device,
            head="classify",
            trust_remote_code=compute.trust_remote_code,
            allow_new=_belongs_to_head,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
            ignore_mismatched_sizes=True,
        )
        is_known = known_labels(base, trust_remote_code=compute.trust_remote_code) == tuple(labels)
        for name in head_modules(model):
            head = model.get_submodule(name)
            if not is_known:
                _start_anew(head, float(getattr(model.config, "initializer_range", 0.02)))
            head.float().register_forward_pre_hook(_in_float32)
    return model


def _belongs_to_head(model: Any, tensor: str) -> bool:
    """BERT's pooler counts as head: encoders that were trained without one lack it."""
    return not tensor.startswith(f"{model.base_model_prefix}.") or ".pooler." in tensor


def _start_anew(head: Any, spread: float) -> None:
    import torch

    for part in head.modules():
        if isinstance(part, torch.nn.Linear):
            torch.nn.init.normal_(part.weight, std=spread)
            if part.bias is not None:
                torch.nn.init.zeros_(part.bias)


def _in_float32(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.float() for part in inputs)


def head_modules(model: Any) -> list[str]:
    """Names of the modules that stand on the encoder: what is trained whole, and saved, beside an adapter."""
    return [
        name
        for name, part in model.named_children()
        if name != model.base_model_prefix and any(True for _ in part.parameters())
    ]


def class_logits(model: Any, ids: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Logits (B, classes) in float32 of texts (B, T); `mask` (B, T) is 1 for text and 0 for padding on the right."""
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    if pooling == "last" and hasattr(inner, "score"):
        logits: torch.Tensor = inner.score(pooled_states(model, ids, mask, pooling))
        return logits.float()
    with _pooled_before_the_head(inner, mask, pooling) if pooling != "own" else nullcontext():
        logits = model(input_ids=ids, attention_mask=mask).logits
    return logits.float()


def pooled_states(model: Any, ids: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """What stands for each text (B, width), in float32, before any head; the first token's state for `own`."""
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    body = getattr(inner, inner.base_model_prefix)
    settings = {"use_cache": False} if pooling == "last" else {}
    return _pool(body(input_ids=ids, attention_mask=mask, **settings).last_hidden_state, mask, pooling)


def _pool(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """(B, T, width) to (B, width), by the places of the text and never by ids."""
    import torch

    states = states.float()
    if pooling == "mean":
        weights = mask.to(states.dtype)[:, :, None]
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1.0)
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]
    return states[:, 0]


@contextmanager
def _pooled_before_the_head(model: Any, mask: torch.Tensor, pooling: Pooling) -> Iterator[None]:
    """Hand the head the pooled state in the place of the first token's, where every encoder's head looks."""

    def pool(_: Any, __: Any, output: Any) -> Any:
        pooled = _pool(output.last_hidden_state, mask, pooling)
        output.last_hidden_state = pooled[:, None]
        if getattr(output, "pooler_output", None) is not None:
            output.pooler_output = pooled
        return output

    handle = getattr(model, model.base_model_prefix).register_forward_hook(pool)
    try:
        yield
    finally:
        handle.remove()
