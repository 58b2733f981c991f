"""Steps that need a model in memory: train, generate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tunesmith.generate.classify import BASELINES, classify_texts
from tunesmith.generate.stage import answer_keys, generate_predictions
from tunesmith.models import lineage
from tunesmith.models.load import model_folder, weights_sha256
from tunesmith.plan import BASE, TUNED
from tunesmith.records import (
    GenerationNote,
    Prediction,
    Row,
    TrainingLog,
    as_row,
    setting_of,
)
from tunesmith.steps.base import SYSTEMS, Context, Counts
from tunesmith.store import (
    RowWriter,
    file_fingerprint,
    fingerprint,
    json_lines,
    read_json_lines,
    write_atomically,
    write_json,
)
from tunesmith.tasks.templates import TemplateOptions
from tunesmith.train.stage import TrainOptions, train_adapter


def base_outside(context: Context) -> dict[str, str]:
    """The base model by its weights, its configs, its tokenizer and chat template: with one replaced, it is another."""
    folder = model_folder(context.plan.train.base)
    texts = sorted(path for path in folder.iterdir() if path.suffix in {".json", ".jinja", ".model", ".txt"})
    return {"base model": weights_sha256(folder)} | {
        f"base model/{path.name}": file_fingerprint(path) for path in texts if path.is_file()
    }


def systems_outside(context: Context) -> dict[str, str]:
    """The base, and what was trained: an adapter or, with `method: full`, a whole model."""
    folder = context.run.folder / "train" / TUNED
    used = [
        path
        for path in folder.rglob("*")
        if path.suffix == ".safetensors" or path.name.endswith("config.json")
    ]
    # Not the checkpoints of a run that was cut short, nor the weights of the last step beside the best.
    files = sorted(path for path in used if not {"checkpoints", "last"} & set(path.relative_to(folder).parts))
    trained = {f"train/{TUNED}/{path.relative_to(folder)}": file_fingerprint(path) for path in files}
    words = {name: getattr(context.plan.train, name) for name in TemplateOptions.model_fields}
    trained["template"] = fingerprint([words, context.plan.train.in_four_bits])
    return base_outside(context) | trained


def before_outside(context: Context) -> dict[str, str]:
    """The base, and the adapters that are merged into it before the training."""
    options = train_options(context)
    if options.continue_from is None:
        return base_outside(context)
    merged = lineage.lineage(Path(options.continue_from))
    return base_outside(context) | {f"adapter {item['name']}": item["sha256"] for item in merged}


def train_options(context: Context) -> TrainOptions:
    """The plan's options, with the adapter to continue from found from where the plan stands."""
    options = context.plan.train
    if options.continue_from is None:
        return options
    folder = context.root / Path(options.continue_from).expanduser()
    lineage.check_continues(folder, options.base, weights_sha256(model_folder(options.base)))
    return options.model_copy(update={"continue_from": str(folder)})


def train_step(context: Context) -> Counts:
    log = train_adapter(
        context.rows("prepare/train.jsonl", Row),
        context.rows("prepare/validation.jsonl", Row),
        context.run.folder / "train" / TUNED,
        train_options(context),
        task=context.plan.task,
        progress=context.progress,
    )
    write_json(context.run.folder / "train/log.json", as_row(log))
    context.measured.update(taken(log))
    return {"steps": log.steps, "trained_tokens": log.trained_tokens}


def taken(log: TrainingLog) -> dict[str, Any]:
    """What the training took, for the manifest and for programs; missing is None."""
    return {
        "seconds": log.seconds,
        "tokens": log.total_tokens,
        "tokens_per_second": log.tokens_per_second,
        "peak_memory_mb": log.peak_memory_mb,
        "energy": as_row(log.energy) if log.energy else None,
        "trainable_parameters": log.trainable_parameters,
        "total_parameters": log.total_parameters,
        "operations": log.operations,
        "matrix_operations_per_second": log.matrix_speed,
        "share_of_matrix_speed": log.share_of_matrix_speed,
        "processes": log.processes,
        "rows_per_step": log.rows_per_step,
        "device": log.device,
        "dtype": log.dtype,
    }


OTHER_SETTINGS = "generate/settings.jsonl"
"""The answers under every decoding setting but the main one."""
NOTES = "generate/notes.jsonl"


