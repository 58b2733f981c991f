"""A frozen base in 4 bits (Dettmers et al. 2023, "QLoRA"): bitsandbytes, where the package and the machine have it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tunesmith.errors import MissingError

if TYPE_CHECKING:
    import torch

INSTALL = 'pip install "bitsandbytes>=0.45"'


class _WithoutAdvice(logging.Filter):
    """Lets all records through but bitsandbytes' advice to install a kernel that is not used here.

    Its CPU part looks for a fused kernel as soon as it is imported, which peft does whenever it is imported itself, and
    warns where the package `kernels` is not there. `keep_as_quantised` leaves that kernel out in any case.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return "gemm_4bit_forward from kernels-community" not in str(record.msg)


def take_no_advice() -> None:
    """Keep that one line off the screen, whoever imports bitsandbytes later; calling it again changes nothing."""
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    if not any(isinstance(one, _WithoutAdvice) for one in logger.filters):
        logger.addFilter(_WithoutAdvice())


def need_bitsandbytes(what: str, where: str) -> Any:
    """The module bitsandbytes. `what` needs it, as the plan key `where` asks.

    Raises:
        MissingError: it is not installed, or does not fit what is.
    """
    try:
        import bitsandbytes
    except (ImportError, OSError, RuntimeError) as error:
        reason = "" if isinstance(error, ModuleNotFoundError) else f" ({str(error).splitlines()[0][:160]})"
        raise MissingError(
            f"{what} needs the package bitsandbytes{reason}", where=where, do=INSTALL
        ) from error
    return bitsandbytes


def check_four_bits(device: torch.device, quant_type: str = "nf4", where: str = "train.method") -> None:
    """Raise `MissingError` where weights in 4 bits cannot be had: without the package, or on this device."""
    import torch

    library = need_bitsandbytes("a base in 4 bits", where)
    try:
        library.functional.quantize_4bit(torch.zeros(64, 64, device=device), quant_type=quant_type)
    except Exception as error:  # whatever a missing kernel or library raises, the answer is the same
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise MissingError(
            f"weights in 4 bits cannot be had on {device} ({lines[0][:160] if lines else type(error).__name__})",
            where=where,
            do="Take method: lora, or another device; `python -m bitsandbytes` says what is wrong.",
        ) from error


def four_bit_config(quant_type: str, *, double: bool, compute: torch.dtype) -> Any:
    """transformers' description of a base in 4 bits."""
    from transformers import BitsAndBytesConfig

    configure: Any = BitsAndBytesConfig
    return configure(
        load_in_4bit=True,
        bnb_4bit_quant_type=quant_type,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=compute,
    )


def check_widths(model: Any, where: str) -> None:
    """Refuse a model whose 4-bit weights bitsandbytes would read wrongly on a CPU.

    Its CPU kernel (0.50) takes a block of scales to lie within one row: with rows that are no multiple of the block,
    most weights come back with the scale of another block, up to twice too large, and nothing is said.

    Raises:
        MissingError: there is such a layer, and it is on a CPU.
    """
    for name, part in model.named_modules():
        if type(part).__name__ != "Linear4bit" or part.weight.device.type != "cpu":
            continue
        state = part.weight.quant_state
        if state.shape[-1] % state.blocksize:
            raise MissingError(
                f"4-bit weights of {state.shape[-1]} columns ({name}) cannot be read on a CPU: bitsandbytes needs a"
                f" multiple of {state.blocksize} there",
                where=where,
                do="Take method: lora, or a GPU.",
            )


def keep_as_quantised(model: Any) -> None:
    """On a CPU, keep bitsandbytes from repacking the weights at the first look without gradients.

    Repacking rounds the scales of the blocks to bfloat16 in place: what is trained after a validation would stand on
    other weights than what was trained before it, and a resumed run would end elsewhere.
    """
    for part in model.modules():
        if type(part).__name__ == "Linear4bit" and hasattr(part, "support_avx512bf16_for_cpu"):
            part.support_avx512bf16_for_cpu = False


def n_weights(part: Any) -> int:
    """Numbers a parameter holds: two to a byte where it is packed in 4 bits."""
    if type(part).__name__ != "Params4bit":
        return int(part.numel())
    return int(part.numel()) * 2 * int(part.element_size())
