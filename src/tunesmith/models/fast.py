"""Faster forms of what peft and transformers compute: the one place where loaded models are patched.

Each patch computes the same formula as what it replaces, and steps aside for anything it was not written for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tunesmith.errors import MissingError

if TYPE_CHECKING:
    import torch

_LONGEST_WRITTEN_OUT = 1024
"""Beyond this many positions the T x T matrix of attention weights costs more memory than its speed is worth."""

_ATTENTION = "tunesmith_cpu"
_ROW_ATTENTION = "tunesmith_rows"
_NOT_WRITTEN_OUT = ("position_bias", "softcap", "s_aux", "cache")
"""Variants of attention that are left to transformers."""


def speed_up_adapters(model: Any) -> int:
    """Make plain LoRA layers compute in the precision of the base, and return how many were changed.

    peft casts each input of a layer to the adapter's float32, multiplies there, scales, adds and casts back: over a
    bfloat16 base that is most of the work. Here the float32 weights are rounded to the base's precision instead, as
    autocast would, and one product adds to the base's output. Gradients still reach the float32 weights.
    """
    import peft.tuners.lora.layer

    changed = 0
    layer: Any
    for layer in model.modules():
        if type(layer) is peft.tuners.lora.layer.Linear and "forward" not in vars(layer):
            vars(layer)["forward"] = partial(_lora_forward, layer, layer.forward)
            changed += 1
    return changed


def _lora_forward(
    layer: Any, usual: Callable[..., Any], x: torch.Tensor, *arguments: Any, **keywords: Any
) -> Any:
    """`base(x) + scaling * dropout(x) A^T B^T` for x (…, in), A (r, in), B (out, r)."""
    import torch
    from torch.nn.functional import linear

    names = [name for name in layer.active_adapters if name in layer.lora_A]
    is_plain = (
        len(names) == 1
        and not (arguments or keywords or layer.disable_adapters or layer.merged)
        and names[0] not in layer.lora_variant
        and layer.lora_B[names[0]].bias is None
    )
    if not is_plain:
        return usual(x, *arguments, **keywords)
    name = names[0]
    base, down, up = layer.base_layer, layer.lora_A[name].weight, layer.lora_B[name].weight
    if (
        type(base) is torch.nn.Linear
        and "forward" not in vars(base)
        and not base.weight.requires_grad
        and type(layer.lora_dropout[name]) is torch.nn.Identity
    ):
        from tunesmith.models import kernels

        segment = (0, x.shape[:-1].numel(), layer.scaling[name], down, up)
        return kernels.adapted_linear(x, base.weight, base.bias, [segment])
    out = base(x)
    narrow = linear(layer.lora_dropout[name](x), down.to(x.dtype))
    wide = torch.addmm(
        out.flatten(0, -2), narrow.flatten(0, -2), up.to(x.dtype).t(), alpha=layer.scaling[name]
    )
    return wide.view(out.shape)


@dataclass
class SharedBase:
    """A base whose linear layers serve several adapters in one pass: which tokens have which is set before each."""

    adapters: list[tuple[int, int, dict[str, tuple[float, torch.Tensor, torch.Tensor]]]] = field(
        default_factory=list
    )
    """(first token, one past the last, layer name -> (scaling, A, B))."""

    def forward(self, name: str, layer: Any, usual: Callable[..., Any], x: torch.Tensor) -> Any:
        from tunesmith.models import kernels

        segments = [
            (start, stop, *factors[name]) for start, stop, factors in self.adapters if name in factors
        ]
        return kernels.adapted_linear(x, layer.weight, layer.bias, segments) if segments else usual(x)


@contextmanager
def shared_base(base: Any, names: Sequence[str]) -> Iterator[SharedBase]:
    """Let the linear layers called `names` look up their adapters in what is yielded, while the block runs."""
    shared = SharedBase()
    layers = [(name, base.get_submodule(name)) for name in names]
    for name, layer in layers:
        vars(layer)["forward"] = partial(shared.forward, name, layer, layer.forward)
    try:
        yield shared
    finally:
        for _, layer in layers:
            del vars(layer)["forward"]


def choose_attention(model: Any, name: str) -> None:
    """Let attention be computed by `name`; `auto` is flash-attention on a GPU that has it, else what was loaded.

    Raises:
        MissingError: flash-attention is asked for where it cannot run.
    """
    import torch
    from transformers.utils.import_utils import is_flash_attn_2_available

    halves = model.dtype in (torch.float16, torch.bfloat16)
    possible = model.device.type == "cuda" and halves and is_flash_attn_2_available()
    if name == "flash_attention_2" and not possible:
        raise MissingError(
            "flash-attention needs a GPU, weights in bfloat16 or float16, and the package flash-attn",
            where="train.attn_implementation",
            do="Take `auto`, or install it: pip install flash-attn --no-build-isolation.",
        )
    if name == "auto":
        if not possible or not getattr(model, "_supports_flash_attn", False):
            return
        name = "flash_attention_2"
    model.set_attn_implementation(name)


def use_liger(model: Any, wanted: bool | None) -> bool:
    """Put Liger's Triton kernels for norms, rotation and MLP into a model on a GPU; say whether that was done.

    The loss stays ours: it sees answers only. `None` is for wherever the package is installed.

    Raises:
        MissingError: it is wanted, and there is no GPU or no package.
    """
    import importlib.util

    possible = model.device.type == "cuda" and importlib.util.find_spec("liger_kernel") is not None
    if wanted and not possible:
        raise MissingError(
            "Liger's kernels need an NVIDIA or AMD GPU and the package liger-kernel",
            where="train.use_liger_kernel",
            do="Leave it empty, or install tunesmith[gpu] on a machine with a GPU.",
        )
    if wanted is False or not possible:
        return False
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    _apply_liger_kernel_to_instance(model=model, cross_entropy=False, fused_linear_cross_entropy=False)
    return True


def speed_up_attention(model: Any) -> bool:
    """On a CPU, write attention out as two products and a softmax while training; say whether that was done.

    With matrix units for bfloat16 that is faster than torch's fused kernel, above all backward.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if model.device.type != "cpu" or model.config._attn_implementation != "sdpa":
        return False
    AttentionInterface.register(_ATTENTION, _attend)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation(_ATTENTION)
    return True


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query (B, H, T, D) to key and value (B, K, S, D), K dividing H; gives (B, T, H, D)."""
    import torch
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    length, seen = query.shape[2], key.shape[2]
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    written_out = (
        torch.is_grad_enabled()
        and 1 < length == seen <= _LONGEST_WRITTEN_OUT
        and dropout == 0.0
        and (attention_mask is None or attention_mask.dtype == torch.bool)
        and not any(keywords.get(name) is not None for name in _NOT_WRITTEN_OUT)
    )
    if not written_out:
        out: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=is_causal,
            **keywords,
        )
        return out
    if attention_mask is None and causal:
        attention_mask = torch.ones(length, seen, dtype=torch.bool).tril()
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scores = torch.matmul(
        query * (query.shape[-1] ** -0.5 if scaling is None else scaling), key.transpose(2, 3)
    )
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(query.dtype).min)
    return torch.matmul(scores.softmax(dim=-1), value).transpose(1, 2).contiguous(), None


def use_row_attention(model: Any) -> bool:
    """Let the model take rows laid end to end, none of which sees another; say whether it can.

    With flash-attention that is its own doing. Otherwise attention is computed row by row, from the bounds that
    `rows_end_to_end` passes; a model that keeps them from its attention, or mixes tokens in another way, cannot.
    Nothing is left changed when the answer is no.
    """
    from transformers import AttentionInterface

    before = model.config._attn_implementation
    if before == "flash_attention_2":
        return _keeps_rows_apart(model)
    if before not in ("sdpa", _ATTENTION) or vars(model.config).get("attention_dropout"):
        return False
    AttentionInterface.register(_ROW_ATTENTION, _attend_rows)
    # It is not registered for masks: transformers then makes none.
    model.set_attn_implementation(_ROW_ATTENTION)
    if _keeps_rows_apart(model):
        return True
    model.set_attn_implementation(before)
    return False


def rows_end_to_end(bounds: Sequence[int], device: Any) -> dict[str, Any]:
    """What a model is told besides the tokens (1, N) of rows that begin at `bounds`, which ends with N.

    These are transformers' names for flash-attention's variable-length form, which every model hands on.
    """
    import torch

    lengths = [stop - start for start, stop in itertools.pairwise(bounds)]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    edges = torch.tensor(bounds, dtype=torch.int32, device=device)
    return {
        "position_ids": positions.to(device),
        "cu_seq_lens_q": edges,
        "cu_seq_lens_k": edges,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }


def _keeps_rows_apart(model: Any) -> bool:
    """Whether two short rows laid end to end get the logits that each gets alone."""
    import torch

    vocabulary = model.get_input_embeddings().weight.shape[0]
    rows = [
        torch.arange(length, device=model.device) * 7919 % vocabulary for length in (5, 9)
    ]  # any tokens will do
    try:
        with _asked(model):
            alone = [model(input_ids=row[None], use_cache=False).logits[0] for row in rows]
            together = model(
                input_ids=torch.cat(rows)[None],
                use_cache=False,
                **rows_end_to_end([0, 5, 14], model.device),
            ).logits[0]
    except (TypeError, ValueError, RuntimeError, NotImplementedError, IndexError):
        return False
    expected = torch.cat(alone).float()
    tolerance = {torch.float32: 1e-4}.get(model.dtype, 5e-2) * expected.abs().max().item()
    return bool((together.float() - expected).abs().max().item() <= tolerance)


@contextmanager
def _asked(model: Any) -> Iterator[None]:
    """For a question to the model in the middle of training: no dropout, whose random numbers a resumed run would miss,
    and no gradients."""
    import torch

    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True


def _attend_rows(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    sliding_window: int | None = None,
    **keywords: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query (B, H, T, D) to key and value (B, K, S, D); rows are laid end to end when B is 1."""
    import torch

    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    strange = [name for name in _NOT_WRITTEN_OUT if keywords.get(name) is not None]
    if not causal or strange or dropout or query.shape[2] != key.shape[2] or attention_mask is not None:
        raise NotImplementedError("this kind of attention is not computed row by row")
    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    from tunesmith.models import kernels

    length = query.shape[2]
    bounds = [0, length] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    longest = max(stop - start for start, stop in itertools.pairwise(bounds))
    write_out = query.device.type == "cpu" and longest <= _LONGEST_WRITTEN_OUT
    window = sliding_window if sliding_window is not None and sliding_window < longest else None
    if query.shape[0] > 1 and bounds != [0, length]:
        raise NotImplementedError("rows laid end to end are one sequence")
    parts = []
    for q, k, v in zip(query, key, value, strict=True):
        if write_out or window is not None:
            parts.append(kernels.row_attention(q, k, v, bounds, scaling=scaling, window=window))
        else:
            parts.append(
                torch.cat(
                    [
                        torch.nn.functional.scaled_dot_product_attention(
                            q[None, :, start:stop],
                            k[None, :, start:stop],
                            v[None, :, start:stop],
                            is_causal=True,
                            scale=scaling,
                            enable_gqa=q.shape[0] != k.shape[0],
                        )[0].transpose(0, 1)
                        for start, stop in itertools.pairwise(bounds)
                    ]
                )
            )
    return (parts[0][None] if len(parts) == 1 else torch.stack(parts)), None