def answers_file(system: str) -> str:
    """Where the answers of a system stand, as predictions name it."""
    return OTHER_SETTINGS if setting_of(system) else f"generate/{system}.jsonl"


def generate_step(context: Context) -> Counts:
    if context.plan.task == "classify":
        return _classify_step(context)
    plan, folder = context.plan, context.run.folder
    rows = context.rows("prepare/test.jsonl", Row)
    places = [folder / answers_file(system) for system in SYSTEMS] + [folder / OTHER_SETTINGS]
    trained = {BASE: None, TUNED: folder / "train" / TUNED}
    adapters = {system: trained[system] for system in plan.generate.systems}
    done: set[str] = set()
    if any(place.exists() for place in places):
        keys = answer_keys(rows, plan.train.base, adapters, plan.generate, task=plan.task)
        wanted = set(keys.values())
        put_stale_rows_aside(places, wanted, folder / "kept")
        done = {str(row["key"]) for place in places for row in read_json_lines(place)}
    told = {(note.system, note.rule) for note in context.rows(NOTES, GenerationNote)}
    writers = {place: RowWriter(place) for place in [*places, folder / NOTES]}

    def note(one: GenerationNote) -> None:
        if (one.system, one.rule) not in told:
            writers[folder / NOTES].write(one)

    try:
        for prediction in generate_predictions(
            rows,
            plan.train.base,
            adapters,
            plan.generate,
            done=done,
            task=plan.task,
            progress=context.progress,
            note=note,
        ):
            writers[folder / answers_file(prediction.system)].write(prediction)
    finally:
        for writer in writers.values():
            writer.close()
    return {place.stem: sum(1 for _ in read_json_lines(place)) for place in places}


def _classify_step(context: Context) -> Counts:
    """Labels instead of answers. What is measured against stands with the base: `generate/base.jsonl`."""
    plan, folder = context.plan, context.run.folder
    trained = {BASE: None, TUNED: folder / "train" / TUNED}
    found = list(
        classify_texts(
            context.rows("prepare/test.jsonl", Row),
            plan.train.base,
            {system: trained[system] for system in plan.generate.systems},
            plan.generate,
            train=context.rows("prepare/train.jsonl", Row),
            validation=context.rows("prepare/validation.jsonl", Row),
            progress=context.progress,
        )
    )
    for system in SYSTEMS:
        own = [one for one in found if one.system == system or (system == BASE and one.system in BASELINES)]
        write_atomically(folder / answers_file(system), json_lines(as_row(one) for one in own))
    for name in (OTHER_SETTINGS, NOTES):
        write_atomically(folder / name, "")
    return {system: sum(one.system == system for one in found) for system in SYSTEMS}


def put_stale_rows_aside(places: Sequence[Path], wanted: Collection[str], kept: Path) -> int:
    """Move the rows whose content key is not wanted into `kept/`, a folder for each time it happens; say how many.

    They are answers of other weights, another template or another precision, left by a run that was cut short.
    """
    stale = {
        place: [row for row in read_json_lines(place) if row.get("key") not in wanted] for place in places
    }
    count = sum(map(len, stale.values()))
    if not count:
        return 0
    name = f"generate-stale-{fingerprint([row.get('key') for rows in stale.values() for row in rows])[:16]}"
    for place, rows in stale.items():
        if rows:
            # The copy is whole before the row is taken out of its place.
            write_atomically(kept / name / place.name, json_lines(rows))
            valid = [row for row in read_json_lines(place) if row.get("key") in wanted]
            write_atomically(place, json_lines(valid))
    return count


def predictions_of(context: Context) -> list[Prediction]:
    """Both systems' answers in the order of the test set, so that a resumed run gives the same files."""
    return _in_order(context, [answers_file(system) for system in SYSTEMS])


def predictions_under_settings(context: Context) -> list[Prediction]:
    """The answers under the other decoding settings, ordered alike; their systems are called `NAME@SETTING`."""
    return _in_order(context, [OTHER_SETTINGS])


def _in_order(context: Context, names: Sequence[str]) -> list[Prediction]:
    order = {row.id: place for place, row in enumerate(context.rows("prepare/test.jsonl", Row))}
    found = [found for name in names for found in context.rows(name, Prediction)]
    return sorted(found, key=lambda prediction: (prediction.system, order[prediction.id]))
