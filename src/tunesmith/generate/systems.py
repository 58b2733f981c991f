"""The models that answer: one loaded base, with every adapter on it, of which one or none is on at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError, MissingError
from tunesmith.generate.options import GenerateOptions
from tunesmith.models import fast
from tunesmith.models.cards import agreed, read_card
from tunesmith.models.lineage import is_adapter, load_merged, stands_on
from tunesmith.models.load import choose_device, choose_dtype, model_folder, weights_sha256
from tunesmith.tasks.base import Task, open_task
from tunesmith.tasks.templates import trained_with

_FOUR_BITS = ("load_in_4bit", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype")


def open_as_trained(
    task: str, base: str, adapters: Mapping[str, Path | None], options: GenerateOptions
) -> tuple[Task, GenerateOptions]:
    """The task with the words the adapters were trained with, and the options with the bits, where those are left open.

    The base answers in the same words and bits as what was made of it.

    Raises:
        InputError: two adapters were trained with other words, or other bits.
    """
    folders = [None if folder is None else Path(folder) for folder in adapters.values()]
    if options.load_in_4bit is None:
        options = options.model_copy(update=agreed(folders, _FOUR_BITS, "precision") or {})
    opened = open_task(task, base, options, truncate=options.truncate, **limits_of(task, adapters))
    return opened, options


def _bits(options: GenerateOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in _FOUR_BITS} if options.in_four_bits else {}


def made_with(
    task: Task, base: str, adapters: Mapping[str, Path | None], options: GenerateOptions
) -> dict[str, dict[str, Any]]:
    """For each system, what its answers are made with: hashes of its weights and of the template, and the precision."""
    base_sha256 = weights_sha256(model_folder(base))
    dtype = str(choose_dtype(options.dtype, choose_device(options.device))).removeprefix("torch.")
    found: dict[str, dict[str, Any]] = {}
    for system, folder in adapters.items():
        if folder is not None:
            _check_adapter(system, Path(folder), base_sha256)
        found[system] = {
            "dtype": dtype,
            "base_sha256": base_sha256,
            "adapter_sha256": None if folder is None else weights_sha256(Path(folder)),
            "template_sha256": task.template_sha256,
        }
        found[system] |= _bits(options)
        if folder is not None and (before := stands_on(Path(folder))):
            found[system]["before_sha256"] = [weights_sha256(one) for one in before]
    return found


class Systems:
    """The base with all adapters on it, of which one or none is on at a time."""

    def __init__(
        self, task: Task, base: str, adapters: Mapping[str, Path | None], options: GenerateOptions
    ) -> None:
        self.task = task
        self.base = base
        self.options = options
        self.folders = {
            system: None if folder is None else Path(folder) for system, folder in adapters.items()
        }
        self.base_sha256 = weights_sha256(model_folder(base))
        for system, folder in self.folders.items():
            if folder is not None:
                _check_adapter(system, folder, self.base_sha256)
        self.whole = {
            system: folder for system, folder in self.folders.items() if folder and not is_adapter(folder)
        }
        # Adapters that were trained on top of others need a base of their own, with those merged into it.
        self.before = {
            system: before
            for system, folder in self.folders.items()
            if folder and (before := stands_on(folder))
        }
        self.model = self._load(base)
        self.loaded_whole: tuple[str, Any] | None = None
        for system, folder in self.folders.items():
            if folder is not None and system not in self.whole and system not in self.before:
                self._put_on(system, folder)
        fast.speed_up_adapters(self.model)
        self.model.eval()  # dropout off, the adapters' too

    def _load(self, name: str, before: Sequence[Path] = ()) -> Any:
        from transformers import GenerationConfig

        model = load_merged(self.task.load, name, self.options, before)
        # transformers fills whatever decoding leaves unsaid from what the model was shipped with (bans of words, n-gram
        # limits, …); the task has read the end tokens from there already.
        empty: Any = GenerationConfig
        model.generation_config = empty()
        return model

    def _put_on(self, system: str, folder: Path) -> None:
        import peft

        if isinstance(self.model, peft.PeftModel):
            self.model.load_adapter(folder, adapter_name=_adapter_name(system))
        else:
            self.model = peft.PeftModel.from_pretrained(
                self.model, folder, adapter_name=_adapter_name(system)
            )

    @contextmanager
    def use(self, system: str) -> Iterator[Any]:
        """The model as `system`."""
        import peft

        if system in self.whole or system in self.before:
            yield self._own_model(system)
        elif self.folders[system] is not None:
            self.model.set_adapter(_adapter_name(system))
            self.model.eval()
            yield self.model
        elif isinstance(self.model, peft.PeftModel):
            with self.model.disable_adapter():
                yield self.model
        else:
            yield self.model

    def _own_model(self, system: str) -> Any:
        """A model with weights of its own, trained as a whole or merged: one is kept in memory at a time."""
        if self.loaded_whole is None or self.loaded_whole[0] != system:
            self.loaded_whole = None
            self.loaded_whole = (system, self._make_own_model(system))
        return self.loaded_whole[1]

    def _make_own_model(self, system: str) -> Any:
        import peft

        if system in self.whole:
            return self._load(str(self.whole[system]))
        model = peft.PeftModel.from_pretrained(
            self._load(self.base, self.before[system]), str(self.folders[system])
        )
        fast.speed_up_adapters(model)
        return model.eval()

    def settings(self, system: str) -> dict[str, Any]:
        """What would have to be equal for a fair comparison, but for the adapter."""
        folder = self.folders[system]
        return {
            "batch_size": self.options.batch_size,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.model.device),
            "base": self.base,
            "base_sha256": self.base_sha256,
            "adapter_sha256": None if folder is None else weights_sha256(folder),
            "template_sha256": self.task.template_sha256,
        } | _bits(self.options)


def _adapter_name(system: str) -> str:
    """peft makes module names of adapter names, and those may hold no dots."""
    return system.replace(".", "_")


def _check_adapter(system: str, folder: Path, base_sha256: str) -> None:
    """Raises `MissingError` where there is no adapter, `InputError` where it belongs to another base."""
    if not is_adapter(folder) and not (folder / "config.json").is_file():
        raise MissingError(
            f"there is no adapter for the system {system!r}",
            where=str(folder),
            do="Train it first, or correct the folder.",
        )
    trained_on = read_card(folder)
    if is_adapter(folder) and trained_on is not None and trained_on["base_sha256"] != base_sha256:
        raise InputError(
            f"the adapter of {system!r} was trained on other base weights ({trained_on['base']})",
            where=str(folder),
            do="Take that base, or train the adapter again.",
        )


def limits_of(task: str, adapters: Mapping[str, Path | None]) -> dict[str, Any]:
    """What a task is told as in training: the template's options, or the limits of an encoder's texts.

    Raises:
        InputError: the adapters were trained with different ones.
    """
    if task == "causal":
        return {"template": trained_with(adapters.values())}
    if task != "seq2seq":
        return {}
    names = ("max_length", "max_target_length")
    cards = {system: read_card(folder) for system, folder in adapters.items() if folder is not None}
    limits = {system: tuple(card.get(name) for name in names) for system, card in cards.items() if card}
    if len(set(limits.values())) > 1:
        raise InputError(
            f"the systems were trained with different {' or '.join(names)}: {limits}",
            do="Compare systems that see the same texts: train them with the same limits.",
        )
    return dict(zip(names, next(iter(limits.values()), (None, None)), strict=True))
