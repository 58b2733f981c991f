"""Asking a model something in the middle of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def asked(model: Any) -> Iterator[None]:
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
