"""A classifier's answers, and those of what it has to beat, on the same texts.

A new head is random, so the base by itself is no classifier: held against it, anything wins. What the base can do
without tuning is a logistic regression on its frozen states, and that is the system called base here. Beside it stand
the random head and the commonest label.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tunesmith.errors import InputError
from tunesmith.generate.options import GenerateOptions, Progress
from tunesmith.generate.systems import Systems
from tunesmith.models.cards import read_card
from tunesmith.models.load import quiet, set_threads
from tunesmith.records import Prediction, Refused, Row
from tunesmith.tasks.base import Rendered, base_for

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from tunesmith.tasks.classify import ClassifyTask

    Probabilities = NDArray[numpy.float64]

MAJORITY, RANDOM_HEAD = "majority", "random head"
BASELINES = (MAJORITY, RANDOM_HEAD)
"""Systems beside the base that every tuned one is held against."""
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Values of scikit-learn's C that are tried on the validation rows; small ones hold the weights back."""


def classify_texts(
    rows: Sequence[Row],
    base: str,
    adapters: Mapping[str, Path | None],
    options: GenerateOptions,
    *,
    train: Sequence[Row],
    validation: Sequence[Row] = (),
    progress: Progress = lambda done, total, what: None,
) -> Iterator[Prediction]:
    """The label of every row by the majority, the random head and every system, with probabilities.

    Args:
        rows: the texts, with the right label as completion.
        adapters: system name to the folder `train` wrote; `None` is a logistic regression on the frozen base.
        train: what the logistic regression learns from, and the majority is the majority of.
        validation: what its strength is chosen on; empty for C = 1.

    Raises:
        InputError: the systems were trained with other labels or limits.
        MissingError: the base or an adapter is not there.
    """
    base = base_for("classify", base)
    set_threads(options.threads)
    task, weights = _opened(base, adapters, options, train)
    total = len(rows) * (len(adapters) + len(BASELINES))
    n_done = 0
    progress(n_done, total, "classifying")
    with quiet():
        systems = Systems(cast(Any, task), base, adapters, options)
    asked = [task.render_prompt(row, room=0) for row in rows]
    texts = [text for text in asked if isinstance(text, Rendered)]
    frozen = next((name for name, folder in adapters.items() if folder is None), None)
    labels = task.head.labels
    for system in (*BASELINES, *adapters):
        settings = systems.settings(frozen or next(iter(adapters)))
        if system == MAJORITY:
            found = _shares(labels, train, len(texts))
        else:
            used = system if system in adapters else frozen or next(iter(adapters))
            with quiet(), systems.use(used) as model:
                if system == RANDOM_HEAD:
                    with _without_adapter(model):
                        found = _softmax(_over(texts, options, task, task.logits, model))
                elif adapters[system] is None:
                    learnt = _Frozen(task, model, options, train, validation, weights)
                    found = learnt.probabilities(texts)
                else:
                    settings = systems.settings(system)
                    found = _softmax(_over(texts, options, task, task.logits, model))
        by_row = {text.row_id: (text, row) for text, row in zip(texts, found.tolist(), strict=True)}
        for row, text in zip(rows, asked, strict=True):
            n_done += 1
            if isinstance(text, Refused):
                yield _failed(row, system, text, settings)
            else:
                yield _prediction(row, text, system, labels, by_row[row.id][1], settings)
        progress(n_done, total, f"classifying, {system}")


def _opened(
    base: str, adapters: Mapping[str, Path | None], options: GenerateOptions, train: Sequence[Row]
) -> tuple[ClassifyTask, Any]:
    """The task as it was in training, with what weighed the classes there."""
    from tunesmith.models.classifier import known_labels
    from tunesmith.tasks.classify import ClassifyTask, Head
    from tunesmith.tasks.labels import find_labels

    cards = {name: read_card(folder) or {} for name, folder in adapters.items() if folder is not None}
    kept = ("labels", "head_seed", "max_length", "truncate")
    said = {name: {key: card[key] for key in kept} for name, card in cards.items() if "labels" in card}
    if any(one != next(iter(said.values())) for one in said.values()):
        raise InputError(
            "the systems were trained with different labels, limits or seeds of the head",
            do="Compare classifiers of the same labels that see the same texts.",
        )
    card = next(iter(said.values()), {})
    weights = next((card["train"].get("class_weights") for card in cards.values() if "train" in card), None)
    known = known_labels(base, trust_remote_code=options.trust_remote_code)
    labels = tuple(card.get("labels", ())) or find_labels(train, None, known)
    task = ClassifyTask.open(
        base,
        options,
        max_length=card.get("max_length"),
        truncate=card.get("truncate", options.truncate),
        head=Head(labels, None, card.get("head_seed", 0)),
    )
    return task, weights


def _without_adapter(model: Any) -> Any:
    from contextlib import nullcontext

    return model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()


