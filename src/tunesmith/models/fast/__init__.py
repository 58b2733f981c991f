"""Faster forms of what peft and transformers compute: the one place where loaded models are patched.

Each patch computes the same formula as what it replaces, and steps aside for anything it was not written for. The
arithmetic behind them is in `models/kernels.py`.
"""

from tunesmith.models.fast.adapters import SharedBase, shared_base, speed_up_adapters
from tunesmith.models.fast.attention import rows_end_to_end, speed_up_attention, use_row_attention
from tunesmith.models.fast.dropout import speed_up_dropout
from tunesmith.models.fast.head import answer_losses, logits_only_at
from tunesmith.models.fast.packages import choose_attention, use_liger

__all__ = [
    "SharedBase",
    "answer_losses",
    "choose_attention",
    "logits_only_at",
    "rows_end_to_end",
    "shared_base",
    "speed_up_adapters",
    "speed_up_attention",
    "speed_up_dropout",
    "use_liger",
    "use_row_attention",
]
