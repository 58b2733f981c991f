"""The decoder as plain torch, laid out for fast bf16 training on a CPU, and its export to transformers' Llama format.

Query, key and value share one matrix, as do gate and up: fewer, larger products keep the matrix units busy. Attention
is written as two products with a mask; on a CPU that is faster than the fused kernels.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; `heads` times `head` is the width."""

    vocabulary: int = 6144
    width: int = 320
    layers: int = 8
    heads: int = 5
    inner: int = 768
    context: int = 1024
    rope: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head(self) -> int:
        return self.width // self.heads


def rotary(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    frequency = shape.rope ** (-torch.arange(0, shape.head, 2).float() / shape.head)
    angle = torch.outer(torch.arange(length).float(), frequency).repeat(1, 2)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class Norm(nn.Module):
    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)).to(
            x.dtype
        ) * self.weight


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.attention_norm, self.feed_norm = Norm(width, shape.epsilon), Norm(width, shape.epsilon)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.shape.heads, self.shape.head)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        scores = query @ key.transpose(-1, -2) * (1 / math.sqrt(self.shape.head)) + mask
        mixed = torch.softmax(scores, -1) @ value
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.feed_norm(x)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width, shape.epsilon)
        cos, sin = rotary(shape, shape.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.start()

    def start(self) -> None:
        """Residual branches start at zero, so the untrained model is its embedding."""
        nn.init.normal_(self.embedding.weight, std=0.02)
        for layer in self.layers:
            for linear in (layer.qkv, layer.gate_up):
                nn.init.normal_(linear.weight, std=1 / math.sqrt(self.shape.width))
            nn.init.zeros_(layer.out.weight)
            nn.init.zeros_(layer.down.weight)

    def forward(self, tokens: Tensor, mask: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Weighted mean loss of the next token."""
        x = self.embedding(tokens)
        cos, sin = (table[: tokens.shape[1]].to(x.dtype) for table in (self.cos, self.sin))
        for layer in self.layers:
            x = layer(x, mask, cos, sin)
        logits = self.norm(x) @ self.embedding.weight.t()
        loss = functional.cross_entropy(
            logits.view(-1, self.shape.vocabulary).float(), targets.reshape(-1), reduction="none"
        )
        return (loss * weights.reshape(-1)).sum() / weights.sum()


def export(model: nn.Module, state: dict[str, Tensor], folder: Path) -> None:
    """Write a folder that `AutoModelForCausalLM.from_pretrained` reads."""
    shape: Shape = model.shape  # type: ignore[assignment]
    tensors = {
        "model.embed_tokens.weight": state["embedding.weight"],
        "model.norm.weight": state["norm.weight"],
    }
    for number in range(shape.layers):
        here, there = f"layers.{number}.", f"model.layers.{number}."
        for name, part in zip("qkv", state[here + "qkv.weight"].chunk(3), strict=True):
            tensors[f"{there}self_attn.{name}_proj.weight"] = part
        tensors[there + "self_attn.o_proj.weight"] = state[here + "out.weight"]
        for name, part in zip(("gate", "up"), state[here + "gate_up.weight"].chunk(2), strict=True):
            tensors[f"{there}mlp.{name}_proj.weight"] = part
        tensors[there + "mlp.down_proj.weight"] = state[here + "down.weight"]
        tensors[there + "input_layernorm.weight"] = state[here + "attention_norm.weight"]
        tensors[there + "post_attention_layernorm.weight"] = state[here + "feed_norm.weight"]
    folder.mkdir(parents=True, exist_ok=True)
    ready = {name: tensor.to(torch.bfloat16).contiguous().clone() for name, tensor in tensors.items()}
    save_file(ready, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope},
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "use_cache": True,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    generation = {
        "do_sample": False,
        "max_new_tokens": 64,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")


def shape_json(shape: Shape) -> dict[str, object]:
    return asdict(shape)
