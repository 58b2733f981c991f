"""Steps that need a model in memory: train, generate."""

from __future__ import annotations

from tunesmith.generate.stage import generate_predictions
from tunesmith.models.load import model_folder, weights_sha256
from tunesmith.plan import BASE, TUNED
from tunesmith.records import (
    Prediction,
    Row,
    as_row,
)
from tunesmith.steps.base import SYSTEMS, Context, Counts
from tunesmith.store import (
    RowWriter,
    file_fingerprint,
    read_json_lines,
    write_json,
)
from tunesmith.train.stage import train_adapter


def base_outside(context: Context) -> dict[str, str]:
    """The base model by its weights, so that a folder whose weights were replaced is another model."""
    return {"base model": weights_sha256(model_folder(context.plan.train.base))}


def systems_outside(context: Context) -> dict[str, str]:
    """The base, and what was trained: an adapter or, with `method: full`, a whole model."""
    folder = context.run.folder / "train" / TUNED
    files = [*sorted(folder.glob("*.safetensors")), *sorted(folder.glob("*config.json"))]
    trained = {f"train/{TUNED}/{path.name}": file_fingerprint(path) for path in files}
    return base_outside(context) | trained


def train_step(context: Context) -> Counts:
    log = train_adapter(
        context.rows("prepare/train.jsonl", Row),
        context.rows("prepare/validation.jsonl", Row),
        context.run.folder / "train" / TUNED,
        context.plan.train,
        progress=context.progress,
    )
    write_json(context.run.folder / "train/log.json", as_row(log))
    return {"steps": log.steps, "trained_tokens": log.trained_tokens}


def generate_step(context: Context) -> Counts:
    folder = context.run.folder / "generate"
    places = {system: folder / f"{system}.jsonl" for system in SYSTEMS}
    adapters = {BASE: None, TUNED: context.run.folder / "train" / TUNED}
    done = {(system, str(row["id"])) for system, place in places.items() for row in read_json_lines(place)}
    predictions = generate_predictions(
        context.rows("prepare/test.jsonl", Row),
        context.plan.train.base,
        {system: adapters[system] for system in context.plan.generate.systems},
        context.plan.generate,
        done=done,
        progress=context.progress,
    )
    writers = {system: RowWriter(place) for system, place in places.items()}
    try:
        for prediction in predictions:
            writers[prediction.system].write(prediction)
    finally:
        for writer in writers.values():
            writer.close()
    return {system: sum(1 for _ in read_json_lines(place)) for system, place in places.items()}


def predictions_of(context: Context) -> list[Prediction]:
    """Both systems' answers in the order of the test set, so that a resumed run gives the same files."""
    order = {row.id: place for place, row in enumerate(context.rows("prepare/test.jsonl", Row))}
    found = [found for system in SYSTEMS for found in context.rows(f"generate/{system}.jsonl", Prediction)]
    return sorted(found, key=lambda prediction: (prediction.system, order[prediction.id]))
