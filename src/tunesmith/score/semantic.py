"""Closeness in meaning: cosine of sentence vectors, and BERTScore, from one pass of one encoder.

BERTScore (Zhang et al. 2020) follows the `bert_score` package: greedy matching, special tokens may be matched against
but carry no weight, no idf, no rescaling. An empty answer has no vector and scores 0 in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from tunesmith.models.encoder import Encoder, Encoding, load_encoder
from tunesmith.records import Prediction
from tunesmith.score.metric import Metric, Stats, answer_text, ratio, reference_texts
from tunesmith.score.stage import DEFAULTS, ScoreOptions

if TYPE_CHECKING:
    import torch

SemanticName = Literal["cosine", "bertscore"]
NAMES: tuple[SemanticName, ...] = ("cosine", "bertscore")
ITEMS_AT_ONCE = 64
"""Items whose token vectors are in memory at a time, with the answers of all systems."""

Pair = tuple[str, tuple[str, ...]]
"""An answer and its references."""


def cosine(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean cosine of the sentence vectors of answer and reference; the best of several references."""
    return _metric("cosine", options)


def bertscore(options: ScoreOptions = DEFAULTS) -> Metric:
    """Mean BERTScore F1, not rescaled; the best of several references."""
    return _metric("bertscore", options)


def _metric(name: SemanticName, options: ScoreOptions) -> Metric:
    # only what will be asked for is computed, and both in one pass when both will be
    wanted = tuple(other for other in NAMES if other == name or other in options.metrics)
    shared = _shared_pass(
        options.encoder, options.encoder_layer, options.long_texts, options.batch_size, tuple(sorted(wanted))
    )

    def stats(predictions: Sequence[Prediction]) -> list[Stats | None]:
        return [(similarity[name], 1.0) for similarity in shared.similarities(predictions)]

    return Metric(
        name=name,
        higher_is_better=True,
        signature=shared.signature(name),
        stats=stats,
        aggregate=ratio,
        bounds=(-1.0, 1.0),
    )


@lru_cache(maxsize=4)
def _shared_pass(
    encoder: str,
    layer: int | None,
    long_texts: Literal["window", "cut"],
    batch_size: int,
    wanted: tuple[SemanticName, ...],
) -> SemanticPass:
    loaded, shown = load_encoder(encoder, layer=layer, long_texts=long_texts, batch_size=batch_size)
    return SemanticPass(loaded, shown, wanted)


class SemanticPass:
    """Similarities of answers and references under one encoder; the last ones are kept for the other metric."""

    def __init__(self, encoder: Encoder, shown: str, wanted: tuple[SemanticName, ...]) -> None:
        self.encoder = encoder
        self.shown = shown
        self.wanted = wanted
        self.known: dict[Pair, dict[SemanticName, float]] = {}

    def signature(self, name: SemanticName) -> str:
        """Encoder, its weights, and how long texts are read."""
        encoder = self.encoder
        if name == "cosine":
            how = f"pool:{encoder.pooling}|window:{encoder.sentence_window}"
        else:
            how = f"layer:{encoder.layer}|no-idf|raw-F1|window:{encoder.token_window}"
        return f"{self.shown}@{encoder.fingerprint}|{how}|long:{encoder.long_texts}|best-reference|agg:mean"

    def similarities(self, predictions: Sequence[Prediction]) -> list[dict[SemanticName, float]]:
        """What is wanted for each prediction, in order."""
        pairs = [(answer_text(prediction), tuple(reference_texts(prediction))) for prediction in predictions]
        known = {pair: self.known[pair] for pair in pairs if pair in self.known}
        missing = dict.fromkeys(pair for pair in pairs if pair not in known)
        blocks = list(_blocks(missing))
        last_use = {text: index for index, block in enumerate(blocks) for text in _texts(block)}
        encodings: dict[str, Encoding] = {}
        for index, block in enumerate(blocks):
            new = [text for text in _texts(block) if text not in encodings]
            encodings |= self.encoder.encode(
                new, sentences="cosine" in self.wanted, tokens="bertscore" in self.wanted
            )
            known.update(self._compare(block, encodings))
            encodings = {text: found for text, found in encodings.items() if last_use[text] > index}
        self.known = known
        return [known[pair] for pair in pairs]

    def _compare(
        self, pairs: Sequence[Pair], encodings: dict[str, Encoding]
    ) -> dict[Pair, dict[SemanticName, float]]:
        compared = {}
        for answer, references in pairs:
            known = [encodings[reference] for reference in references if reference and answer]
            compared[answer, references] = {
                name: max(
                    (_similarity(name, encodings[answer], reference) for reference in known), default=0.0
                )
                for name in self.wanted
            }
        return compared


def _texts(pairs: Sequence[Pair]) -> list[str]:
    """The texts to be encoded, each once. An empty text has no vector, and nothing is held against it."""
    texts = (text for answer, references in pairs if answer for text in (answer, *references) if text)
    return list(dict.fromkeys(texts))


def _blocks(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    """Pairs in blocks of some items: pairs of the same references together, then those that share an answer with them.

    Token vectors are large, so that only those of a block are kept, and of the few texts that a later block needs. The
    answers of all systems to an item meet in its references; an answer meets other references where it is held against
    another item's.
    """
    by_references: dict[tuple[str, ...], list[Pair]] = {}
    by_answer: dict[str, list[tuple[str, ...]]] = {}
    for answer, references in pairs:
        by_references.setdefault(references, []).append((answer, references))
        by_answer.setdefault(answer, []).append(references)
    by_answer.pop("", None)
    groups: list[list[Pair]] = []
    for first in list(by_references):
        waiting = [first]
        while waiting:
            group = by_references.pop(waiting.pop(), None)
            if group is not None:
                groups.append(group)
                waiting += [other for answer, _ in group for other in by_answer.pop(answer, ())]
    for start in range(0, len(groups), ITEMS_AT_ONCE):
        yield [pair for group in groups[start : start + ITEMS_AT_ONCE] for pair in group]


def _similarity(name: SemanticName, answer: Encoding, reference: Encoding) -> float:
    if name == "cosine":
        assert answer.sentence is not None
        assert reference.sentence is not None
        return max(-1.0, min(1.0, float(answer.sentence @ reference.sentence)))  # rounding may go beyond
    return _bertscore(answer, reference)


def _bertscore(answer: Encoding, reference: Encoding) -> float:
    assert answer.tokens is not None
    assert reference.tokens is not None
    similarity = answer.tokens @ reference.tokens.T
    precision = _weighted_mean(similarity.max(dim=1).values, answer.weights)
    recall = _weighted_mean(similarity.max(dim=0).values, reference.weights)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _weighted_mean(values: torch.Tensor, weights: torch.Tensor | None) -> float:
    assert weights is not None
    total = float(weights.sum())
    return float(values @ weights) / total if total else 0.0
