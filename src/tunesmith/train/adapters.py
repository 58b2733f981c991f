"""What is trained: a low-rank adapter on a frozen base, or the whole model; and how it is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError
from tunesmith.models.load import BUILTIN, BUILTIN_ENCODER, quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.train.options import TrainOptions

CARD = "tunesmith.json"
"""Beside the adapter: which base weights it belongs to and how prompts have to be rendered."""


def put_adapter(base: PreTrainedModel, options: TrainOptions, adapter_type: str = "CAUSAL_LM") -> Any:
    """The base with a fresh adapter on it, its own weights frozen; or the base itself, all of it trainable.

    A classifier's head is trained whole, and saved, beside the adapter.

    The adapter's weights are float32 whatever the base is: steps of a usual size would be lost in bfloat16.

    Raises:
        InputError: `target_modules` names no layer of this model.
    """
    if options.method == "full":
        base.requires_grad_(True)
        return base
    import peft

    modules = options.target_modules
    config_type: Any = peft.LoraConfig  # its annotation says int for alpha, its arithmetic takes any number
    config = config_type(
        task_type=adapter_type,
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        use_dora=options.method == "dora",
        use_rslora=options.method == "rslora",
        base_model_name_or_path=_portable_name(options.base),
        **_head_settings(base, adapter_type),
    )
    try:
        with quiet():
            model = peft.get_peft_model(base, config)
    except ValueError as error:
        layers = sorted(
            {
                name.rpartition(".")[2]
                for name, part in base.named_modules()
                if type(part).__name__ == "Linear"
            }
        )
        raise InputError(
            f"the adapter does not fit the model ({str(error).splitlines()[0][:160]})",
            where="train.target_modules",
            do=f"Take `all-linear`, or some of: {', '.join(layers)}.",
        ) from error
    # get_peft_model writes the folder the base was loaded from into the config, which exists on this machine only.
    config.base_model_name_or_path = _portable_name(options.base)
    return model


def _head_settings(base: PreTrainedModel, adapter_type: str) -> dict[str, Any]:
    if adapter_type != "SEQ_CLS":
        return {}
    from tunesmith.models.classifier import head_modules

    heads = head_modules(base)
    # An adapter on BERT's pooler or on the head itself would train the same thing twice, or nothing.
    return {"modules_to_save": heads, "exclude_modules": rf".*\bpooler\b.*|({'|'.join(heads)})(\..*)?"}


def take_adapter_off(model: Any) -> PreTrainedModel:
    """The base as it was before `put_adapter`."""
    with quiet():
        base: PreTrainedModel = model.unload()
    return base


def _portable_name(base: str) -> str:
    if base in (BUILTIN, BUILTIN_ENCODER) or not Path(base).expanduser().exists():
        return base
    return str(Path(base).expanduser().resolve())


def save_trained(model: Any, folder: Path) -> None:
    """The adapter in peft's format, or the whole model in transformers' format, as safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        model.save_pretrained(folder, safe_serialization=True)
    # peft adds a card of blanks that holds a path of this machine; `publish` is where cards belong.
    (folder / "README.md").unlink(missing_ok=True)


def load_trained(model: Any, folder: Path) -> None:
    """Put the weights that `save_trained` wrote back into `model`."""
    from safetensors.torch import load_file

    state: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        state |= load_file(path)
    if hasattr(model, "peft_config"):
        import peft

        peft.set_peft_model_state_dict(model, state)
    else:
        model.load_state_dict(state, strict=False)  # tied weights are saved once
        model.tie_weights()


def write_card(folder: Path, card: dict[str, Any]) -> None:
    (folder / CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def count_parameters(model: Any) -> tuple[int, int]:
    """How many numbers are trained, and how many there are."""
    trainable = sum(part.numel() for part in model.parameters() if part.requires_grad)
    return trainable, sum(part.numel() for part in model.parameters())
