"""The sections on how the result was made: training, trained tokens, settings, and the command to repeat it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.records import TrainingLog
from tunesmith.report import charts
from tunesmith.report.charts import Chart
from tunesmith.report.section import Section
from tunesmith.report.study import Study
from tunesmith.report.words import (
    MISSING,
    count,
    duration,
    energy,
    memory,
    metric_name,
    number,
    operations,
    share,
    stage_rank,
)

_TOKEN_LETTERS = 4000


def training_section(study: Study) -> Section | None:
    if not study.training:
        return None
    runs = [
        {"name": name, "facts": _training_facts(log), "chart": _loss(name, log)}
        for name, log in study.training.items()
    ]
    return Section("training", "Training", "training.html.j2", {"runs": runs})


def _training_facts(log: TrainingLog) -> list[tuple[str, str]]:
    facts = [
        ("Steps", f"{count(log.steps)} ({number(log.epochs, 1)} passes over the training rows)"),
        (
            "Numbers trained",
            f"{count(log.trainable_parameters)} of {count(log.total_parameters)} "
            f"({share(log.trainable_parameters, log.total_parameters)})",
        ),
        ("Tokens", f"{count(log.total_tokens)} read, {count(log.trained_tokens)} of them learnt from"),
        ("Time", duration(log.seconds)),
        (
            "Speed",
            f"{count(round(log.total_tokens / log.seconds))} tokens a second" if log.seconds > 0 else MISSING,
        ),
        ("Peak memory", memory(log.peak_memory_mb)),
        ("Device", f"{log.device}, {log.dtype}"),
        *_effort(log),
    ]
    if log.rows_per_step is not None:
        among = f", shared by {log.processes} processes" if log.processes > 1 else ""
        facts.insert(1, ("Rows in a step", f"{count(log.rows_per_step)}{among}"))
    if log.resumed_from_step is not None:
        facts.append(("Resumed", f"from step {count(log.resumed_from_step)}"))
    return facts


def _effort(log: TrainingLog) -> list[tuple[str, str]]:
    """Energy, and the arithmetic against what the machine does in a matrix product."""
    facts = []
    if log.energy is not None:
        about = "about " if log.energy.estimated else ""
        facts.append(("Energy", f"{about}{energy(log.energy.joules)} ({log.energy.how})"))
    if log.operations:
        text = f"{operations(log.operations)} floating-point operations forward and backward"
        if (reached := log.share_of_matrix_speed) is not None and log.matrix_speed:
            text += (
                f": {number(100 * reached, 1)}% of the {operations(log.matrix_speed)} a second "
                f"that this machine did in a plain {log.dtype} matrix product after the run"
            )
        facts.append(("Arithmetic", text))
    return facts


def _loss(name: str, log: TrainingLog) -> Chart | None:
    """The loss curve; `None` below two points, where there is no curve."""
    if max(len(log.train_loss), len(log.validation_loss)) < 2:
        return None
    wide, narrow = charts.loss_chart(name, log)
    ends = []
    for label, curve in (("training", log.train_loss), ("validation", log.validation_loss)):
        if curve:
            ends.append(f"{label} loss from {number(curve[0][1])} to {number(curve[-1][1])}")
    best = (
        f" What was learnt by step {count(log.best_step)}, with the {_best(log)}, was kept."
        if log.best_step
        else ""
    )
    caption = (
        "Loss is how surprised the model is by each token of the right answer: lower is better. "
        "When validation rises while training falls, the model learns rows by heart."
        f"{best} n = {len(log.train_loss)} training and {len(log.validation_loss)} validation points."
    )
    return Chart(f"Loss by step: {', '.join(ends)}.{best}", caption, wide, narrow)


def _best(log: TrainingLog) -> str:
    """By what the best step was chosen, with its value."""
    if log.best_by == "loss":
        return "lowest validation loss"
    values = dict(log.validation_metrics.get(log.best_by, ()))
    value = f" ({number(values[log.best_step])})" if log.best_step in values else ""
    return f"highest validation {metric_name(log.best_by)}{value}"


def tokens_section(study: Study) -> Section | None:
    """The first training row as the model sees it, with the tokens it learns marked."""
    pictures = [
        {"name": name, "pieces": _cut_pieces(log.first_example)}
        for name, log in study.training.items()
        if log.first_example
    ]
    if not pictures:
        return None
    return Section("tokens", "What the model learns from", "tokens.html.j2", {"pictures": pictures})


def _cut_pieces(pieces: tuple[tuple[str, bool], ...]) -> list[tuple[str, bool]]:
    """Neighbours of one kind joined; long untrained text loses its middle, since the trained end is what matters."""
    joined: list[tuple[str, bool]] = []
    for text, is_trained in pieces:
        if joined and joined[-1][1] == is_trained:
            joined[-1] = (joined[-1][0] + text, is_trained)
        else:
            joined.append((text, is_trained))
    return [(_without_middle(text), is_trained) for text, is_trained in joined]


def _without_middle(text: str) -> str:
    if len(text) <= _TOKEN_LETTERS:
        return text
    half = _TOKEN_LETTERS // 2
    return f"{text[:half]} … ({count(len(text) - 2 * half)} characters left out) … {text[-half:]}"


def settings_section(study: Study) -> Section | None:
    stages = _stage_lines(study)
    if not study.plan and not stages:
        return None
    return Section(
        "settings",
        "Settings",
        "settings.html.j2",
        {
            "plan": _as_yaml(study.plan) if study.plan else None,
            "stages": stages,
            "total": duration(sum(_seconds(entry) or 0.0 for entry in study.manifest.values())),
            "versions": _versions(study),
            "seeds": list(_seeds(study.plan)),
            "says_cached": any("cached" in entry for entry in study.manifest.values()),
            "has_memory": any(line["memory"] != MISSING for line in stages),
        },
    )


def _stage_lines(study: Study) -> list[dict[str, Any]]:
    return [
        {
            "stage": stage,
            "key": str(entry.get("key") or MISSING),
            "time": duration(_seconds(entry)),
            "memory": memory(_as_float(entry.get("peak_memory_mb"))),
            "is_cached": bool(entry.get("cached")),
        }
        for stage, entry in sorted(study.manifest.items(), key=lambda pair: (stage_rank(pair[0]), pair[0]))
    ]


def _seconds(entry: Mapping[str, Any]) -> float | None:
    return _as_float(entry.get("seconds"))


def _as_float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _versions(study: Study) -> list[tuple[str, str]]:
    """Package and version, once each; two versions of one package (a resumed run) are both named."""
    found: dict[str, set[str]] = {}
    for entry in study.manifest.values():
        versions = entry.get("versions")
        if isinstance(versions, Mapping):
            for package, version in versions.items():
                found.setdefault(str(package), set()).add(str(version))
    return [(package, " and ".join(sorted(versions))) for package, versions in sorted(found.items())]


def _seeds(plan: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Every key of the plan that is called seed, with its path."""
    for key, value in plan.items():
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _seeds(value, where)
        elif str(key) == "seed" or str(key).endswith("_seed"):
            yield where, str(value)


def _as_yaml(plan: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(_plain_types(plan), sort_keys=False, allow_unicode=True, width=100)


def _plain_types(value: Any) -> Any:
    """Mappings and sequences as YAML's own; anything else it does not know (a path) as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain_types(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_types(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def command_section(study: Study) -> Section | None:
    if not study.command:
        return None
    return Section("again", "Make it again", "command.html.j2", {"command": study.command})