def answer_losses(model: Any, learnt: torch.Tensor, targets: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """-ln p of each target, float32 (N,), where `learnt` (B, T - 1) marks the positions before the N targets.

    The head sees only those positions, and where it is the model's last word, logits are made chunk by chunk.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from tunesmith.models import kernels

    head: Any = model.get_output_embeddings()
    plain = (
        getattr(head, "bias", None) is None
        and type(head) is torch.nn.Linear
        and "forward" not in vars(head)
        and not (head._forward_hooks or head._forward_pre_hooks)
        and _head_is_last(model, head)
    )
    with logits_only_at(model, learnt):
        if plain:
            vars(head)["forward"] = lambda hidden: hidden
        try:
            out = model(**inputs, use_cache=False).logits
        finally:
            if plain:
                del vars(head)["forward"]
    if plain:
        return kernels.head_losses(out, head.weight, targets)
    if out.dim() == 3:  # the head could not be found
        out = out[:, :-1][learnt]
    return cross_entropy(out.float(), targets, reduction="none")


@contextmanager
def logits_only_at(model: Any, learnt: torch.Tensor, *, shifted: bool = True) -> Iterator[None]:
    """Let the model's head see only the hidden states at `learnt`: its logits come out as (N, vocabulary).

    `learnt` is (B, T-1) of the T hidden states, since the last one leads to nothing; (B, T) where not `shifted`.

    A prompt is most of a row, and the head is the largest matrix of a small model. What a model does to its logits
    after the head (scaling, soft-capping) works element by element and stays as it is.
    """
    head = model.get_output_embeddings()
    if head is None:
        yield
        return

    def select(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return ((inputs[0][:, :-1] if shifted else inputs[0])[learnt], *inputs[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


def _head_is_last(model: Any, head: Any) -> bool:
    """Whether logits are what the head gives, without scaling or soft-capping after it. Asked once for each head."""
    import torch

    known = vars(head).get("_tunesmith_is_last")
    if known is None:
        given: list[torch.Tensor] = []
        handle = head.register_forward_hook(lambda _module, _inputs, out: given.append(out))
        ids = torch.arange(2, device=head.weight.device)[None]
        try:
            with _asked(model):
                logits = model(input_ids=ids, use_cache=False).logits
        finally:
            handle.remove()
        known = len(given) == 1 and given[0].shape == logits.shape and bool(torch.equal(given[0], logits))
        vars(head)["_tunesmith_is_last"] = known
    return bool(known)
