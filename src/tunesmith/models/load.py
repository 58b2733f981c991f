"""A model in memory: its tokenizer, and its weights with the head a task needs, in 4 bits where that is asked.

Where a model lies is the business of `folders`, where it computes that of `machine`; what most callers need of both is
handed on here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.errors import InputError, MissingError, first_line
from tunesmith.models.folders import (
    BUILTIN,
    BUILTIN_ENCODER,
    check_before_the_run,
    is_at_hand,
    model_folder,
    weight_files,
    weights_sha256,
)
from tunesmith.models.machine import (
    ComputeOptions,
    DtypeName,
    choose_device,
    choose_dtype,
    cpu_multiplies_bfloat16,
    free_cores,
    set_threads,
)
from tunesmith.models.quantised import check_four_bits, check_widths, four_bit_config, keep_as_quantised

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "BUILTIN",
    "BUILTIN_ENCODER",
    "ComputeOptions",
    "DtypeName",
    "Head",
    "check_before_the_run",
    "choose_device",
    "choose_dtype",
    "cpu_multiplies_bfloat16",
    "four_bits",
    "free_cores",
    "is_at_hand",
    "load_model",
    "load_tokenizer",
    "model_folder",
    "quiet",
    "set_threads",
    "weight_files",
    "weights_sha256",
]

Head = Literal["causal", "seq2seq", "classify"]
_LOADERS = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "classify": "AutoModelForSequenceClassification",
}


def load_tokenizer(name: str, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, as it was saved.

    A missing padding token is left missing, and one that equals the end token is left equal: padding is told from text
    by its place in the batch (`tasks`), never by its id.

    Raises:
        MissingError: the folder has no tokenizer.
    """
    from transformers import AutoTokenizer

    folder = model_folder(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingError(
            f"the tokenizer cannot be loaded ({first_line(error)})",
            where=name,
            do="Save it next to the weights: `tokenizer.save_pretrained(folder)`.",
        ) from error
    if not len(tokenizer) or not tokenizer.get_vocab():
        raise MissingError(
            "there is no tokenizer in the model folder",
            where=name,
            do="Save it next to the weights: `tokenizer.save_pretrained(folder)`.",
        )
    return tokenizer


def load_model(
    name: str,
    *,
    dtype: DtypeName = "auto",
    device: str = "auto",
    head: Head = "causal",
    trust_remote_code: bool = False,
    compute: ComputeOptions | None = None,
    allow_new: Callable[[Any, str], bool] = lambda model, tensor: False,
    **settings: Any,
) -> PreTrainedModel:
    """The model called `name`, in evaluation mode, on its device.

    Args:
        allow_new: whether a tensor of the model that the weights lack may start at random, as a new head does.
        settings: for `from_pretrained`, such as entries of the config.
        compute: says whether and how its weights are held in 4 bits.

    Raises:
        MissingError: the model is not there, its weights are no safetensors, or its code would have to be run.
        InputError: its weights are damaged, or its architecture has no such head.
    """
    import transformers

    folder = model_folder(name)
    place = choose_device(device)
    loader: Any = getattr(transformers, _LOADERS[head])
    quantise = {} if compute is None else four_bits(compute, place)
    try:
        with quiet():
            model, info = loader.from_pretrained(
                folder,
                dtype=choose_dtype(dtype, place),
                trust_remote_code=trust_remote_code,
                use_safetensors=True,
                output_loading_info=True,
                **settings,
                **quantise,
            )
    except Exception as error:
        raise _loading_problem(error, name) from error
    missing = sorted(key for key in info["missing_keys"] if not allow_new(model, key))
    if missing:
        # transformers fills what is missing with random numbers: a base like that makes every comparison a lie.
        raise InputError(
            f"the weights lack {len(missing)} of the model's tensors, the first is {missing[0]}",
            where=name,
            do="Copy or download the model again.",
        )
    check_widths(model, name)
    keep_as_quantised(model)
    loaded: PreTrainedModel = (model if quantise else model.to(place)).eval()
    return loaded


def four_bits(compute: ComputeOptions, place: torch.device) -> dict[str, Any]:
    """What `from_pretrained` is told so that the weights are held in 4 bits; nothing where they are not to be.

    Raises:
        MissingError: bitsandbytes is not there, or cannot do it on this device.
    """
    if not compute.in_four_bits:
        return {}
    check_four_bits(place, compute.bnb_4bit_quant_type)
    wanted = compute.dtype if compute.bnb_4bit_compute_dtype == "auto" else compute.bnb_4bit_compute_dtype
    config = four_bit_config(
        compute.bnb_4bit_quant_type,
        double=compute.bnb_4bit_use_double_quant,
        compute=choose_dtype(wanted, place),
    )
    return {"quantization_config": config, "device_map": {"": place}}


def _loading_problem(error: Exception, name: str) -> InputError | MissingError:
    text = first_line(error)
    if "trust_remote_code" in str(error):
        return MissingError(
            "this model brings its own Python code",
            where=name,
            do="Read that code, then allow it with `trust_remote_code: true`.",
        )
    if type(error).__name__ == "SafetensorError":
        return InputError(
            f"the weights are damaged ({text})", where=name, do="Copy or download the model again."
        )
    if isinstance(error, OSError | ValueError | KeyError | RuntimeError):
        return InputError(f"the model cannot be loaded ({text})", where=name, do="Check its config.json.")
    raise error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars, log lines and warnings of the model libraries while the block runs."""
    import logging
    import warnings

    import transformers.utils.logging

    transformers_logging: Any = transformers.utils.logging

    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    others = {name: logging.getLogger(name).level for name in ("accelerate", "peft", "torch")}
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in others:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
        for name, previous in others.items():
            logging.getLogger(name).setLevel(previous)
