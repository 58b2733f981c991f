"""An adapter that was trained on another one: what comes before it is merged into the base first.

Such an adapter carries the ones it stands on in its own folder, under `before/`, the nearest first, which carries its
own in turn. Its card names them with their hashes, so that one that is missing or was exchanged is noticed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError, MissingError
from tunesmith.models.cards import CARD, read_card
from tunesmith.models.load import ComputeOptions, choose_device, four_bits, quiet, weights_sha256
from tunesmith.models.quantised import keep_as_quantised

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BEFORE = "before"
_FILES = ("adapter_config.json", CARD)


def is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def stands_on(folder: Path) -> list[Path]:
    """The adapters that are merged into the base before the one in `folder` counts, in the order of merging.

    Raises:
        MissingError: one of them is not there.
        InputError: one of them is not the one it was trained on.
    """
    card = read_card(folder) or {}
    names = card.get("continues", [])
    if not names or not is_adapter(folder):  # a whole model has everything in its weights
        return []
    place = folder / BEFORE
    first = names[-1]
    if not is_adapter(place):
        raise MissingError(
            f"this adapter was trained on top of another one, {first['name']}, and means nothing without it",
            where=str(place),
            do="Put that adapter there, or train this one again.",
        )
    if weights_sha256(place) != first["sha256"]:
        raise InputError(
            f"this adapter was trained on top of {first['name']}, and another one is in its place",
            where=str(place),
            do=f"Put the one whose weights have the SHA-256 {first['sha256'][:16]}… there.",
        )
    return [*stands_on(place), place]


def lineage(folder: Path) -> list[dict[str, str]]:
    """Name and hash of the adapter in `folder` and of all it stands on, the first to be merged first."""
    card = read_card(folder) or {}
    return [*card.get("continues", []), {"name": folder.name, "sha256": weights_sha256(folder)}]


def check_continues(folder: Path, base: str, base_sha256: str) -> list[Path]:
    """The adapters to merge, the one in `folder` last.

    Raises:
        MissingError: there is no adapter, or one it stands on is gone.
        InputError: it was trained on other base weights.
    """
    if not is_adapter(folder):
        whole = (folder / "config.json").is_file()
        raise MissingError(
            "this is a whole model, not an adapter" if whole else "there is no adapter in this folder",
            where=str(folder),
            do="Name it as train.base instead." if whole else "Give the folder that `train` wrote.",
        )
    card = read_card(folder)
    if card is not None and card["base_sha256"] != base_sha256:
        raise InputError(
            f"the adapter to continue from was trained on other base weights ({card['base']}) than {base}",
            where=str(folder),
            do="Take that base, or another adapter.",
        )
    return [*stands_on(folder), folder]


def keep_lineage(folder: Path, before: Path) -> None:
    """Copy the adapter in `before`, with all it stands on, into the folder of the one that was trained on it."""
    place = folder / BEFORE
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    for path in sorted(before.iterdir()):
        if path.name in _FILES or path.suffix == ".safetensors":
            shutil.copy2(path, place / path.name)
    if (before / BEFORE).is_dir():
        keep_lineage(place, before / BEFORE)


def load_merged(
    load: Callable[[str, ComputeOptions], PreTrainedModel],
    base: str,
    compute: ComputeOptions,
    adapters: Sequence[Path],
) -> PreTrainedModel:
    """The base, as a task's `load` gives it, with `adapters` merged into its weights, one after the other.

    A product is added to a weight in float32 and rounded once to the weight's precision. A base in 4 bits is merged
    before it is quantised, on the CPU: merging into 4-bit weights would round the adapter away.
    """
    if not adapters:
        return load(base, compute)
    if not compute.in_four_bits:
        return _merge(load(base, compute), adapters)
    place = choose_device(compute.device)
    told = four_bits(compute, place)
    plain = {"load_in_4bit": False, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    unquantised = compute.model_copy(update={**plain, "bnb_4bit_compute_dtype": "auto", "device": "cpu"})
    merged = _merge(load(base, ComputeOptions(**_compute_keys(unquantised))), adapters)
    with quiet():
        loader: Any = type(merged)
        quantised: Any = loader.from_pretrained(
            None, config=merged.config, state_dict=merged.state_dict(), dtype=merged.dtype, **told
        )
    keep_as_quantised(quantised)
    ready: PreTrainedModel = quantised.eval()
    return ready


def _compute_keys(compute: ComputeOptions) -> dict[str, Any]:
    return {name: getattr(compute, name) for name in ComputeOptions.model_fields}


def _merge(model: Any, adapters: Sequence[Path]) -> PreTrainedModel:
    import peft

    with quiet():
        for folder in adapters:
            model = peft.PeftModel.from_pretrained(model, folder).merge_and_unload()
    merged: PreTrainedModel = model.eval()
    return merged
