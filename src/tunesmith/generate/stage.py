"""Generate: the answers of the base and of every adapter to the same prompts, from one loaded base."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import InputError, MissingError
from tunesmith.generate.options import GenerateOptions, Progress
from tunesmith.models import fast
from tunesmith.models.load import model_folder, quiet, set_threads, weights_sha256
from tunesmith.records import Prediction, Refused, Row, Status
from tunesmith.tasks.base import Rendered, Task, open_task

__all__ = ["GenerateOptions", "Progress", "generate_predictions"]


def _say_nothing(done: int, total: int | None, what: str) -> None:
    return


def generate_predictions(
    rows: Sequence[Row],
    base: str,
    adapters: Mapping[str, Path | None],
    options: GenerateOptions,
    *,
    done: Collection[tuple[str, str]] = (),
    task: str = "causal",
    progress: Progress = _say_nothing,
) -> Iterator[Prediction]:
    """Every system's answer to every row, as batches finish.

    Args:
        rows: what is asked, with the reference as completion.
        base: builtin, a folder, or a hub id.
        adapters: system name to the folder `train` wrote; `None` is the base itself.
        options: decoding, the same for all systems.
        done: (system, row id) pairs that are kept already. Batches are planned over all rows, so that a resumed run
            computes the same batches as one that was never interrupted.

    Raises:
        MissingError: the base or an adapter is not there.
        InputError: an adapter was trained on another base.
    """
    finished = frozenset(done)
    if all((system, row.id) in finished for system in adapters for row in rows):
        return
    set_threads(options.threads)
    opened = open_task(task, base, options, truncate=options.truncate)
    plan = _plan(opened, rows, options)
    total = len(rows) * len(adapters)
    n_done = sum((system, row.id) in finished for system in adapters for row in rows)
    progress(n_done, total, "generating")
    with quiet():
        systems = _Systems(opened, base, adapters, options)
    for system in adapters:
        settings = systems.settings(system)
        for item in plan.refused:
            if (system, item.row.id) not in finished:
                n_done += 1
                yield _failed(item, system, settings)
        for batch in plan.batches:
            if all((system, item.row.id) in finished for item in batch):
                continue
            with quiet(), systems.use(system) as model:
                predictions = _predict(model, opened, batch, system, options, settings)
            for prediction in predictions:
                if (system, prediction.id) not in finished:
                    n_done += 1
                    yield prediction
            progress(n_done, total, f"generating, {system}")


@dataclass(frozen=True, slots=True)
class _Item:
    row: Row
    prompt: Rendered | None
    reference: Rendered | None
    """Prompt and reference together; `None` where they do not fit into the context."""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    batches: list[list[_Item]]
    refused: list[_Item]


def _plan(task: Task, rows: Sequence[Row], options: GenerateOptions) -> _Plan:
    """Batches of prompts of like length, the longest first, so that memory runs out at once or never."""
    items: list[_Item] = []
    refused: list[_Item] = []
    for row in rows:
        prompt = task.render_prompt(row, room=options.max_new_tokens)
        reference = task.render(row)
        if isinstance(prompt, Refused):
            refused.append(_Item(row, None, None, prompt.reason))
        else:
            items.append(_Item(row, prompt, reference if isinstance(reference, Rendered) else None))
    items.sort(key=lambda item: (-len(item.prompt.input_ids) if item.prompt else 0, item.row.id))
    size = options.batch_size
    return _Plan([items[start : start + size] for start in range(0, len(items), size)], refused)


def _predict(
    model: Any,
    task: Task,
    batch: Sequence[_Item],
    system: str,
    options: GenerateOptions,
    settings: dict[str, Any],
) -> list[Prediction]:
    from tunesmith.generate.decode import generate_batch, reference_losses

    scored = [item.reference for item in batch if item.reference is not None]
    losses = reference_losses(model, task, task.collate(scored)) if scored else []
    by_row = {row.row_id: loss for row, loss in zip(scored, losses, strict=True)}
    started = time.monotonic()
    prompts = [item.prompt for item in batch if item.prompt is not None]
    answers = generate_batch(model, task, prompts, options)
    latency_ms = (time.monotonic() - started) * 1000 / len(batch)
    predictions = []
    for item, prompt, answer in zip(batch, prompts, answers, strict=True):
        text = task.decode(answer.ids)
        status: Status = "truncated" if not answer.ended else "ok" if text else "empty"
        nll, n_tokens = by_row.get(item.row.id, (None, None))
        predictions.append(
            Prediction(
                id=item.row.id,
                source_id=item.row.source_id,
                system=system,
                prompt=item.row.prompt,
                text=text,
                references=(item.row.completion, *item.row.other_references),
                status=status,
                finish_reason="eos" if answer.ended else "length",
                n_prompt_tokens=prompt.n_prompt,
                n_new_tokens=answer.n_new,
                latency_ms=latency_ms,
                reference_nll=nll,
                reference_tokens=n_tokens,
                settings=settings | ({"n_prompt_tokens_cut": prompt.n_cut} if prompt.n_cut else {}),
            )
        )
    return predictions


def _failed(item: _Item, system: str, settings: dict[str, Any]) -> Prediction:
    return Prediction(
        id=item.row.id,
        source_id=item.row.source_id,
        system=system,
        prompt=item.row.prompt,
        text="",
        references=(item.row.completion, *item.row.other_references),
        status="error",
        finish_reason="error",
        settings=settings,
        error=item.problem,
    )


class _Systems:
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
            system: folder for system, folder in self.folders.items() if folder and not _is_adapter(folder)
        }
        self.model = self._load(base)
        self.loaded_whole: tuple[str, Any] | None = None
        for system, folder in self.folders.items():
            if folder is not None and system not in self.whole:
                self._put_on(system, folder)
        fast.speed_up_adapters(self.model)
        self.model.eval()  # dropout off, the adapters' too

    def _load(self, name: str) -> Any:
        from transformers import GenerationConfig

        model = self.task.load(name, self.options)
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

        if system in self.whole:
            yield self._whole_model(system)
        elif self.folders[system] is not None:
            self.model.set_adapter(_adapter_name(system))
            self.model.eval()
            yield self.model
        elif isinstance(self.model, peft.PeftModel):
            with self.model.disable_adapter():
                yield self.model
        else:
            yield self.model

    def _whole_model(self, system: str) -> Any:
        """A model that was trained as a whole: it has its own weights, and one is kept in memory at a time."""
        if self.loaded_whole is None or self.loaded_whole[0] != system:
            self.loaded_whole = None
            self.loaded_whole = (system, self._load(str(self.whole[system])))
        return self.loaded_whole[1]

    def settings(self, system: str) -> dict[str, Any]:
        """What would have to be equal for a fair comparison, but for the adapter."""
        folder = self.folders[system]
        decoding = self.options.model_dump(
            mode="json", exclude={"systems", "device", "threads", "trust_remote_code", "dtype", "truncate"}
        )
        return decoding | {
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.model.device),
            "base": self.base,
            "base_sha256": self.base_sha256,
            "adapter_sha256": None if folder is None else weights_sha256(folder),
            "template_sha256": self.task.template_sha256,
        }


def _adapter_name(system: str) -> str:
    """peft makes module names of adapter names, and those may hold no dots."""
    return system.replace(".", "_")


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _check_adapter(system: str, folder: Path, base_sha256: str) -> None:
    """Raises `MissingError` where there is no adapter, `InputError` where it belongs to another base."""
    if not _is_adapter(folder) and not (folder / "config.json").is_file():
        raise MissingError(
            f"there is no adapter for the system {system!r}",
            where=str(folder),
            do="Train it first, or correct the folder.",
        )
    card = folder / "tunesmith.json"
    if _is_adapter(folder) and card.is_file():
        trained_on = json.loads(card.read_text(encoding="utf-8"))
        if trained_on["base_sha256"] != base_sha256:
            raise InputError(
                f"the adapter of {system!r} was trained on other base weights ({trained_on['base']})",
                where=str(folder),
                do="Take that base, or train the adapter again.",
            )
