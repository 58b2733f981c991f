"""From the name of a model to a folder, a tokenizer, weights in memory, and the hash that says which weights they are.

A name is `builtin` (the small model that ships with tunesmith), a folder, or a hub id such as `Qwen/Qwen3-0.6B`. All
three end in a local folder, so that everything after `model_folder` is the same for each, online or not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from tunesmith.errors import InputError, MissingError
from tunesmith.models.quantised import (
    check_four_bits,
    check_widths,
    four_bit_config,
    keep_as_quantised,
)
from tunesmith.options import Options, changed

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DtypeName = Literal["auto", "float32", "bfloat16", "float16"]

BUILTIN = "builtin"
BUILTIN_ENCODER = "builtin-encoder"
Head = Literal["causal", "seq2seq", "classify"]
_LOADERS = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "classify": "AutoModelForSequenceClassification",
}
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt", "*.py"]
_hashes: dict[tuple[str, int, int], str] = {}


class ComputeOptions(Options):
    """Where and how exactly a model computes: the part that training and generation share."""

    dtype: DtypeName = Field(
        "auto", description="Precision of the weights; auto takes the fastest the device is good at."
    )
    device: str = Field("auto", description="Device: auto, cpu, cuda, cuda:1, mps.")
    threads: int | None = Field(
        None, ge=1, description="CPU threads; empty takes the cores that are free at the start."
    )
    trust_remote_code: bool = Field(False, description="Run Python code that comes with a model from a hub.")
    load_in_4bit: bool | None = Field(
        None,
        description="Hold the weights in 4 bits (bitsandbytes); empty: in training with method: qlora, in use as in"
        " training.",
    )
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = Field("nf4", description="Kind of 4-bit numbers.")
    bnb_4bit_use_double_quant: bool = Field(
        True, description="Hold the scales of the 4-bit numbers in 8 bits."
    )
    bnb_4bit_compute_dtype: DtypeName = Field(
        "auto", description="Precision of products with 4-bit weights; auto is that of dtype."
    )

    @property
    def in_four_bits(self) -> bool:
        return bool(self.load_in_4bit)

    @model_validator(mode="after")
    def _four_bits_have_an_effect(self) -> Self:
        idle = changed(self, "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype")
        if idle and not self.in_four_bits:
            raise ValueError(f"{', '.join(idle)} has no effect without load_in_4bit: true")
        return self


def model_folder(name: str) -> Path:
    """The local folder that holds the model called `name`, downloaded from the hub if it has to be.

    Raises:
        MissingError: no such folder, a folder without config or weights, or a hub id that cannot be reached.
    """
    if name == BUILTIN:
        from tunesmith.models.builtin import base_folder

        return _checked(Path(base_folder()), name)
    if name == BUILTIN_ENCODER:
        from tunesmith.models.builtin import encoder_folder

        return _checked(encoder_folder(), name)
    folder = Path(name).expanduser()
    if folder.exists():
        return _checked(folder, name)
    if _looks_like_path(name):
        raise MissingError(
            "there is no such model folder", where=name, do="Give an existing folder, a hub id, or `builtin`."
        )
    return _checked(_from_hub(name), name)


def check_before_the_run(name: str) -> None:
    """Raise `MissingError` now for a model that cannot be there later; a hub id is left for when it is needed."""
    if name in (BUILTIN, BUILTIN_ENCODER) or Path(name).expanduser().exists() or _looks_like_path(name):
        model_folder(name)


def is_at_hand(name: str) -> bool:
    """Whether the model is on this machine: built in, a folder, or in the hub's cache. Nothing is fetched."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if name in (BUILTIN, BUILTIN_ENCODER) or Path(name).expanduser().is_dir():
        return True
    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return False


def _looks_like_path(name: str) -> bool:
    """A hub id is `name` or `owner/name`; all else that is not there was meant as a path."""
    return name.startswith((".", "~", "/")) or "\\" in name or name.count("/") != 1


