"""How fast the metrics are, against the calls that other evaluation tools make for the same values.

    python benchmarks/metrics.py [--pairs 1000] [--semantic-pairs 200]

CPU seconds on one thread, each side in a process of its own, models loaded before the clock starts; values are compared
as well. "Ours" makes the same values; "with floors" is what `tunesmith score` does, which holds each answer against
another item's reference, too. The other side of each row is what HF evaluate's wrapper of that metric calls (its
scripts come from a hub and are not run here): `rouge` scores each pair with rouge_score and aggregates by bootstrap,
`sacrebleu` calls corpus_score, `bertscore` builds a BERTScorer; cosine is sentence-transformers' encode.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tunesmith.records import Prediction
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

WORDS_PER_TEXT = 60


@dataclass(frozen=True)
class Timed:
    seconds: float
    values: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--semantic-pairs", type=int, default=200)
    options = parser.parse_args()
    pairs = text_pairs(options.pairs)
    print(f"{'':34}{'pairs':>7}{'ours, s':>10}{'other, s':>10}{'faster':>9}", end="")
    print(f"{'with floors':>13}{'largest difference':>20}")
    report("rouge1 rouge2 rougeL rougeLsum", pairs, "rouge", hf_rouge)
    report("bleu", pairs, "bleu", hf_sacrebleu)
    report("cosine + bertscore", pairs[: options.semantic_pairs], "cosine,bertscore", semantic_apart)


def text_pairs(count: int) -> list[tuple[str, str]]:
    """Answers that keep most of their reference's words, of a vocabulary of 5,000 made-up English-like words."""
    rng = random.Random(1)
    ends = ["", "s", "ed", "ing", "ation", "ly", "ness", "al"]
    vocabulary = [
        "".join(rng.choice("bcdfglmnprst") + rng.choice("aeiou") for _ in range(3)) for _ in range(600)
    ]
    words = [word + end for word in vocabulary for end in ends]
    pairs = []
    for _ in range(count):
        reference = [rng.choice(words) for _ in range(WORDS_PER_TEXT)]
        answer = [
            word if rng.random() < 0.7 else rng.choice(words) for word in reference if rng.random() < 0.95
        ]
        pairs.append((" ".join(answer), " ".join(reference)))
    return pairs


def timed(work: Callable[[], list[float]]) -> Timed:
    start = time.process_time()
    values = work()
    return Timed(time.process_time() - start, values)


def ours(pairs: list[tuple[str, str]], names: str, floors: bool) -> Timed:
    """Item values of each metric after the other (the corpus value only, for bleu)."""
    import numpy

    metrics = open_metrics(ScoreOptions(metrics=names))  # type: ignore[arg-type]
    warm_up = [Prediction("w", "w", "base", "", "a word", ("a word",), "ok")]
    list(score_predictions(warm_up, metrics))
    predictions = [
        Prediction(str(i), str(i), "base", "", answer, (reference,), "ok")
        for i, (answer, reference) in enumerate(pairs)
    ]

    def work() -> list[float]:
        if floors:
            return [score.value or 0.0 for score in score_predictions(predictions, metrics)]
        found: list[float] = []
        for metric in metrics:
            table = numpy.array(metric.stats(predictions), dtype=float)
            if metric.name == "bleu":
                return [float(metric.aggregate(table.sum(axis=0)))]
            found += metric.item_values(table).tolist()
        return found

    return timed(work)


def hf_rouge(pairs: list[tuple[str, str]]) -> Timed:
    from rouge_score import rouge_scorer, scoring

    names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]

    def work() -> list[float]:
        scorer = rouge_scorer.RougeScorer(names, use_stemmer=True)
        aggregator = scoring.BootstrapAggregator()
        found = [scorer.score(reference, answer) for answer, reference in pairs]
        for one in found:
            aggregator.add_scores(one)
        aggregator.aggregate()
        return [one[name].fmeasure for name in names for one in found]

    return timed(work)


def hf_sacrebleu(pairs: list[tuple[str, str]]) -> Timed:
    from sacrebleu.metrics.bleu import BLEU

    answers, references = [answer for answer, _ in pairs], [reference for _, reference in pairs]
    return timed(lambda: [BLEU().corpus_score(answers, [references]).score])


def semantic_apart(pairs: list[tuple[str, str]]) -> Timed:
    """sentence-transformers for the cosine and bert_score for BERTScore: each text is encoded twice."""
    from bert_score import BERTScorer
    from sentence_transformers import SentenceTransformer

    from tunesmith.models.builtin import encoder_folder

    folder = str(encoder_folder())
    model, scorer = (
        SentenceTransformer(folder, device="cpu"),
        BERTScorer(model_type=folder, num_layers=6, device="cpu"),
    )
    answers, references = [answer for answer, _ in pairs], [reference for _, reference in pairs]

    def work() -> list[float]:
        left, right = (
            model.encode(texts, batch_size=16, normalize_embeddings=True) for texts in (answers, references)
        )
        scores = scorer.score(answers, references, batch_size=16)[2]
        return [*(left * right).sum(axis=1).tolist(), *scores.tolist()]

    return timed(work)


def report(
    name: str, pairs: list[tuple[str, str]], metrics: str, theirs: Callable[[list[tuple[str, str]]], Timed]
) -> None:
    mine, with_floors = (alone(ours, pairs, metrics, floors) for floors in (False, True))
    other = alone(theirs, pairs)
    apart = max(abs(a - b) for a, b in zip(mine.values, other.values, strict=True))
    print(f"{name:34}{len(pairs):>7}{mine.seconds:>10.2f}{other.seconds:>10.2f}", end="")
    print(f"{other.seconds / mine.seconds:>8.1f}x{with_floors.seconds:>13.2f}{apart:>20.1e}", flush=True)


def alone(work: Callable[..., Timed], *given: object) -> Timed:
    """In a process of its own, so that nobody finds the other's caches warm."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


if __name__ == "__main__":
    main()
