"""Logits only where something is learnt, and their losses chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tunesmith.models.fast.asking import asked

if TYPE_CHECKING:
    import torch


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
            with asked(model):
                logits = model(input_ids=ids, use_cache=False).logits
        finally:
            handle.remove()
        known = len(given) == 1 and given[0].shape == logits.shape and bool(torch.equal(given[0], logits))
        vars(head)["_tunesmith_is_last"] = known
    return bool(known)
