"""Kernels of other packages, where they are installed: flash-attention and Liger."""

from __future__ import annotations

from typing import Any

from tunesmith.errors import MissingError


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
