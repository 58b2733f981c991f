"""Which layers of a model family are attention and which are the feed-forward part.

`target_modules` takes these groups instead of names: `attention`, `query_value` (the two that Hu et al. 2021, "LoRA",
adapt), `feed_forward`, and peft's `all-linear`. A test builds a small model of every family and holds its layers
against this table.
"""

from __future__ import annotations

from dataclasses import dataclass

GROUPS = ("attention", "query_value", "feed_forward")


@dataclass(frozen=True, slots=True)
class Layers:
    """Names of layers, as the ends of their full names. A family that fuses query, key and value has one name."""

    attention: tuple[str, ...]
    query_value: tuple[str, ...]
    feed_forward: tuple[str, ...]


_SPLIT = ("q_proj", "v_proj")
_LLAMA = Layers(("q_proj", "k_proj", "v_proj", "o_proj"), _SPLIT, ("gate_proj", "up_proj", "down_proj"))
_OPT = Layers(("q_proj", "k_proj", "v_proj", "out_proj"), _SPLIT, ("fc1", "fc2"))
_NEOX = Layers(
    ("query_key_value", "attention.dense"), ("query_key_value",), ("dense_h_to_4h", "dense_4h_to_h")
)
_FALCON = Layers(
    ("query_key_value", "self_attention.dense"), ("query_key_value",), ("dense_h_to_4h", "dense_4h_to_h")
)
_T5 = Layers(("q", "k", "v", "o"), ("q", "v"), ("wi", "wi_0", "wi_1", "wo"))
_BERT = Layers(
    ("query", "key", "value", "attention.output.dense"),
    ("query", "value"),
    ("intermediate.dense", "output.dense"),
)

FAMILIES: dict[str, Layers] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _LLAMA,
    "gemma3_text": _LLAMA,
    "smollm3": _LLAMA,
    "olmo2": _LLAMA,
    "granite": _LLAMA,
    "stablelm": _LLAMA,
    "phi": Layers(("q_proj", "k_proj", "v_proj", "dense"), _SPLIT, ("fc1", "fc2")),
    "phi3": Layers(("qkv_proj", "o_proj"), ("qkv_proj",), ("gate_up_proj", "down_proj")),
    "gpt2": Layers(("attn.c_attn", "attn.c_proj"), ("attn.c_attn",), ("mlp.c_fc", "mlp.c_proj")),
    "gptj": Layers(("q_proj", "k_proj", "v_proj", "out_proj"), _SPLIT, ("fc_in", "fc_out")),
    "gpt_neox": _NEOX,
    "falcon": _FALCON,
    "bloom": _FALCON,
    "opt": _OPT,
    "starcoder2": Layers(("q_proj", "k_proj", "v_proj", "o_proj"), _SPLIT, ("c_fc", "c_proj")),
    "t5": _T5,
    "mt5": _T5,
    "bart": _OPT,
    "mbart": _OPT,
    "pegasus": _OPT,
    "bert": _BERT,
    "roberta": _BERT,
    "electra": _BERT,
    "distilbert": Layers(("q_lin", "k_lin", "v_lin", "out_lin"), ("q_lin", "v_lin"), ("lin1", "lin2")),
}
"""By `model_type` of the config."""


def layers_of(model_type: str, group: str) -> list[str] | None:
    """Names of the layers of a group; `None` for a family that is not in the table."""
    layers = FAMILIES.get(model_type)
    return None if layers is None else list(getattr(layers, group))
