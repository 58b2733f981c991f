"""What is trained: a low-rank adapter on a frozen base, or the whole model; and how it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import InputError
from tunesmith.models.load import BUILTIN, BUILTIN_ENCODER, quiet
from tunesmith.models.quantised import n_weights
from tunesmith.models.vocabulary import embedding_names
from tunesmith.train.families import GROUPS, layers_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.train.options import TrainOptions


def put_adapter(
    base: PreTrainedModel,
    options: TrainOptions,
    adapter_type: str = "CAUSAL_LM",
    new_ids: Sequence[int] = (),
) -> Any:
    """The base with a fresh adapter on it, its own weights frozen; or the base itself, all of it trainable.

    A classifier's head is trained whole, and saved, beside the adapter. What is trained is float32 whatever the base
    is: steps of a usual size would be lost in bfloat16.

    Args:
        new_ids: tokens whose embeddings are trained, too, and saved with the adapter.

    Raises:
        InputError: `target_modules` or `modules_to_save` names no layer of this model.
    """
    if options.method == "full":
        base.requires_grad_(True)
        return base
    import peft

    _check_names(base, options)
    config_type: Any = peft.LoraConfig  # its annotation says int for alpha, its arithmetic takes any number
    config = config_type(
        task_type=adapter_type,
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=_targets(base, options),
        trainable_token_indices=_token_rows(base, options, new_ids) or None,
        use_dora=options.method == "dora",
        use_rslora=options.method == "rslora",
        base_model_name_or_path=_portable_name(options.base),
        **_whole_layers(base, adapter_type, options.modules_to_save),
    )
    try:
        with quiet():
            model = peft.get_peft_model(base, config)
    except ValueError as error:
        raise InputError(
            f"the adapter does not fit the model ({str(error).splitlines()[0][:160]})",
            where="train.target_modules",
            do=f"Take `all-linear`, or some of: {', '.join(_linear_layers(base))}.",
        ) from error
    # get_peft_model writes the folder the base was loaded from into the config, which exists on this machine only.
    config.base_model_name_or_path = _portable_name(options.base)
    _train_in_float32(model)
    return model


def _whole_layers(base: PreTrainedModel, adapter_type: str, wanted: Sequence[str]) -> dict[str, Any]:
    """What peft is told of layers that are trained as a whole."""
    if adapter_type != "SEQ_CLS":
        return {"modules_to_save": list(wanted), "ensure_weight_tying": True} if wanted else {}
    from tunesmith.models.classifier import head_modules

    heads = head_modules(base)
    # An adapter on BERT's pooler or on the head itself would train the same thing twice, or nothing.
    return {
        "modules_to_save": [*heads, *wanted],
        "exclude_modules": rf".*\bpooler\b.*|({'|'.join(heads)})(\..*)?",
    }


def _linear_layers(base: PreTrainedModel) -> list[str]:
    import torch

    found = {
        name.rpartition(".")[2]
        for name, part in base.named_modules()
        if isinstance(part, torch.nn.Linear) or type(part).__name__ == "Conv1D"
    }
    return sorted(found)


def _targets(base: PreTrainedModel, options: TrainOptions) -> str | list[str]:
    """`target_modules` as peft takes it: the groups of a family by their layers' names."""
    modules = options.target_modules
    if not isinstance(modules, str) or modules not in GROUPS:
        return modules if isinstance(modules, str) else list(modules)
    family = base.config.get_text_config(decoder=True).model_type
    found = layers_of(family, modules)
    if found is None:
        raise InputError(
            f"which layers are {modules} is not known for models of the kind {family}",
            where="train.target_modules",
            do=f"Take `all-linear`, or name some of: {', '.join(_linear_layers(base))}.",
        )
    return found


def _check_names(base: PreTrainedModel, options: TrainOptions) -> None:
    """peft passes over a name in `modules_to_save` that no layer has."""
    names = [name for name, _ in base.named_modules()]
    for wanted in options.modules_to_save:
        if not any(name == wanted or name.endswith(f".{wanted}") for name in names):
            last = sorted(
                {name.rpartition(".")[2] for name in names if not name.rpartition(".")[2].isdigit()}
            )
            raise InputError(
                f"the model has no layer {wanted!r}",
                where="train.modules_to_save",
                do=f"There are: {', '.join(name for name in last if name)}.",
            )


def _token_rows(base: PreTrainedModel, options: TrainOptions, new_ids: Sequence[int]) -> dict[str, list[int]]:
    """Rows of the embeddings that are trained, by the layer's name; none of a layer that is trained as a whole."""
    if not new_ids:
        return {}
    return {
        name: list(new_ids)
        for name in embedding_names(base)
        if not any(name == whole or name.endswith(f".{whole}") for whole in options.modules_to_save)
    }


def _train_in_float32(model: Any) -> None:
    """Layers that are trained as a whole compute in float32 over a base in 16 bits, and give its precision back."""
    import torch
    from peft.utils import ModulesToSaveWrapper

    for part in model.modules():
        if isinstance(part, ModulesToSaveWrapper):
            for copy in part.modules_to_save.values():
                before = next(
                    (one.dtype for one in copy.parameters() if one.is_floating_point()), torch.float32
                )
                if before != torch.float32:
                    copy.float()
                    copy.register_forward_pre_hook(_to_float32)
                    copy.register_forward_hook(partial(_to_dtype, before))
    for one in model.parameters():
        if one.requires_grad and one.dtype in (torch.float16, torch.bfloat16):
            one.data = one.data.float()


def _to_float32(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(one.float() if one.is_floating_point() else one for one in inputs)


def _to_dtype(dtype: Any, _: Any, inputs: tuple[Any, ...], output: Any) -> Any:
    return output.to(dtype)


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
        # Rows of added tokens are saved as such; the whole embedding beside them would be the base's.
        extra = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
        model.save_pretrained(folder, safe_serialization=True, **extra)
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


def count_parameters(model: Any) -> tuple[int, int]:
    """How many numbers are trained, and how many there are."""
    trainable = sum(part.numel() for part in model.parameters() if part.requires_grad)
    return trainable, sum(n_weights(part) for part in model.parameters())