def _checked(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise MissingError(
            "a model is a folder, and this is a file", where=name, do="Give the folder it stands in."
        )
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        raise MissingError(
            "this is an adapter, not a model" if adapter else "there is no config.json in the model folder",
            where=name,
            do="Give the base model that the adapter was trained on."
            if adapter
            else "Give the folder that `save_pretrained` wrote.",
        )
    if not weight_files(folder):
        pickled = [path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".ckpt"}]
        what = (
            f"the weights are only there as pickle ({pickled[0]})"
            if pickled
            else "there are no weights in the model folder"
        )
        raise MissingError(
            what,
            where=name,
            do="Save them as safetensors: `model.save_pretrained(folder)`; pickled weights can run code.",
        )
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model or adapter folder, by name."""
    return sorted(path for path in folder.glob("*.safetensors") if path.is_file())


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except HFValidationError as error:
        raise MissingError(
            "this is neither a folder nor a hub id",
            where=name,
            do="Give an existing folder, a hub id, or `builtin`.",
        ) from error
    except GatedRepoError as error:
        raise MissingError(
            "the hub asks for a licence to be accepted for this model",
            where=name,
            do="Accept it on the model's page, then set HF_TOKEN or run `hf auth login`.",
        ) from error
    except RepositoryNotFoundError as error:
        raise MissingError(
            "the hub knows no such model, or it is private",
            where=name,
            do="Check the spelling, or set HF_TOKEN.",
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise MissingError(
            "the model is not on this machine, and the hub cannot be reached",
            where=name,
            do="Go online once, give a local folder, or take `builtin`.",
        ) from error


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
            f"the tokenizer cannot be loaded ({_first_line(error)})",
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
    text = _first_line(error)
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


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def choose_device(device: str) -> torch.device:
    """The device called `device`; `auto` is the GPU if there is one.

    Raises:
        MissingError: the device is not there.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise MissingError(
            f"the device {device!r} cannot be used ({_first_line(error)})",
            do="Take `device: auto` or `device: cpu`.",
        ) from error
    return place


def choose_dtype(dtype: DtypeName, device: torch.device) -> torch.dtype:
    """The precision called `dtype`; `auto` is bfloat16 where the device multiplies it in hardware, else float32."""
    import torch

    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu" and cpu_multiplies_bfloat16():
        return torch.bfloat16
    return torch.float32


def cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU has AMX tiles for bfloat16: without them bfloat16 is slower than float32 on a CPU."""
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    return bool(torch.cpu._is_amx_tile_supported())  # torch 2.6 to 2.9 have no public question for it


def set_threads(threads: int | None) -> int:
    """Give torch that many CPU threads and return the number; `None` takes the cores that are free now.

    More OpenMP threads than free cores make them wait for each other: two threads on two busy cores are several times
    slower than one. `OMP_NUM_THREADS` in the environment is obeyed when no number is given.
    """
    import torch

    if threads is None:
        asked = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(asked) if asked.isdigit() and int(asked) > 0 else free_cores()
    torch.set_num_threads(threads)
    return threads


def free_cores() -> int:
    """Cores this process may use, less what ran on the machine during the last minute; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(allowed, round(allowed - busy)))


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights in a model or adapter folder: of the one safetensors file, or of the list of several.

    Files are read again only when their size or time of change differs.

    Raises:
        MissingError: there are no safetensors in the folder.
    """
    files = weight_files(folder)
    if not files:
        raise MissingError(
            "there are no weights (safetensors) in the folder", where=str(folder), do="Train it again."
        )
    if len(files) == 1:
        return _file_sha256(files[0])
    listing = "".join(f"{path.name} {_file_sha256(path)}\n" for path in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    state = path.stat()
    key = (str(path.resolve()), state.st_size, state.st_mtime_ns)
    if key not in _hashes:
        with path.open("rb") as file:
            _hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _hashes[key]


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