def _over(
    texts: Sequence[Rendered], options: GenerateOptions, task: ClassifyTask, what: Any, model: Any
) -> Probabilities:
    """`what` (logits or states) of all texts, (n, …), in their order; batches hold texts of like length."""
    import numpy
    import torch

    order = sorted(range(len(texts)), key=lambda index: -len(texts[index].input_ids))
    found: list[Any] = [None] * len(texts)
    with torch.no_grad():
        for start in range(0, len(order), options.batch_size):
            chosen = order[start : start + options.batch_size]
            batch = task.collate([texts[index] for index in chosen]).to(model.device)
            for index, values in zip(chosen, what(model, batch).double().cpu().numpy(), strict=True):
                found[index] = values
    return numpy.stack(found) if found else numpy.zeros((0, len(task.head.labels)))


def _softmax(logits: Probabilities) -> Probabilities:
    from scipy.special import softmax

    found: Probabilities = softmax(logits, axis=-1)
    return found


def _shares(labels: Sequence[str], train: Sequence[Row], n: int) -> Probabilities:
    """The shares of the labels among the training rows, for every text; the commonest one wins."""
    import numpy

    counts = Counter(row.completion.strip() for row in train)
    shares = numpy.array([counts[label] for label in labels], dtype=float)
    return numpy.tile(shares / max(shares.sum(), 1.0), (n, 1))


class _Frozen:
    """A logistic regression on what the untouched base makes of the texts."""

    def __init__(
        self,
        task: ClassifyTask,
        model: Any,
        options: GenerateOptions,
        train: Sequence[Row],
        validation: Sequence[Row],
        weights: Any,
    ) -> None:
        self.task, self.model, self.options, self.weights = task, model, options, weights
        states, labels = self._learnable(train)
        held_out, wanted = self._learnable(validation)
        tried = [(self._score(self._fit(states, labels, c), held_out, wanted), -c) for c in STRENGTHS]
        # Of equally good ones the simplest; without rows to choose on, scikit-learn's own.
        self.strength = -max(tried)[1] if wanted else 1.0
        self.regression = self._fit(states, labels, self.strength)

    def _states(self, texts: Sequence[Rendered]) -> Probabilities:
        with _without_adapter(self.model):
            return _over(texts, self.options, self.task, self.task.states, self.model)

    def _learnable(self, rows: Sequence[Row]) -> tuple[Probabilities, list[int]]:
        rendered = [one for one in map(self.task.render, rows) if isinstance(one, Rendered)]
        return self._states(rendered), [one.labels[0] for one in rendered]

    def _fit(self, states: Probabilities, labels: Sequence[int], strength: float) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        numbers = {label: number for number, label in enumerate(self.task.head.labels)}
        weights = self.weights
        if isinstance(weights, dict):
            weights = {numbers[label]: weight for label, weight in weights.items()}
        return make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, class_weight=weights, max_iter=5000)
        ).fit(states, labels)

    def _score(self, regression: Any, states: Probabilities, wanted: Sequence[int]) -> float:
        from sklearn.metrics import f1_score

        if not wanted:
            return 0.0
        labels = range(len(self.task.head.labels))
        return float(
            f1_score(wanted, regression.predict(states), labels=labels, average="macro", zero_division=0)
        )

    def probabilities(self, texts: Sequence[Rendered]) -> Probabilities:
        """(n, labels); 0 for a label that no training row has."""
        import numpy

        found = numpy.zeros((len(texts), len(self.task.head.labels)))
        found[:, self.regression.classes_] = self.regression.predict_proba(self._states(texts))
        return found


def _prediction(
    row: Row,
    text: Rendered,
    system: str,
    labels: Sequence[str],
    shares: Sequence[float],
    settings: dict[str, Any],
) -> Prediction:
    best = max(range(len(labels)), key=lambda number: shares[number])
    right = row.completion.strip()
    p_right = shares[labels.index(right)] if right in labels else 0.0
    return Prediction(
        id=row.id,
        source_id=row.source_id,
        system=system,
        prompt=row.prompt,
        text=labels[best],
        references=(row.completion, *row.other_references),
        status="ok",
        n_prompt_tokens=text.n_prompt,
        reference_nll=-math.log(p_right) if p_right > 0 else None,
        reference_tokens=1 if p_right > 0 else None,
        settings=settings | ({"n_prompt_tokens_cut": text.n_cut} if text.n_cut else {}),
        probabilities=dict(zip(labels, shares, strict=True)),
    )


def _failed(row: Row, system: str, text: Refused, settings: dict[str, Any]) -> Prediction:
    return Prediction(
        id=row.id,
        source_id=row.source_id,
        system=system,
        prompt=row.prompt,
        text="",
        references=(row.completion, *row.other_references),
        status="error",
        finish_reason="error",
        settings=settings,
        error=text.reason,
    )
