"""What every task opens its base with: the tokenizer and the config, and later the model with one head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.models.load import ComputeOptions, Head, load_model, load_tokenizer, model_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

UNLIMITED = 1 << 20
"""Tokenizers without a limit say a number far above this."""


def open_base(base: str, compute: ComputeOptions) -> tuple[PreTrainedTokenizerBase, Any]:
    """The tokenizer and the config of the model called `base`.

    Raises:
        MissingError: the model or its tokenizer is not there.
    """
    from transformers import AutoConfig

    tokenizer = load_tokenizer(base, trust_remote_code=compute.trust_remote_code)
    config = AutoConfig.from_pretrained(model_folder(base), trust_remote_code=compute.trust_remote_code)
    return tokenizer, config


def load_with_head(base: str, compute: ComputeOptions, head: Head) -> PreTrainedModel:
    """The model called `base` with this head, where and as precisely as `compute` says. Raises as `load_model`."""
    return load_model(
        base,
        dtype=compute.dtype,
        device=compute.device,
        head=head,
        trust_remote_code=compute.trust_remote_code,
        compute=compute,
    )


def shipped_generation_config(base: str) -> Any | None:
    """The generation config that lies beside the model; `None` where there is none."""
    from transformers import GenerationConfig

    folder = model_folder(base)
    there = (folder / "generation_config.json").is_file()
    return GenerationConfig.from_pretrained(folder) if there else None
