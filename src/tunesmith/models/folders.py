"""From the name of a model to a local folder with its weights, and the hash that says which weights they are.

A name is `builtin` (the small model that ships with tunesmith), a folder, or a hub id such as `Qwen/Qwen3-0.6B`. All
three end in a local folder, so that everything after `model_folder` is the same for each, online or not.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tunesmith.errors import MissingError
from tunesmith.hub import MODEL, fetch

BUILTIN = "builtin"
BUILTIN_ENCODER = "builtin-encoder"
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt", "*.py"]
_hashes: dict[tuple[str, int, int], str] = {}


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
    return _checked(fetch(name, _HUB_FILES, kind="model", where=name, advice=MODEL), name)


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
